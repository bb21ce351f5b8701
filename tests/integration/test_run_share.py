"""A share that goes away while a run works, and comes back."""

from __future__ import annotations

from pathlib import Path

from sdclient.batch.events import Event
from sdclient.batch.folder import RunFolder
from sdclient.batch.worker import Worker
from tests.practice_lane import PracticeLane, plan_jobs, quick
from tests.worker_processes import assert_clean

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
