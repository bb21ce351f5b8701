"""A run that is asked for again with another payload: shown, asked about, and never changed unasked."""

from __future__ import annotations

import shlex
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from sdclient import ChangedPlanError, Run, Txt2Img
from sdclient.batch.events import Event
from sdclient.batch.folder import RunFolder
from sdclient.batch.lane import Task
from sdclient.batch.log import read_attempts
from sdclient.batch.plan import job_id
from sdclient.batch.worker import Worker, WorkerSettings
from sdclient.errors import PlanError
from sdclient.infotext import parse_infotext, read_infotext
from sdclient.prompts import read_prompts
from sdclient.simulator import Simulator
from tests.conftest import CommandLine
from tests.integration.relay import Relay
from tests.integration.terminal import Terminal
from tests.practice_lane import PracticeJob, PracticeLane, plan_jobs, quick, work


@pytest.fixture
def begun(cli: CommandLine, a1111: Simulator) -> tuple[str, ...]:
    """Two of three images are done; the command, without its settings."""
    (cli.folder / "prompts.txt").write_text("a fox\na hare\na lynx\n", encoding="utf-8")
    command = ("generate", "prompts.txt", "--out", "out", "--url", a1111.url, "--set", "inherit=true")
    small = ("--set", "width=64", "--set", "height=64")
    request = Txt2Img(inherit=True, width=64, height=64, steps=1)
    run = Run(cli.folder / "out").add(read_prompts(cli.folder / "prompts.txt"), request)
    run.start(a1111.url, settings=WorkerSettings(limit=2))
    return (*command, *small)


def steps_of(folder: Path, pattern: str = "*.png") -> dict[str, int | None]:
    found = {}
    for path in sorted(folder.glob(pattern)):
        found[path.name] = parse_infotext(read_infotext(path.read_bytes()) or "").get_int("Steps")
    return found


def test_unattended_it_refuses_with_the_difference_and_the_commands_to_type(
    cli: CommandLine, begun: tuple[str, ...]
) -> None:
    before = sorted((cli.folder / "out").rglob("*"))
    ended = cli(*begun, "--set", "steps=3")

    assert ended.code == 2
    assert "steps 1, now 3 (3 jobs)" in ended.stderr
    assert "2 done" in ended.stderr
    assert shlex.join(["sdclient", *begun, "--set", "steps=3", "--redo-changed"]) in ended.stderr
    assert shlex.join(["sdclient", *begun, "--set", "steps=3", "--variant", "NAME"]) in ended.stderr
    assert sorted((cli.folder / "out").rglob("*")) == before


@pytest.mark.parametrize("typed", [("--variant", "more"), ("--variant=more",)], ids=["apart", "as one word"])
def test_a_variant_that_is_planned_otherwise_is_offered_another_name_in_place_of_its_own(
    cli: CommandLine, begun: tuple[str, ...], typed: tuple[str, ...]
) -> None:
    cli(*begun, "--variant", "more", "--limit", "1")
    command, *rest = begun
    ended = cli(command, *typed, *rest, "--set", "steps=3")

    assert ended.code == 2
    assert shlex.join(["sdclient", *begun, "--set", "steps=3", "--variant", "NAME"]) in ended.stderr
    assert shlex.join(["sdclient", command, *typed, *rest, "--set", "steps=3", "--redo-changed"]) in ended.stderr


def test_what_is_typed_then_makes_them_anew_keeps_the_old_and_draws_nothing_twice(
    cli: CommandLine, begun: tuple[str, ...], a1111: Simulator
) -> None:
    drawn = sum(one.method == "POST" and "txt2img" in one.path for one in a1111.log)
    ended = cli(*begun, "--set", "steps=3", "--redo-changed")
    drawn_after = sum(one.method == "POST" and "txt2img" in one.path for one in a1111.log)
    again = cli(*begun, "--set", "steps=3")
    status = cli("status", "out")

    out = cli.folder / "out"
    assert (ended.code, again.code, status.code) == (0, 0, 0)
    assert list(steps_of(out).values()) == [3, 3, 3]
    assert list(steps_of(out / ".sdclient" / "replaced", "*/*.png").values()) == [1, 1]
    # The third was never drawn with the old settings.
    assert drawn_after - drawn == 3
    assert cli("verify", "out").code == 0


def test_a_variant_lies_beside_and_differs_by_nothing_but_the_settings(
    cli: CommandLine, begun: tuple[str, ...]
) -> None:
    ended = cli(*begun, "--set", "steps=3", "--variant", "more")
    again = cli(*begun, "--set", "steps=3", "--variant", "more")

    out = cli.folder / "out"
    seeds = {
        path.stem: parse_infotext(read_infotext(path.read_bytes()) or "").get_int("Seed")
        for path in sorted(out.glob("*.png"))
    }
    assert (ended.code, again.code) == (0, 0)
    assert list(steps_of(out, "*_more_1.png").values()) == [3, 3, 3]
    assert len(seeds) == 6
    assert len(set(seeds.values())) == 3


def test_a_person_is_asked_and_nothing_is_the_first_answer(cli: CommandLine, begun: tuple[str, ...]) -> None:
    with Terminal(cli, *begun, "--set", "steps=3") as terminal:
        terminal.until("steps 1, now 3 (3 jobs)")
        terminal.until("[n]othing")
        terminal.type("\n")
        code = terminal.ended()

    assert code == 2
    assert "--redo-changed" in terminal.shown
    assert list(steps_of(cli.folder / "out").values()) == [1, 1]


def test_a_person_may_have_them_made_anew(cli: CommandLine, begun: tuple[str, ...]) -> None:
    with Terminal(cli, *begun, "--set", "steps=3") as terminal:
        terminal.until("[n]othing")
        terminal.type("r\n")
        code = terminal.ended()

    assert code == 0
    assert list(steps_of(cli.folder / "out").values()) == [3, 3, 3]


def test_a_person_may_name_a_variant(cli: CommandLine, begun: tuple[str, ...]) -> None:
    with Terminal(cli, *begun, "--set", "steps=3") as terminal:
        terminal.until("[n]othing")
        terminal.type("v\n")
        terminal.until("name of the variant")
        terminal.type("more\n")
        code = terminal.ended()

    assert code == 0
    assert list(steps_of(cli.folder / "out", "*_more_1.png").values()) == [3, 3, 3]
    assert sorted(steps_of(cli.folder / "out").values()) == [1, 1, 1, 3, 3, 3]


def test_in_python_it_refuses_redoes_or_asks(tmp_path: Path, a1111: Simulator) -> None:
    small = Txt2Img(width=64, height=64, steps=1, inherit=True)
    other = small.replace(steps=3)
    Run(tmp_path / "out").add(["a fox"], small).start(a1111.url)
    with pytest.raises(ChangedPlanError, match="steps 1, now 3"):
        Run(tmp_path / "out").add(["a fox"], other)
    asked: list[int] = []

    def ask(change: object) -> object:
        from sdclient.batch.changed import Choice, PlanChange

        assert isinstance(change, PlanChange)
        asked.append(change.changed)
        return Choice(redo=True)

    Run(tmp_path / "out", on_change=ask).add(["a fox"], other).start(a1111.url)  # type: ignore[arg-type]
    Run(tmp_path / "out", on_change="redo").add(["a fox"], small).start(a1111.url)
    Run(tmp_path / "out", variant="x").add(["a fox"], other).start(a1111.url)

    assert asked == [1]
    assert sorted(steps_of(tmp_path / "out").values()) == [1, 3]


def test_claims_of_what_is_not_wanted_any_more_are_cleaned_away(tmp_path: Path, a1111: Simulator) -> None:
    small = Txt2Img(width=64, height=64, steps=1, inherit=True)
    run = Run(tmp_path / "out").add(["a fox"], small)
    a1111.next_faults("out-of-memory")
    first = run.start(a1111.url)
    again = Run(tmp_path / "out", on_change="redo").add(["a fox"], small.replace(steps=3))
    second = again.start(a1111.url)

    assert (first.counts.set_aside, second.counts.set_aside) == (1, 0)
    assert (second.counts.jobs, second.counts.done) == (1, 1)
    assert list((tmp_path / "out" / ".sdclient" / "claims").iterdir()) == []


class LateLane(PracticeLane):
    """While it looks at its first job, that is planned once more and made by somebody else."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def prepare(self, task: Task) -> PracticeJob:
        self.asked.append(task.job.revision)
        if len(self.asked) == 1:
            other = RunFolder.open(task.out)
            again = replace(task.job, id=job_id(task.job.kind, task.job.place, 1), revision=1)
            other.add([again], other.read_plan().specs, withdrawn=[task.job.id])
            work(other)
        return super().prepare(task)


def test_a_worker_that_does_not_know_yet_gives_its_job_back_without_a_word_about_the_new_image(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=60.0, beat_s=0.1)
    plan_jobs(folder, ["a"])
    lane, told = LateLane(), list[Event]()

    counts = Worker(folder, [lane], quick(scan_s=0.5), told.append).run().counts

    assert (counts.jobs, counts.done, counts.set_aside) == (1, 1, 0)
    assert {event.name for event in told} == {"released"}
    assert [row["status"] for row in read_attempts(folder)[0]] == ["done"]
    # Nor is it tried again and again until the plan is read.
    assert lane.asked == [0]
    assert folder.read_claims() == {}


class TestTwoBeginOneRunAtTheSameMoment:
    """The second has held its plan against an empty folder, and asks its server, when the first writes."""

    SMALL = ("--set", "inherit=true", "--set", "width=64", "--set", "height=64")

    def overtake(self, cli: CommandLine, server: Simulator, *args: str) -> tuple[int, str]:
        """Have a command with other settings overtaken by one that draws one of two images; return how it ended."""
        (cli.folder / "prompts.txt").write_text("a fox\na hare\n", encoding="utf-8")
        asked, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            asked.set()
            assert go_on.wait(60)

        with Relay(server.url, on_get=hold) as relay:
            command = ("generate", "prompts.txt", "--out", "out", "--url", relay.url, *self.SMALL)
            with cli.start(*command, "--set", "steps=3", *args) as second:
                assert asked.wait(60)
                first = cli(*command[:5], server.url, *self.SMALL, "--set", "steps=1", "--limit", "1")
                assert first.code == 0, first.stderr
                go_on.set()
                _, stderr = second.communicate(timeout=60)
        assert "Traceback" not in stderr
        self.typed = shlex.join(["sdclient", *command, "--set", "steps=3"])
        return second.returncode, stderr

    def test_the_second_is_told_what_to_type_and_never_to_remove_a_run(
        self, cli: CommandLine, a1111: Simulator
    ) -> None:
        code, stderr = self.overtake(cli, a1111)

        assert code == 2
        assert "somebody else planned here at the same moment, and may be at work on it; 2 jobs were planned" in stderr
        assert "(1 done): steps 1, now 3 (2 jobs)" in stderr
        assert f"{self.typed} --redo-changed" in stderr
        assert f"{self.typed} --variant NAME" in stderr
        assert "remove" not in stderr
        assert steps_of(cli.folder / "out") == {"0001_a_fox_1.png": 1}

    def test_one_who_says_so_beforehand_has_them_made_anew(self, cli: CommandLine, a1111: Simulator) -> None:
        code, stderr = self.overtake(cli, a1111, "--redo-changed")

        assert code == 0, stderr
        assert list(steps_of(cli.folder / "out").values()) == [3, 3]
        assert list(steps_of(cli.folder / "out" / ".sdclient" / "replaced", "**/*.png").values()) == [1]
        assert cli("verify", "out").code == 0

    def test_in_python_it_is_refused_likewise_and_stays_so(self, tmp_path: Path) -> None:
        first, second = (Run(tmp_path / "out").add(["a fox"], Txt2Img(inherit=True, steps=steps)) for steps in (1, 3))
        first.save()

        for _ in range(2):
            with pytest.raises(
                ChangedPlanError, match=r"at the same moment.*steps 1, now 3\. Use another output folder"
            ):
                second.save()

    def test_where_only_the_seeds_differ_the_same_once_more_takes_part(self, tmp_path: Path) -> None:
        def planned() -> Run:
            return Run(tmp_path / "out").add(["a fox"], Txt2Img(inherit=True), vary={"steps": [1, 2]})

        first, second = planned(), planned()
        first.save()

        with pytest.raises(PlanError, match="the same once more takes part in it"):
            second.save()
        assert len(planned().save().jobs()) == 2
