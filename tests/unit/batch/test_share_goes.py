"""A share that goes away at any change of a file: nothing is made where it was, and the image waits for its return."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sdclient.batch.folder import RunFolder
from sdclient.errors import StorageError
from tests.file_changes import HOOK
from tests.practice_lane import plan_jobs
from tests.property.test_batch_model import ModelWorker


@pytest.fixture(autouse=True)
def hook() -> Iterator[None]:
    HOOK.install()
    HOOK.disarm()
    yield
    HOOK.is_active = False
    HOOK.disarm()


@pytest.mark.parametrize("before_change", range(1, 16))
def test_a_finished_image_is_kept_until_the_share_is_back(tmp_path: Path, before_change: int) -> None:
    out, away = tmp_path / "out", tmp_path / "away"
    plan_jobs(RunFolder.create(out, run_seed=1, lease_s=90, beat_s=10), ["set/a"])
    worker = ModelWorker(out, lambda: 1000.0)
    worker.scan()
    worker.take()
    assert worker.held is not None
    one, executed = worker.held

    HOOK.is_active = True
    HOOK.arm(before_change, action=lambda: out.rename(away) and None)
    try:
        worker.attempts.finish(one, executed)
        has_failed = False
    except StorageError:
        has_failed = True
    HOOK.is_active = False
    was_gone, was_made = away.exists(), out.exists()
    if was_gone:
        away.rename(out)
    if has_failed:
        worker.attempts.finish(one, executed)
    for _ in range(2):
        worker.scan()

    assert was_made is not was_gone
    assert (out / "set" / "a_1.png").is_file()
    assert list((out / ".sdclient" / "parts").iterdir()) == []
    assert worker.board.counts().done == 1
