"""`Run` itself: planning from Python, lanes, what is refused, what can be said beforehand, and the engine."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sdclient.batch.company import ANY, ServerKind
from sdclient.batch.events import Event
from sdclient.batch.pipeline import Stop
from sdclient.batch.plan import OutputInput, make_job, spec_id
from sdclient.engines import awake
from sdclient.engines.threads import ThreadsEngine
from sdclient.errors import ConfigurationError, LossError, NotSentError, RunFolderError, StorageError
from sdclient.lanes import refuse_mixed
from sdclient.lookahead import disk_estimate_bytes, time_estimate_s
from sdclient.planning import PromptRow
from sdclient.run import Run
from sdclient.schemas import Enlarge, Img2Img, Txt2Img
from sdclient.segment import SegmentSettings
from sdclient.simulator import Simulator
from sdclient.steps.generate import GenerateSpec
from tests.integration.scripted_server import png
from tests.practice_lane import PracticeLane, plan_jobs, quick, work


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "out", run_seed=1, lease_s=1, beat_s=0.1).save()


class TestPlanning:
    def test_prompts_may_be_texts_mappings_or_rows(self, run: Run) -> None:
        run.add(
            ["a fox", {"prompt": "a hare", "seed": 7}, PromptRow({"prompt": "an owl"}, {"who": "me"}, "owl")], Txt2Img()
        )

        assert [(job.place, dict(job.columns)) for job in run.jobs()] == [
            ("0001_a_fox", {}),
            ("0002_a_hare", {}),
            ("owl", {"who": "me"}),
        ]

    def test_folders_are_planned_for_drawing_over_and_cutting_out(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.png").write_bytes(png())
        (tmp_path / "in" / "b.png").write_bytes(b"")
        run.add_folder(tmp_path / "in", Img2Img(), size="long-side=512", into="up")
        run.add_cutouts(tmp_path / "in", SegmentSettings(model="classical"), into="cut")

        assert [(job.kind, job.place) for job in run.jobs()] == [("img2img", "up/a_upscaled"), ("segment", "cut/a")]
        assert run.skipped == ["b.png: empty"]
        assert run.input_roots() == ("../in",)
        assert run.open_kinds() == {"img2img", "segment"}
        assert run.segment_settings() == SegmentSettings(model="classical")

    def test_a_run_that_is_not_there_cannot_be_opened(self, tmp_path: Path) -> None:
        with pytest.raises(RunFolderError, match="no run here"):
            Run.open(tmp_path)


class TestWorking:
    def test_waiting_for_nothing_is_refused(self, run: Run) -> None:
        with pytest.raises(ConfigurationError, match="not at work"):
            run.wait()
        run.stop()

    def test_beginning_twice_at_once_is_refused(self, run: Run) -> None:
        plan_jobs(run.folder, ["a"])
        lane = PracticeLane()
        lane.gate = threading.Event()
        run.begin([lane], settings=quick())
        lane.running.wait(5)
        with pytest.raises(ConfigurationError, match="at work in this program"):
            run.begin([PracticeLane()])
        lane.gate.set()

        assert run.wait().counts.done == 1

    def test_it_can_be_stopped_from_outside(self, run: Run) -> None:
        plan_jobs(run.folder, ["a", "b"])
        lane = PracticeLane()
        lane.gate = threading.Event()
        run.begin([lane], settings=quick())
        lane.running.wait(5)
        run.stop(Stop.INTERRUPT)

        assert run.wait().counts.done == 0

    def test_trouble_in_the_worker_reaches_whoever_waits(self, run: Run) -> None:
        plan_jobs(run.folder, ["a"])
        (run.folder.state / "plan" / ("0" * 64 + ".jsonl")).write_bytes(b"damaged")
        run.folder._sleep = lambda _: None

        with pytest.raises(RunFolderError, match="half copied"):
            run.begin([PracticeLane()], settings=quick())

    @pytest.mark.parametrize("state", ["plan", "done"])
    def test_a_folder_that_cannot_be_read_is_trouble_with_the_disk(self, tmp_path: Path, state: str) -> None:
        run = Run(tmp_path / "out").add(["a fox"], Txt2Img()).save()
        (run.folder.state / state).rename(tmp_path / "away")
        (run.folder.state / state).write_bytes(b"")
        again = Run(tmp_path / "out", on_change="redo")

        with pytest.raises(StorageError, match="cannot read the"):
            again.add(["a fox"], Txt2Img(steps=3))
        with pytest.raises(StorageError, match="cannot read the"):
            again.open_kinds()

    def test_a_slip_in_on_change_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="on_change='redoo': give 'refuse', 'redo'"):
            Run(tmp_path / "new", on_change="redoo")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    def test_servers_of_two_kinds_are_refused(self) -> None:
        kinds = {"one": ServerKind("a1111"), "two": ServerKind("forge")}

        with pytest.raises(ConfigurationError, match=r"one \(a1111\), two \(forge\).*--allow-mixed"):
            refuse_mixed(kinds)

    def test_a_server_unlike_the_one_a_run_was_begun_on_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="begun on a1111 with base, and two is a1111 with other"):
            refuse_mixed({"two": ServerKind("a1111", "other")}, ServerKind("a1111", "base"))
        refuse_mixed({"two": ServerKind("a1111", "")}, ServerKind("a1111", "base"))
        refuse_mixed({"two": ServerKind("a1111", "other")}, ANY)

    def test_a_server_that_is_missing_is_told_and_left_out(self, run: Run) -> None:
        run.add(["a fox"], Txt2Img(steps=2, width=64, height=64))
        missing: list[str] = []
        with Simulator("a1111") as server:
            lanes = run.lanes([server.url, "http://127.0.0.1:9"], on_missing=lambda name, _: missing.append(name))

            assert [lane.dialect for lane in lanes] == ["a1111"]
        assert missing == ["127.0.0.1:9"]
        with pytest.raises(NotSentError):
            run.lanes("http://127.0.0.1:9")

    def test_a_finished_run_needs_no_server(self, run: Run) -> None:
        assert run.lanes("http://127.0.0.1:9") == []

    def test_the_segmenter_of_the_plan_is_opened(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.png").write_bytes(png())
        run.add_cutouts(tmp_path / "in", SegmentSettings(model="classical"))

        (lane,) = run.lanes()

        assert lane.kinds == {"segment"}

    def test_a_second_interrupt_ends_what_runs(self, run: Run) -> None:
        plan_jobs(run.folder, ["a"])
        lane = PracticeLane()
        lane.gate = threading.Event()
        run.begin([lane], settings=quick())
        lane.running.wait(5)
        calls = iter([KeyboardInterrupt, None])
        really = run.wait

        def wait() -> object:
            error = next(calls)
            if error is not None:
                raise error
            return really()

        run.wait = wait  # type: ignore[method-assign,assignment]
        run._wind_up()

        assert run.status().counts.waiting == 1


class TestLooking:
    def test_the_status_names_workers_and_reasons(self, run: Run) -> None:
        from sdclient.errors import RejectedError

        plan_jobs(run.folder, ["a", "b"])
        work(run.folder, PracticeLane(trouble={("execute", "a"): [RejectedError("too many steps")]}))

        status = run.status()

        assert status.set_aside == {"a": "too many steps"}
        assert status.to_json() == {
            "jobs": 2,
            "done": 1,
            "failed": 0,
            "set_aside": 1,
            "claimed": 0,
            "waiting": 0,
            "workers": [],
            "reasons": {"a": "too many steps"},
        }

    def test_a_worker_at_work_is_listed(self, run: Run) -> None:
        plan_jobs(run.folder, ["a"])
        lane = PracticeLane()
        lane.gate = threading.Event()
        run.begin([lane], settings=quick())
        lane.running.wait(5)
        status = Run.open(run.out).status()
        lane.gate.set()
        run.wait()

        assert [(one.is_gone, len(one.worker), one.label) for one in status.workers] == [(False, 8, lane.name)]
        assert status.counts.claimed == 1

    def test_a_folder_that_cannot_be_read_is_told(self, run: Run) -> None:
        (run.folder.state / "claims").rmdir()
        (run.folder.state / "claims").write_bytes(b"")

        with pytest.raises(StorageError, match="read the run"):
            run.status()

    def test_an_empty_run_has_empty_tables(self, run: Run) -> None:
        assert len(run.images()) == len(run.attempts()) == 0
        assert run.write_views() == []


class TestLookahead:
    def test_time_is_unknown_until_something_was_measured(self, run: Run) -> None:
        plan_jobs(run.folder, ["a", "b", "c"])
        lane = PracticeLane(delay_s=0.02)
        before = time_estimate_s(run, [lane])
        work(run.folder, lane, limit=1)

        after = time_estimate_s(run, [lane])
        shared = time_estimate_s(run, [lane, PracticeLane()])

        assert before is None
        assert after is not None
        assert 0.04 <= after < 1
        assert shared == pytest.approx(after / 2)

    def test_disk_grows_with_size_and_number(self, run: Run) -> None:
        run.add(["a"], Txt2Img(width=512, height=512))
        small = disk_estimate_bytes(run)
        run.add(["b"], Txt2Img(width=512, height=512, enlarge=Enlarge(model="4x", scale=2)))

        assert disk_estimate_bytes(run) == pytest.approx(5 * small, rel=0.01)

    @pytest.mark.parametrize(
        ("size", "pixels"),
        [("source", 320 * 200), ("long-side=640", 640 * 400), ("scale=2", 640 * 400), (None, 320 * 200)],
    )
    def test_disk_goes_by_the_sizes_of_inputs_where_no_size_is_set(
        self, run: Run, tmp_path: Path, size: str | None, pixels: int
    ) -> None:
        (tmp_path / "in").mkdir()
        for number in range(40):
            (tmp_path / "in" / f"{number}.png").write_bytes(png(320, 200))
        run.add_folder(tmp_path / "in", Img2Img(), size=size)

        assert disk_estimate_bytes(run) == pytest.approx(40 * pixels * 1.9, rel=0.01)

    def test_disk_goes_by_the_sizes_of_inputs_before_the_output_folder_is_made(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.png").write_bytes(png(320, 200))
        run = Run(tmp_path / "new").add_folder(tmp_path / "in", Img2Img(), size="source")

        assert not run.out.exists()
        assert disk_estimate_bytes(run) == pytest.approx(320 * 200 * 1.9, rel=0.01)

    def test_disk_for_inputs_that_nobody_can_read_is_a_guess(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.png").write_bytes(png(320, 200))
        run.add_folder(tmp_path / "in", Img2Img(), size="source")
        (tmp_path / "in" / "a.png").unlink()

        assert disk_estimate_bytes(run) == pytest.approx(1024 * 1024 * 1.9, rel=0.01)

    def test_disk_for_a_chain_goes_by_the_size_it_begins_with(self, run: Run) -> None:
        request = Txt2Img(width=256, height=512, enlarge=Enlarge(model="4x", scale=2))
        spec, again = GenerateSpec(request).to_json(), GenerateSpec(Img2Img()).to_json()
        first = make_job("txt2img", "a", spec)
        second = make_job("img2img", "b", again, input=OutputInput(first.id))
        third = make_job("img2img", "c", again, input=OutputInput(second.id))
        run.folder.add([first, second, third], {spec_id(one): one for one in (spec, again)})

        assert disk_estimate_bytes(run) == pytest.approx(3 * 512 * 1024 * 1.9, rel=0.01)

    def test_disk_goes_by_what_was_made_once_something_was(self, run: Run) -> None:
        jobs = plan_jobs(run.folder, [f"place-{number}" for number in range(50)])
        work(run.folder, limit=20)
        made = [
            one.size_bytes
            for job in jobs
            if job.id in run.folder.read_done()
            for one in run.folder.record(job.id).files
        ]

        assert disk_estimate_bytes(run) == pytest.approx(30 * sum(made) / 20, rel=0.1)

    def test_losses_of_the_open_jobs_are_named_with_their_server(self, run: Run, tmp_path: Path) -> None:
        run.add(["a", "b"], Txt2Img(steps=2))
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.png").write_bytes(png())
        run.add_cutouts(tmp_path / "in", SegmentSettings(model="classical"))
        with Simulator("a1111") as server:
            lanes = run.lanes(server.url)
            found = run.losses(lanes)

        (loss,) = found
        assert (loss.kind, loss.server) == ("txt2img", lanes[0].name)
        assert "txt2img on" in str(loss)
        assert loss.to_json()[0]["job_kind"] == "txt2img"
        assert disk_estimate_bytes(run) > 2_000_000

    @pytest.mark.parametrize(
        ("how", "lost"),
        [({"size": "scale=0.1"}, ["resize_mode"]), ({"fit": "crop"}, ["resize_mode"]), ({}, [])],
    )
    def test_a_way_to_resize_that_size_or_fit_leave_nothing_is_named_before_work_begins(
        self, run: Run, tmp_path: Path, how: dict[str, str], lost: list[str]
    ) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.png").write_bytes(png())
        request = Img2Img(prompt="x", width=512, height=256, resize_mode=2, inherit=True)
        run.add_folder(tmp_path / "in", request, **how)
        with Simulator("a1111") as server:
            found = run.losses(run.lanes(server.url))

        assert [loss.field for one in found for loss in one.losses.items if loss.field != "model"] == lost

    def test_a_lora_tag_of_any_prompt_is_looked_at_before_work_begins(self, run: Run) -> None:
        run.add(["a", "b", "c <lora:nobody_has_this:1>"], Txt2Img(steps=2, inherit=True))
        with Simulator("a1111") as server:
            found = run.losses(run.lanes(server.url))

        assert "no LoRA 'nobody_has_this' and would draw without it" in "".join(map(str, found))

    def test_what_a_server_cannot_do_is_refused_before_anything_is_sent(self, run: Run) -> None:
        run.add(["a"], Txt2Img(steps=2, sampler_name="TCD"))
        with Simulator("a1111") as server:
            with pytest.raises(LossError, match="TCD"):
                run.losses(run.lanes(server.url))

            assert not [one for one in server.log if one.method == "POST"]


class TestEngine:
    def test_it_works_in_the_background(self, run: Run) -> None:
        plan_jobs(run.folder, ["a"])
        events: list[Event] = []
        engine = ThreadsEngine(run.folder, [PracticeLane()], quick(), listener=events.append, keep_awake=False)
        engine.start()
        result = None
        while result is None:
            result = engine.wait(0.01)

        assert result.made == 1
        assert not engine.is_alive
        assert [event.name for event in events] == ["begun", "done"]

    def test_what_goes_wrong_in_the_background_is_raised_where_one_waits(self, run: Run) -> None:
        plan_jobs(run.folder, ["a"])
        run.folder._sleep = lambda _: None
        engine = ThreadsEngine(run.folder, [PracticeLane()], quick(), keep_awake=False)
        (run.folder.state / "plan" / ("0" * 64 + ".jsonl")).write_bytes(b"damaged")
        engine.start()

        with pytest.raises(RunFolderError, match="half copied"):
            engine.wait()
        engine.stop(Stop.FINISH)

    def test_the_machine_is_held_awake_by_a_program_that_ends_with_us(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(awake, "awake_command", lambda: [sys.executable, "-c", "input()"])

        with awake.kept_awake() as is_awake:
            assert is_awake

    def test_a_program_that_does_not_end_is_killed(self) -> None:
        stubborn = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); sys.stdin.read(); signal.pause()"
        process = subprocess.Popen([sys.executable, "-c", stubborn], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdout.readline()  # type: ignore[union-attr]

        awake.end_process(process, patience_s=0.05)
        process.stdout.close()  # type: ignore[union-attr]

        assert process.returncode is not None

    @pytest.mark.parametrize("command", [None, ["/no/such/program"]])
    def test_a_machine_that_cannot_be_held_awake_is_no_error(
        self, monkeypatch: pytest.MonkeyPatch, command: list[str] | None
    ) -> None:
        monkeypatch.setattr(awake, "awake_command", lambda: command)

        with awake.kept_awake() as is_awake:
            assert not is_awake

    def test_every_system_has_its_own_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(awake.shutil, "which", lambda name: f"/usr/bin/{name}")
        mac = awake.awake_command("darwin")
        monkeypatch.setattr(awake.os.path, "isdir", lambda _: True)
        linux = awake.awake_command("linux")
        monkeypatch.setattr(awake.shutil, "which", lambda _: None)

        assert mac is not None
        assert mac[0] == "caffeinate"
        assert linux is not None
        assert linux[0] == "systemd-inhibit"
        assert awake.awake_command() is None


@pytest.mark.parametrize("name", ["start", "join", "retry", "verify", "clean"])
def test_a_mistyped_folder_is_no_run_and_stays_away(tmp_path: Path, name: str) -> None:
    run = Run(tmp_path / "typo")

    with pytest.raises(RunFolderError, match="no run here"):
        getattr(run, name)()

    assert not (tmp_path / "typo").exists()


def test_a_folder_is_not_drawn_from_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="drawn over with an Img2Img, not Txt2Img"):
        Run(tmp_path / "out").add_folder(tmp_path, Txt2Img())  # type: ignore[arg-type] # the mistake itself

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("spelled", ["in", "./in/../in"])
def test_results_among_their_inputs_are_made_and_spoken_of(tmp_path: Path, spelled: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(png())

    among = Run(tmp_path / spelled).add_folder(tmp_path / "in", Img2Img())
    below = Run(tmp_path / "in/out").add_folder(tmp_path / "in", Img2Img())

    assert len(among.jobs()) == 1
    assert ["results will lie among the inputs" in text for text in among.remarks] == [True]
    assert below.remarks == []


def test_a_run_writes_its_page_and_loads_what_it_takes_only_then(tmp_path: Path) -> None:
    run = Run(tmp_path / "out").save()
    plan_jobs(run.folder, ["a"])
    work(run.folder)

    page = run.report(embed=True)

    assert page == run.out / "report.html"
    assert "a_1.png" in page.read_text(encoding="utf-8")
    loaded = (
        "import sdclient.run, sys; print([one for one in sys.modules if one.startswith(('sdclient.report', 'matpl'))])"
    )
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_run_that_was_not_begun_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError):
        Run(tmp_path / "out").report()
