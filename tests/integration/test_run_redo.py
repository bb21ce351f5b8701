"""What works on an image that is made once more: it follows, done or not, whoever is at it, and a slip is told and mended."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from sdclient.batch.again import redo, wanted
from sdclient.batch.folder import RunFolder
from sdclient.batch.identity import new_token
from sdclient.batch.plan import Job, OutputInput, job_id, latest_jobs
from sdclient.batch.worker import Worker
from sdclient.run import Run
from sdclient.simulator import Simulator
from tests.conftest import CommandLine
from tests.integration.test_recipe_nations import study
from tests.practice_lane import PracticeLane, plan_jobs, quick, work

IMG2IMG = frozenset({"img2img"})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "out", run_seed=1, lease_s=0.5, beat_s=0.1).save()


@pytest.fixture
def chain(run: Run) -> list[Job]:
    """An image, drawn over and then cut out; nothing is done."""
    (first,) = plan_jobs(run.folder, ["gen/a"])
    (second,) = plan_jobs(run.folder, ["up/a"], kind="img2img", inputs=[OutputInput(first.id)])
    (third,) = plan_jobs(run.folder, ["cut/a"], kind="segment", inputs=[OutputInput(second.id)])
    return [first, second, third]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def made_from(run: Run, place: str) -> JsonValue:
    """The hash of what the image at a place was made from, as its record says."""
    (job,) = [job for job in latest_jobs({job.id: job for job in run.jobs()}).values() if job.place == place]
    return run.folder.record(job.id).facts["input_sha256"]


def follows(run: Run) -> bool:
    """Whether what stands at every place of the chain was made from what stands at the one before."""
    return (made_from(run, "up/a"), made_from(run, "cut/a")) == (
        sha256(run.out / "gen/a_1.png"),
        sha256(run.out / "up/a_1.png"),
    )


def redone_of_old(run: Run, *jobs: Job) -> None:
    """Plan jobs once more as programs of before did: without what is not done and works on them."""
    plan = run.folder.read_plan()
    latest = {job.place: job for job in latest_jobs(plan.jobs).values()}
    earlier = [latest[job.place] for job in jobs]
    after = [
        replace(one, id=job_id(one.kind, one.place, one.revision + 1), revision=one.revision + 1) for one in earlier
    ]
    run.folder.add(after, plan.specs)


class TestWhatWaits:
    @pytest.mark.usefixtures("chain")
    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_is_made_from_the_new_image(self, run: Run, limit: int) -> None:
        work(run.folder, limit=limit)

        redone = run.redo("gen/a", new_seed=True)
        counts = work(run.folder).counts

        assert [job.place for job in redone.jobs] == ["gen/a", "up/a", "cut/a"]
        assert (counts.jobs, counts.done) == (3, 3)
        assert follows(run)
        assert run.verify(decode=False) == []
        assert run.folder.read_claims() == {}

    @pytest.mark.usefixtures("chain")
    def test_of_an_earlier_redo_is_too(self, run: Run) -> None:
        work(run.folder)

        run.redo("cut/a")
        run.redo("up/a", new_seed=True)
        run.redo("gen/a")
        counts = work(run.folder).counts

        assert (counts.jobs, counts.done) == (3, 3)
        assert follows(run)

    @pytest.mark.usefixtures("chain")
    def test_is_not_left_out_of_what_was_asked_for_though_it_is_not_made(self, run: Run) -> None:
        work(run.folder, limit=1)

        redone = run.redo("*/a", new_seed=True)

        assert redone.left_out == ()
        assert [isinstance(job.changes.get("seed"), int) for job in redone.jobs] == [True, True, False]

    @pytest.mark.usefixtures("chain")
    def test_counts_once(self, run: Run) -> None:
        work(run.folder, limit=1)
        run.redo("gen/a")

        counts = run.status().counts

        assert (counts.jobs, counts.done, counts.waiting) == (3, 0, 3)


class TestSomebodyElse:
    @contextmanager
    def at_work_on_the_old(self, run: Run) -> Generator[threading.Event, None, None]:
        """Have another worker draw over the image that is there; it ends once the event is set."""
        work(run.folder, PracticeLane(kinds=frozenset({"txt2img"})))
        lane = PracticeLane(kinds=IMG2IMG)
        lane.gate = threading.Event()
        other = threading.Thread(target=Worker(run.folder, [lane], quick()).run)
        other.start()
        try:
            assert lane.running.wait(20)
            yield lane.gate
        finally:
            lane.gate.set()
            other.join(20)

    def test_who_is_late_with_the_old_one_changes_nothing(self, run: Run, chain: list[Job]) -> None:
        with self.at_work_on_the_old(run):
            redone = run.redo("gen/a", new_seed=True)
            counts = work(RunFolder.open(run.out)).counts
            before = sha256(run.out / "up/a_1.png")

        assert (len(redone.jobs), counts.jobs, counts.done) == (3, 3, 3)
        assert run.folder.is_done(chain[1].id)
        assert sha256(run.out / "up/a_1.png") == before
        assert follows(run)
        assert run.clean(is_patient=True).left == ()
        assert run.folder.read_claims() == {}
        assert sorted(path.name for path in (run.out / "up").iterdir()) == ["a_1.png"]

    def test_who_is_early_with_the_old_one_is_outdone(self, run: Run, chain: list[Job]) -> None:
        with self.at_work_on_the_old(run) as gate:
            run.redo("gen/a", new_seed=True)
            gate.set()
        is_early = run.folder.is_done(chain[1].id)
        counts = work(RunFolder.open(run.out)).counts

        assert is_early
        assert (counts.jobs, counts.done) == (3, 3)
        assert follows(run)
        assert (run.folder.state / "replaced" / chain[1].id / "a_1.png").is_file()

    def test_what_the_dead_held_is_made_from_the_new_image(self, run: Run, chain: list[Job]) -> None:
        work(run.folder, limit=1)
        dead = new_token()
        run.folder.claim(chain[1].id, 1, dead)
        run.folder.part_folder(chain[1].id, 1, dead).mkdir()

        run.redo("gen/a")
        work(run.folder)

        assert follows(run)
        assert run.clean(is_patient=True).left == ()
        assert run.folder.read_claims() == {}

    def test_what_is_planned_upon_the_old_image_at_the_same_moment_follows(self, run: Run, chain: list[Job]) -> None:
        work(run.folder)

        class Hurried(RunFolder):
            """Somebody plans cut-outs of the image just before this one writes."""

            def add(
                self,
                jobs: Iterable[Job],
                specs: Mapping[str, Mapping[str, JsonValue]],
                *,
                withdrawn: Iterable[str] = (),
            ) -> list[Job]:
                if not any(job.place == "cut/late" for job in self.read_plan().jobs.values()):
                    other = RunFolder.open(self.out)
                    plan_jobs(other, ["cut/late"], kind="segment", inputs=[OutputInput(chain[0].id)])
                return super().add(jobs, specs, withdrawn=withdrawn)

        redone = redo(Hurried.open(run.out), wanted(["gen/a"]))
        counts = work(run.folder).counts

        assert sorted(job.place for job in redone.jobs) == ["cut/a", "cut/late", "gen/a", "up/a"]
        assert (counts.jobs, counts.done) == (4, 4)
        assert made_from(run, "cut/late") == sha256(run.out / "gen/a_1.png")


class TestWhatAnOlderRedoLeftBehind:
    @pytest.mark.parametrize("pattern", ["gen/a", "up/a"])
    def test_is_mended_by_the_next_redo_of_it_or_of_the_image(self, run: Run, chain: list[Job], pattern: str) -> None:
        work(run.folder)
        redone_of_old(run, chain[1])
        redone_of_old(run, chain[0])
        work(run.folder)
        was_wrong = not follows(run)

        run.redo(pattern)
        work(run.folder)

        assert was_wrong
        assert follows(run)
        assert run.verify(decode=False) == []

    def test_is_mended_before_it_is_made_too(self, run: Run, chain: list[Job]) -> None:
        work(run.folder, limit=1)
        redone_of_old(run, chain[0])

        redone = run.redo("gen/a", "up/a")
        work(run.folder)

        assert [job.place for job in redone.jobs] == ["up/a", "cut/a"]
        assert [text.partition(":")[0] for text in redone.left_out] == ["gen/a"]
        assert follows(run)

    def test_is_told_by_verify_with_what_mends_it(self, run: Run, chain: list[Job]) -> None:
        work(run.folder)
        redone_of_old(run, chain[0])
        work(run.folder)

        (finding,) = run.verify(decode=False)
        run.repair([finding])
        planned = run.verify(decode=False)
        work(run.folder)

        assert (finding.flaw, finding.place, finding.is_repairable) == ("outdated", "up/a", True)
        assert finding.message == (
            "up/a: was made from an image that was redone since, gen/a_1.png; to make it from the new one: "
            f"sdclient redo {run.out} up/a"
        )
        assert planned == []
        assert follows(run)
        assert run.verify(decode=False) == []

    def test_is_mended_by_a_repair_though_it_is_planned_once_more_upon_the_old_image(
        self, run: Run, chain: list[Job]
    ) -> None:
        work(run.folder)
        redone_of_old(run, chain[0])
        work(run.folder)
        redone_of_old(run, chain[1])

        findings = run.verify(decode=False)
        repaired = run.repair(findings)
        work(run.folder)

        assert [(one.flaw, one.place) for one in findings] == [("outdated", "up/a")]
        assert ([job.place for job in repaired.jobs], repaired.left_out) == (["up/a", "cut/a"], ())
        assert follows(run)
        assert run.verify(decode=False) == []


# ---- as people type it ----

DRAWING = ("--payload", "story", "--set", "width=256", "--set", "height=256", "--set", "inherit=true")


def objects_of(out: Path) -> list[tuple[JsonValue, str]]:
    """What each set of cut-outs was made from, and what stands at the place of that."""
    run = Run.open(out)
    plan = run.folder.read_plan()
    cuts = [job for job in latest_jobs(plan.jobs).values() if isinstance(job.input, OutputInput)]
    return [
        (run.folder.record(job.id).facts["input_sha256"], sha256(out / one.place))
        for job in cuts
        if isinstance(job.input, OutputInput)
        for one in [run.folder.record(job.input.job).files[job.input.index]]
    ]


def test_cutouts_that_waited_are_of_the_image_that_was_redone(cli: CommandLine, a1111: Simulator) -> None:
    (cli.folder / "p.txt").write_text("a red fox\n", encoding="utf-8")
    cutting = ("--then", "segment", "--cutouts-model", "classical")
    begun = cli("generate", "p.txt", "--out", "A", *DRAWING, "--url", a1111.url, *cutting, "--limit", "1")

    redone = cli("redo", "A", "*fox*_1.png", "--new-seed")
    joined = cli("join", "A", "--url", a1111.url)
    again = cli("redo", "A", "cutouts/*_01.png")
    both = cli("redo", "A", "*fox*_1.png", "--new-seed")
    last = cli("join", "A", "--url", a1111.url)
    verified = cli("verify", "A")

    assert [one.code for one in (begun, redone, joined, again, both, last, verified)] == [0] * 7, verified.stderr
    assert redone.stdout.split() == ["0001_a_red_fox", "cutouts/0001_a_red_fox_1"]
    assert "2 of 2 jobs done" in joined.stderr
    assert [one == two for one, two in objects_of(cli.folder / "A")] == [True]


def test_a_bake_that_waited_is_of_the_image_that_was_redone(cli: CommandLine, draw_things: Simulator) -> None:
    queue = "nation,category,count\nGreek,family,1\n"
    begun = study(cli, draw_things.url, "--limit", "1", queue=queue)

    redone = cli("redo", "STUDY", "generated/*_1.png", "--new-seed")
    joined = cli("join", "STUDY", "--url", draw_things.url)
    verified = cli("verify", "STUDY")

    assert [one.code for one in (begun, redone, joined, verified)] == [0] * 4, verified.stderr
    assert len(redone.stdout.split()) == 2
    assert [one == two for one, two in objects_of(cli.folder / "STUDY")] == [True]
