"""A worker on a large run lists a part of what is done at a time, and misses nothing for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdclient.batch.board import Board
from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import Job
from sdclient.batch.rounds import ROUND, Rounds
from tests.practice_lane import plan_jobs

ME, OTHER = "a" * 32, "b" * 32
KINDS = frozenset({"txt2img"})


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "out", run_seed=1, lease_s=90, beat_s=10)


def board_of(folder: RunFolder) -> Board:
    board = Board(folder, ME)
    board.enter(KINDS)
    board.scan(whole=False)
    return board


def commit_empty(folder: RunFolder, job: Job) -> None:
    folder.done_folder(job.id).mkdir(parents=True)
    (folder.done_folder(job.id) / "record.json").write_text("{}")


def test_every_group_is_listed_in_a_round() -> None:
    rounds = Rounds()

    listed = [rounds.groups(frozenset(), []) for _ in range(ROUND)]

    assert set().union(*listed) == {f"{number:02x}" for number in range(256)}
    assert sum(map(len, listed)) == 256


def test_where_a_claim_has_gone_is_looked_at_once() -> None:
    rounds = Rounds()
    rounds.groups({"ab12"}, [])

    groups = [rounds.groups(frozenset(), []) for _ in range(ROUND - 1)]

    assert "ab" in groups[0]
    assert sum("ab" in one for one in groups[1:]) <= 1


def test_a_job_that_another_was_seen_at_is_known_to_be_done_at_the_next_look(folder: RunFolder) -> None:
    jobs = plan_jobs(folder, [f"{number:03d}" for number in range(50)])
    folder.claim(jobs[7].id, 1, OTHER)
    board = board_of(folder)
    commit_empty(folder, jobs[7])
    folder.remove_claims(jobs[7].id, [1])

    board.scan(whole=False)

    assert board.counts().done == 1


def test_jobs_that_came_and_went_between_two_looks_are_known_after_a_round(folder: RunFolder) -> None:
    jobs = plan_jobs(folder, [f"{number:03d}" for number in range(50)])
    board = board_of(folder)
    for job in jobs[:20]:
        commit_empty(folder, job)

    for _ in range(ROUND):
        board.scan(whole=False)

    assert board.counts().done == 20


def test_all_is_listed_where_nothing_is_left_to_be_taken(folder: RunFolder) -> None:
    jobs = plan_jobs(folder, [f"{number:03d}" for number in range(20)])
    board = board_of(folder)
    while board.take(KINDS):
        pass
    for job in jobs:
        commit_empty(folder, job)

    board.scan(whole=False)

    assert board.counts().done == 20
