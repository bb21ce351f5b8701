"""The log of attempts, cut anywhere, still tells of every job that is done."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.batch.folder import RunFolder
from sdclient.batch.log import read_attempts, typical_seconds
from tests.practice_lane import plan_jobs, work

PLACES = ["a", "b", "c d", "é/\u2028"]


@pytest.fixture(scope="module")
def finished() -> RunFolder:
    # A module's fixture and not `tmp_path`: hypothesis runs one test many times over it.
    scratch = Path(tempfile.mkdtemp())
    folder = RunFolder.create(scratch, run_seed=1, lease_s=1, beat_s=0.1)
    plan_jobs(folder, PLACES)
    work(folder)
    return folder


@given(data=st.data())
def test_a_log_cut_at_any_byte_loses_no_job(finished: RunFolder, data: st.DataObject) -> None:
    (path,) = (finished.state / "log").glob("*.csv")
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        rows, problems = read_attempts(finished)
        typical = typical_seconds(finished)
    finally:
        path.write_bytes(whole)

    assert sorted(row["job"] for row in rows if row["status"] == "done") == sorted(finished.read_plan().jobs)
    assert problems == []
    assert set(typical) <= {"txt2img"}
