"""Retry, redo, verify, repair and clean on a run that was really worked on."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from sdclient.batch.claims import claim_name
from sdclient.batch.events import Event
from sdclient.batch.folder import RunFolder
from sdclient.batch.identity import new_token
from sdclient.batch.plan import FileInput, Job, OutputInput, job_seed
from sdclient.batch.verify import verify
from sdclient.batch.worker import Worker
from sdclient.errors import PlanError, RejectedError
from sdclient.report import make_report, read_run
from sdclient.run import Run
from tests.practice_lane import PracticeLane, plan_jobs, quick, work


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "out", run_seed=1, lease_s=0.5, beat_s=0.1).save()


@pytest.fixture
def chain(run: Run) -> list[Job]:
    """Two images, each drawn over, all done."""
    first = plan_jobs(run.folder, ["gen/a", "gen/b"])
    second = plan_jobs(run.folder, ["up/a", "up/b"], kind="img2img", inputs=[OutputInput(job.id) for job in first])
    assert work(run.folder).counts.done == 4
    return [*first, *second]


def images(run: Run) -> dict[str, bytes]:
    return {path.relative_to(run.out).as_posix(): path.read_bytes() for path in sorted(run.out.rglob("*.png"))}


def kept(run: Run) -> dict[str, bytes]:
    folder = run.folder.state / "replaced"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def outside(run: Run) -> dict[str, bytes]:
    return {name: data for name, data in images(run).items() if not name.startswith(".sdclient")}


class TestRetry:
    def test_a_job_that_was_set_aside_is_tried_again_with_what_works_on_it(self, run: Run) -> None:
        (first,) = plan_jobs(run.folder, ["a"])
        plan_jobs(run.folder, ["b"], kind="img2img", inputs=[OutputInput(first.id)])
        work(run.folder, PracticeLane(trouble={("execute", "a"): [RejectedError("no")]}))
        before = run.status().counts.set_aside

        freed = run.retry()

        assert (before, [job.place for job in freed]) == (2, ["a"])
        assert run.status().counts.waiting == 2
        assert work(run.folder).counts.done == 2

    def test_only_what_was_asked_for_is_tried_again(self, run: Run) -> None:
        plan_jobs(run.folder, ["a", "b"])
        work(run.folder, PracticeLane(trouble={("execute", place): [RejectedError("no")] for place in "ab"}))

        assert [job.place for job in run.retry("b")] == ["b"]
        assert [job.place for job in run.retry("nothing")] == []
        assert run.status().counts.set_aside == 1

    def test_counting_starts_anew(self, run: Run) -> None:
        plan_jobs(run.folder, ["a"])
        trouble = {("execute", "a"): [ZeroDivisionError("x")] * 5}
        work(run.folder, PracticeLane(trouble=trouble))
        run.retry()

        assert work(run.folder, PracticeLane(trouble={("execute", "a"): [ZeroDivisionError("x")] * 2})).counts.done == 1


class TestRedo:
    def test_the_image_is_replaced_and_the_old_one_kept_with_all_that_works_on_it(
        self, run: Run, chain: list[Job]
    ) -> None:
        before = images(run)

        redone = run.redo("gen/a")
        meanwhile = images(run)
        result = work(run.folder)

        after = outside(run)
        changed = {name for name in before if after[name] != before[name]}
        assert sorted(job.place for job in redone.jobs) == ["gen/a", "up/a"]
        assert meanwhile == before
        assert (result.counts.done, result.counts.jobs) == (4, 4)
        assert changed == {"gen/a_1.png", "up/a_1.png"}
        assert after.keys() == before.keys()
        assert kept(run) == {
            f"{chain[0].id}/a_1.png": before["gen/a_1.png"],
            f"{chain[2].id}/a_1.png": before["up/a_1.png"],
        }

    @pytest.mark.usefixtures("chain")
    def test_a_place_counts_once_before_and_after(self, run: Run) -> None:
        run.redo("gen/a")
        planned = run.status().counts
        work(run.folder)
        done = run.status().counts

        assert (planned.jobs, planned.done, planned.waiting) == (4, 2, 2)
        assert (done.jobs, done.done, done.left) == (4, 4, 0)
        assert sum(request.jobs for request in make_report(read_run(run.folder)).requests) == 4

    @pytest.mark.usefixtures("chain")
    def test_what_works_on_it_gets_the_new_image(self, run: Run) -> None:
        run.redo("gen/a", new_seed=True)
        lane = PracticeLane()
        work(run.folder, lane)

        assert lane.inputs["up/a"] == (run.out / "gen/a_1.png").read_bytes()

    @pytest.mark.usefixtures("chain")
    def test_the_table_names_every_image_once(self, run: Run) -> None:
        run.redo("gen/a")
        work(run.folder)

        with (run.out / "images.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))

        assert sorted(row["image"] for row in rows) == sorted(outside(run))
        for row in rows:
            assert row["sha256"] == hashlib.sha256((run.out / row["image"]).read_bytes()).hexdigest()

    @pytest.mark.usefixtures("chain")
    def test_the_seed_stays_unless_another_is_asked_for(self, run: Run) -> None:
        same = run.redo("gen/a").jobs[0]
        other = run.redo("gen/b", new_seed=True).jobs

        assert "seed" not in same.changes
        assert isinstance(other[0].changes["seed"], int)
        assert "seed" not in other[1].changes

    @pytest.mark.usefixtures("chain")
    def test_images_are_found_by_name_pattern_or_number(self, run: Run) -> None:
        assert len(run.redo("up/b_1.png").jobs) == 1
        assert len(run.redo("gen/*").jobs) == 4

    def test_nothing_that_matches_is_an_error_and_what_is_not_done_is_left_out(self, run: Run) -> None:
        plan_jobs(run.folder, ["a"])

        (told,) = run.redo("a").left_out
        assert told.startswith("a: is not made yet; `sdclient join` makes it")
        with pytest.raises(PlanError, match="no job matches"):
            run.redo("z*")
        with pytest.raises(PlanError, match="which jobs"):
            run.redo()

    @pytest.mark.usefixtures("chain")
    def test_a_name_that_is_no_image_is_told_beside_those_that_are(self, run: Run) -> None:
        redone = run.redo("up/a_1.png", "up/nobody_1.png", "elsewhere/*")

        assert [job.place for job in redone.jobs] == ["up/a"]
        assert redone.left_out == ("up/nobody_1.png: no such image", "elsewhere/*: no such image")

    def test_brackets_in_a_name_mean_themselves(self, run: Run) -> None:
        plan_jobs(run.folder, ["fox [1]", "fox 1"])
        work(run.folder)

        assert [job.place for job in run.redo(names=["fox [1]_1.png"]).jobs] == ["fox [1]"]
        assert [job.place for job in run.redo("fox [1]_1.png").jobs] == ["fox 1"]

    @pytest.mark.parametrize("pattern", ["e\u0301t\u0301.png", "e\u0301*"], ids=["name", "pattern"])
    def test_a_name_that_macos_spells_decomposed_is_found(self, run: Run, pattern: str) -> None:
        plan_jobs(run.folder, ["\u00e9t\u0301", "b"])
        work(run.folder)

        assert [job.place for job in run.redo(pattern.replace(".png", "_1.png")).jobs] == ["\u00e9t\u0301"]

    @pytest.mark.usefixtures("chain")
    def test_an_image_the_user_has_changed_stays_and_the_new_one_goes_beside_it(self, run: Run) -> None:
        (run.out / "up/a_1.png").write_bytes(b"retouched")
        (job,) = run.redo("up/a").jobs
        work(run.folder)

        assert (run.out / "up/a_1.png").read_bytes() == b"retouched"
        assert (run.out / f"up/a_1~{job.id[:8]}.png").is_file()

    @pytest.mark.usefixtures("chain")
    def test_twice_is_twice(self, run: Run) -> None:
        for _ in range(2):
            run.redo("up/a")
            work(run.folder)

        assert len(kept(run)) == 2
        assert b" 2\n" in (run.out / "up/a_1.png").read_bytes()
        assert run.verify(decode=False) == []


class TestVerify:
    @pytest.mark.usefixtures("chain")
    def test_a_sound_run_has_no_findings(self, run: Run) -> None:
        assert run.verify(decode=False) == []

    @pytest.mark.usefixtures("chain")
    def test_files_that_are_gone_or_changed_are_found_and_can_be_made_again(self, run: Run) -> None:
        before = images(run)
        (run.out / "gen/a_1.png").unlink()
        (run.out / "up/b_1.png").write_bytes(b"bit rot")
        findings = run.verify(decode=False)

        run.repair(findings)
        work(run.folder)

        assert sorted((one.flaw, one.place) for one in findings) == [
            ("changed", "up/b_1.png"),
            ("missing", "gen/a_1.png"),
        ]
        assert run.verify(decode=False) == []
        assert outside(run).keys() == before.keys()
        assert b"bit rot" in kept(run).values()

    @pytest.mark.usefixtures("chain")
    def test_repairing_nothing_plans_nothing(self, run: Run) -> None:
        assert run.repair([]).jobs == ()

    @pytest.mark.usefixtures("chain")
    def test_what_is_planned_once_more_already_is_said_and_not_planned_again(self, run: Run) -> None:
        (run.out / "up/a_1.png").unlink()
        run.repair(run.verify(decode=False))

        again = run.repair(run.verify(decode=False))

        assert again.jobs == ()
        assert again.left_out == ("up/a_1.png: is planned once more already; `sdclient join` makes it",)
        assert run.status().counts.waiting == 1

    @pytest.mark.usefixtures("chain")
    def test_an_image_that_does_not_decode_is_found(self, run: Run) -> None:
        findings = run.verify()

        assert {one.flaw for one in findings} == {"damaged"}
        assert len(findings) == 4

    def test_a_damaged_record_is_found(self, run: Run, chain: list[Job]) -> None:
        (run.folder.done_folder(chain[0].id) / "record.json").write_bytes(b"{")

        (finding,) = run.verify(decode=False)

        assert (finding.flaw, finding.is_repairable) == ("record", True)
        assert "`sdclient verify --repair` plans it anew" in finding.message

    def test_a_job_whose_record_is_damaged_is_made_again_beside_what_is_there(self, run: Run, chain: list[Job]) -> None:
        record = run.folder.done_folder(chain[2].id) / "record.json"
        record.write_bytes(b"")
        before, events = outside(run), list[Event]()

        (again,) = run.repair(run.verify(decode=False)).jobs
        result = Worker(run.folder, [PracticeLane()], quick(), listener=events.append).run()

        assert (result.counts.done, result.counts.left) == (4, 0)
        assert outside(run).items() >= before.items()
        assert outside(run).keys() - before.keys() == {f"up/a_1~{again.id[:8]}.png"}
        said = "\n".join(one.message for one in events if one.name == "remark")
        assert f"up/a: what was made before counts as yours and stays, for {record} is damaged" in said
        assert f"a file of yours is there and stays; the new image is a_1~{again.id[:8]}.png" in said
        assert list(run.verify(decode=False)) == []

    def test_one_that_came_out_equal_is_not_told_to_lie_beside_what_is_there(self, run: Run, chain: list[Job]) -> None:
        record = run.folder.done_folder(chain[2].id) / "record.json"
        record.write_bytes(b"")
        (again,) = run.repair(run.verify(decode=False)).jobs
        (run.out / "up/a_1.png").write_bytes(f"up/a {job_seed(1, again.kind, again.place)} 1\n".encode())
        before, events = outside(run), list[Event]()

        Worker(run.folder, [PracticeLane()], quick(), listener=events.append).run()

        assert outside(run) == before
        assert [one.message for one in events if one.name == "remark"] == []

    def test_a_damaged_record_that_has_been_made_up_for_is_not_spoken_of_any_more(
        self, run: Run, chain: list[Job]
    ) -> None:
        (run.folder.done_folder(chain[2].id) / "record.json").write_bytes(b"")
        run.folder.claim(chain[2].id, 2, new_token())
        before = work(run.folder).problems
        run.repair(run.verify(decode=False))
        made = work(run.folder)
        run.redo("up/a")
        events = list[Event]()

        last = Worker(run.folder, [PracticeLane()], quick(), listener=events.append).run()

        assert ["damaged" in one for one in before] == [True]
        assert (made.problems, last.problems) == ((), ())
        assert not any("damaged" in one.message for one in events)
        assert run.clean().left == ()
        assert run.folder.read_claims() == {}

    def test_an_image_that_is_not_in_its_place_is_found(self, run: Run, chain: list[Job]) -> None:
        lost = run.folder.done_folder(chain[0].id) / "a_1.png"
        (run.out / "gen/a_1.png").rename(lost)

        (finding,) = run.verify(decode=False)

        assert (finding.flaw, finding.place, finding.is_repairable) == ("unplaced", "gen/a_1.png", False)
        assert f"is made and not in its place, it is {lost}; `sdclient join` puts it there" in finding.message

    def test_an_input_that_changed_is_told_and_not_called_a_damage(self, run: Run, tmp_path: Path) -> None:
        source = tmp_path / "in"
        source.mkdir()
        (source / "x.png").write_bytes(b"before")
        (source / "y.png").write_bytes(b"before")
        given = [FileInput("../in", "x.png"), FileInput("../in", "y.png")]
        plan_jobs(run.folder, ["x", "y"], kind="img2img", inputs=given)
        work(run.folder)
        (source / "x.png").write_bytes(b"after")
        (source / "y.png").unlink()

        findings = run.verify(decode=False)

        assert [(one.flaw, one.place, one.is_repairable) for one in findings] == [
            ("input", "x", False),
            ("input", "y", False),
        ]
        # Nothing was set aside, so there is nothing to retry.
        assert "y.png is not there any more" in findings[1].message
        assert "retry" not in findings[1].message

    @pytest.mark.usefixtures("chain")
    def test_inputs_and_decoding_can_be_left_out(self, run: Run) -> None:
        assert list(verify(run.folder)) == []


class TestClean:
    def test_what_silent_workers_left_goes_only_after_a_lease(self, run: Run, chain: list[Job]) -> None:
        part = run.folder.part_folder(chain[0].id, 2, new_token())
        part.mkdir()

        at_once = run.clean()
        patient = run.clean(is_patient=True)

        assert (at_once.parts, patient.parts) == (0, 1)
        assert not part.exists()

    def test_a_living_worker_keeps_its_part(self, run: Run, chain: list[Job]) -> None:
        from sdclient.batch.beats import BeatWriter

        token = new_token()
        part = run.folder.part_folder(chain[0].id, 2, token)
        part.mkdir()
        writer = BeatWriter(run.folder.state / "beats" / token, beat_s=0.05, lease_s=0.5)
        writer.start()

        swept = run.clean(is_patient=True)

        writer.stop(remove=True)
        assert swept.parts == 0
        assert part.exists()

    def test_a_damaged_record_is_left_and_told_and_all_the_rest_is_cleaned(self, run: Run, chain: list[Job]) -> None:
        for job in chain:
            run.folder.claim(job.id, 2, new_token())
        broken = run.folder.done_folder(chain[0].id)
        (broken / "record.json").write_bytes(b"{")
        (broken / "a_1.png").write_bytes(b"image")

        swept = run.clean()

        assert (len(swept.left), swept.left[0].startswith(f"{broken / 'record.json'}: the record is damaged")) == (
            1,
            True,
        )
        assert run.folder.read_claims().keys() == {chain[0].id}
        assert (broken / "a_1.png").read_bytes() == b"image"

    def test_files_that_were_never_published_are(self, run: Run) -> None:
        from tests.integration.test_run_worker import done_by_hand

        (job,) = plan_jobs(run.folder, ["a"])
        done_by_hand(run.folder, job.id, "a_1.png", b"image")

        run.clean()

        assert (run.out / "a_1.png").read_bytes() == b"image"
        assert not (run.folder.state / "claims" / claim_name(job.id, 1)).exists()


def test_a_run_whose_empty_folders_were_lost_in_copying_can_be_cleaned(run: Run) -> None:
    (run.folder.state / "parts").rmdir()

    Run.open(run.out).clean()

    assert RunFolder.open(run.out).read_done() == set()
