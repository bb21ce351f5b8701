"""A share that goes away while a run works, and comes back."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from sdclient.batch.events import Event
from sdclient.batch.folder import RunFolder
from sdclient.batch.lane import Task
from sdclient.batch.plan import FileInput, OutputInput
from sdclient.batch.worker import Worker
from tests.practice_lane import PracticeJob, PracticeLane, plan_jobs, quick, work
from tests.worker_processes import assert_clean

FROM_FILES = [f"up/{number:02d}" for number in range(8)]
PLACES = [f"set/{number:02d}" for number in range(30)]


def test_a_share_that_is_gone_for_a_while_is_waited_for_and_nothing_is_written_in_its_stead(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=60.0, beat_s=0.1)
    plan_jobs(folder, PLACES)
    away = folder.out.with_name("away")
    told: list[str] = []
    found: list[Path] = []

    def listen(event: Event) -> None:
        if event.name == "done" and event.counts.done == 5:
            folder.out.rename(away)
            # As a mount point looks that has lost its share.
            folder.out.mkdir()
        elif event.name == "stuck" and away.exists():
            told.append(event.message)
            found.extend(folder.out.rglob("*"))
            folder.out.rmdir()
            away.rename(folder.out)

    lane = PracticeLane(delay_s=0.005)
    result = Worker(folder, [lane], quick(), listen).run()

    assert len(told) == 1
    assert found == []
    assert (result.counts.done, result.trouble) == (len(PLACES), None)
    # What was drawn meanwhile was kept, and drawn once.
    assert sorted(lane.executed) == PLACES
    assert_clean(folder, len(PLACES))


@pytest.mark.parametrize("is_missed", [False, True], ids=["at a look", "when it is back"])
def test_a_worker_commits_nothing_into_another_run_that_was_made_in_place_of_its_own(
    tmp_path: Path, *, is_missed: bool
) -> None:
    folder = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=60.0, beat_s=0.1)
    plan_jobs(folder, PLACES)
    lane = RemovedLane(folder, is_missed=is_missed)
    told: list[str] = []

    def listen(event: Event) -> None:
        told.append(event.name)
        if event.name == "stuck":
            lane.make_anew()

    # Where it is missed there is one job alone, so that its own end is what finds the folder gone.
    result = Worker(folder, [lane], quick(limit=1 if is_missed else None), listen).run()

    other = RunFolder.open(folder.out)
    assert (result.made, other.read_done(), other.settings.run_seed) == (0, set(), 2)
    assert "another run lies there now" in str(result.trouble)
    # Its jobs are given back, and counted as they were last known.
    assert (result.is_replaced, result.counts.jobs, result.counts.set_aside) == (True, len(PLACES), 0)
    assert {"failed", "set_aside"}.isdisjoint(told)
    # It holds up nobody: who works on the other run takes over what it may have claimed there.
    assert work(other).counts.done == len(PLACES)
    assert_clean(other, len(PLACES))


class RemovedLane(PracticeLane):
    """While it draws, its run is removed and another made: before it is missed, or after; then it draws on and on."""

    def __init__(self, folder: RunFolder, *, is_missed: bool) -> None:
        super().__init__()
        self._folder, self._is_missed, self._is_removed = folder, is_missed, False

    def prepare(self, task: Task) -> PracticeJob:
        if not self._is_removed:
            self._is_removed = True
            shutil.rmtree(self._folder.state)
            if not self._is_missed:
                self.make_anew()
                self.gate = threading.Event()
        return super().prepare(task)

    def make_anew(self) -> None:
        plan_jobs(RunFolder.create(self._folder.out, run_seed=2, lease_s=60.0, beat_s=0.1), PLACES)


class LeavingLane(PracticeLane):
    """Has the share go away as it looks at an input, twice: at a file of the user's, and at an output."""

    def __init__(self, out: Path, away: Path) -> None:
        super().__init__()
        self._out, self._away = out, away
        self._leaves = {"up/03", "again/00"}

    def prepare(self, task: Task) -> PracticeJob:
        if task.job.place in self._leaves:
            self._leaves.discard(task.job.place)
            self._out.rename(self._away)
        return super().prepare(task)


def test_a_share_that_goes_away_while_an_input_is_read_is_waited_for(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=60.0, beat_s=0.1)
    away = folder.out.with_name("away")
    (tmp_path / "in").mkdir()
    for number in range(len(FROM_FILES)):
        (tmp_path / "in" / f"{number}.png").write_bytes(b"image")
    files = [FileInput("../in", f"{number}.png") for number in range(len(FROM_FILES))]
    made = plan_jobs(folder, FROM_FILES, kind="img2img", inputs=files)
    plan_jobs(folder, ["again/00"], kind="segment", inputs=[OutputInput(made[0].id)])
    told: list[str] = []

    def listen(event: Event) -> None:
        if event.name == "stuck" and away.exists():
            told.append(event.message)
            away.rename(folder.out)

    result = Worker(folder, [LeavingLane(folder.out, away)], quick(), listen).run()

    assert len(told) == 2
    assert (result.counts.done, result.trouble) == (len(FROM_FILES) + 1, None)
    assert_clean(folder, len(FROM_FILES) + 1)


def test_a_folder_of_inputs_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=60.0, beat_s=0.1)
    inputs, away = tmp_path / "in", tmp_path / "away"
    inputs.mkdir()
    for number in range(len(FROM_FILES)):
        (inputs / f"{number}.png").write_bytes(b"image")
    files = [FileInput("../in", f"{number}.png") for number in range(len(FROM_FILES))]
    plan_jobs(folder, FROM_FILES, kind="img2img", inputs=files)
    told: list[str] = []

    def listen(event: Event) -> None:
        if event.name == "stuck" and away.exists():
            told.append(event.message)
            away.rename(inputs)

    # Before an input is looked for, and between that and its reading.
    result = Worker(folder, [LeavingLane(inputs, away)], quick(), listen).run()

    assert (result.counts.done, result.trouble) == (len(FROM_FILES), None)
    assert "the folder with the inputs is gone" in told[0]
    assert_clean(folder, len(FROM_FILES))
