"""A worker's view of the run: what it offers, what it keeps over a scan, when it says that there is no more."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from sdclient.batch.beats import Beat
from sdclient.batch.board import Board, awaited_kinds
from sdclient.batch.claims import End, Epoch
from sdclient.batch.folder import RunFolder
from sdclient.batch.identity import new_token, own_identity
from sdclient.batch.plan import Job, OutputInput, job_id
from tests.practice_lane import plan_jobs

KINDS = frozenset({"txt2img", "img2img"})
ME = "a" * 32


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "out", run_seed=1, lease_s=90, beat_s=10)


def board_of(folder: RunFolder, **settings: float) -> Board:
    board = Board(folder, ME, **settings)  # type: ignore[arg-type]
    board.scan()
    return board


def commit_empty(folder: RunFolder, job: Job) -> None:
    folder.done_folder(job.id).mkdir(parents=True)
    (folder.done_folder(job.id) / "record.json").write_text("{}")


def beat_of(folder: RunFolder, kinds: frozenset[str], *, is_alive: bool = True) -> str:
    token = new_token()
    who = own_identity() if is_alive else replace(own_identity(), start="1")
    (folder.state / "beats" / token).write_bytes(Beat(1, who, kinds=kinds).to_bytes())
    return token


def test_jobs_are_offered_once_and_count_as_claimed(folder: RunFolder) -> None:
    plan_jobs(folder, ["a", "b"])
    board = board_of(folder)

    taken = [board.take(KINDS) for _ in range(3)]

    assert [one and one.job.place for one in taken] == ["a", "b", None]
    assert (board.counts().claimed, board.counts().waiting) == (2, 0)


def test_a_done_job_that_was_withdrawn_all_the_same_counts_no_more(folder: RunFolder) -> None:
    (first,) = plan_jobs(folder, ["a"])
    board = board_of(folder)
    board.take(KINDS)
    board.mark_done(first.id)
    later = replace(first, id=job_id(first.kind, first.place, 1), revision=1)
    folder.add([later], folder.read_plan().specs, withdrawn=[first.id])

    board.scan()

    counts = board.counts()
    assert (counts.jobs, counts.done, counts.waiting) == (1, 0, 1)


def test_a_scan_does_not_offer_again_what_is_ours(folder: RunFolder) -> None:
    plan_jobs(folder, ["a"])
    board = board_of(folder)
    board.take(KINDS)

    board.scan()

    assert board.take(KINDS) is None
    assert board.counts().claimed == 1


def test_kinds_come_in_the_order_of_the_plan(folder: RunFolder) -> None:
    plan_jobs(folder, ["b1", "b2"], kind="img2img")
    plan_jobs(folder, ["a1"], kind="txt2img")
    board = board_of(folder)

    assert [board.take(KINDS).job.place for _ in range(3)] == ["b1", "b2", "a1"]  # type: ignore[union-attr]


def test_a_worker_in_company_begins_elsewhere(folder: RunFolder) -> None:
    plan_jobs(folder, ["a", "b", "c", "d"])
    board = board_of(folder, start_at=0.5)

    assert [board.take(KINDS).job.place for _ in range(4)] == ["c", "d", "a", "b"]  # type: ignore[union-attr]


def test_failed_tries_add_up_between_two_scans(folder: RunFolder) -> None:
    plan_jobs(folder, ["a"])
    board = board_of(folder)
    states = []
    for number in (1, 2, 3):
        candidate = board.take(KINDS)
        assert candidate is not None
        assert candidate.epoch == number
        states.append(board.end(candidate.job.id, Epoch(number, ME, End("failed", "E", "m", "s"))).state)

    assert states == ["failed", "failed", "set_aside"]
    assert board.take(KINDS) is None
    assert board.counts().set_aside == 1


def test_what_happened_during_a_scan_stands_over_what_it_read(folder: RunFolder) -> None:
    jobs = plan_jobs(folder, ["a", "b", "c"])
    board = board_of(folder)
    for _ in range(3):
        board.take(KINDS)
    read = folder.read_claims

    def meanwhile() -> dict[str, tuple[Epoch, ...]]:
        claims = read()
        board.mark_done(jobs[0].id)
        board.end(jobs[1].id, Epoch(1, ME, End("failed", "E", "m", "s")))
        board.lose(jobs[2].id)
        return claims

    folder.read_claims = meanwhile  # type: ignore[method-assign]
    board.scan()

    counts = board.counts()
    assert (counts.done, counts.failed, counts.waiting) == (1, 1, 1)
    assert board.epochs(jobs[1].id)[0].end is not None


def test_a_job_that_another_has_done_meanwhile_can_still_be_ended_here(folder: RunFolder) -> None:
    (job,) = plan_jobs(folder, ["a"])
    board = board_of(folder)
    board.take(KINDS)
    commit_empty(folder, job)
    board.scan()

    board.end(job.id, Epoch(1, ME, End("failed", "E", "m", "s")))

    assert (board.counts().done, board.counts().failed) == (1, 0)
    assert board.take(KINDS) is None


def test_what_waited_for_a_job_is_offered_when_it_is_done(folder: RunFolder) -> None:
    (job,) = plan_jobs(folder, ["a"])
    plan_jobs(folder, ["b"], kind="img2img", inputs=[OutputInput(job.id)])
    board = board_of(folder)
    first = board.take(KINDS)
    before = board.take(KINDS)
    board.mark_done(job.id)
    after = board.take(KINDS)

    assert first is not None
    assert before is None
    assert after is not None
    assert after.job.place == "b"


def test_claimed_and_done_jobs_of_others_are_reported(folder: RunFolder) -> None:
    jobs = plan_jobs(folder, ["a", "b"])
    for job in jobs:
        folder.claim(job.id, 1, new_token())
    commit_empty(folder, jobs[0])

    assert Board(folder, ME).scan() == [jobs[0].id]


class TestHasMore:
    @pytest.fixture(autouse=True)
    def chain(self, folder: RunFolder) -> list[Job]:
        first = plan_jobs(folder, ["a"])
        return first + plan_jobs(folder, ["b"], kind="segment", inputs=[OutputInput(first[0].id)])

    SEGMENT = frozenset({"segment"})

    def test_nothing_can_come_where_nobody_makes_the_input(self, folder: RunFolder) -> None:
        assert not board_of(folder).has_more(self.SEGMENT)

    def test_a_lane_of_this_worker_makes_it(self, folder: RunFolder) -> None:
        board = board_of(folder)
        board.enter(KINDS)
        before = board.has_more(self.SEGMENT)
        board.leave(KINDS)

        assert before
        assert not board.has_more(self.SEGMENT)
        assert board.own_kinds() == frozenset()

    def test_a_living_worker_makes_it(self, folder: RunFolder) -> None:
        beat_of(folder, KINDS)

        assert board_of(folder).has_more(self.SEGMENT)

    def test_a_dead_worker_makes_nothing(self, folder: RunFolder) -> None:
        beat_of(folder, KINDS, is_alive=False)

        assert not board_of(folder).has_more(self.SEGMENT)

    def test_an_input_that_somebody_works_on_may_come(self, folder: RunFolder, chain: list[Job]) -> None:
        folder.claim(chain[0].id, 1, new_token())

        assert board_of(folder).has_more(self.SEGMENT)

    def test_an_input_that_was_set_aside_never_comes(self, folder: RunFolder, chain: list[Job]) -> None:
        folder.claim(chain[0].id, 1, new_token())
        folder.end_claim(chain[0].id, 1, End("set_aside", "E", "words"))
        board = board_of(folder)
        board.enter(KINDS)

        assert not board.has_more(self.SEGMENT | KINDS)
        assert board.counts().set_aside == 2

    def test_when_all_is_done_there_is_no_more(self, folder: RunFolder, chain: list[Job]) -> None:
        for job in chain:
            commit_empty(folder, job)

        assert not board_of(folder).has_more(self.SEGMENT | KINDS)


def test_a_wait_ends_with_a_change_that_came_before_it(folder: RunFolder) -> None:
    board = board_of(folder)
    version = board.version
    board.wake()
    began = time.monotonic()

    board.wait(60, since=version)

    assert board.version != version
    # Without the version it would have slept through the whole minute.
    assert time.monotonic() - began < 30


def test_a_worker_is_not_gone_to_itself(folder: RunFolder) -> None:
    token = beat_of(folder, KINDS, is_alive=False)
    board = board_of(folder)

    assert board.is_worker_gone(token)
    assert not board.is_worker_gone(ME)


def test_more_may_come_while_another_worker_watches_a_folder_and_not_when_it_is_gone(folder: RunFolder) -> None:
    watching = beat_of(folder, frozenset({"img2img", "+img2img"}))
    beat_of(folder, frozenset({"+txt2img"}), is_alive=False)
    board = board_of(folder)

    while_it_lives = (board.has_more(frozenset({"img2img"})), board.has_more(frozenset({"txt2img"})))
    awaited = awaited_kinds(folder)
    (folder.state / "beats" / watching).unlink()
    board.scan()

    assert while_it_lives == (True, False)
    assert awaited == {"img2img"}
    assert not board.has_more(KINDS)


def test_a_worker_that_may_plan_more_says_so_and_has_more(folder: RunFolder) -> None:
    coming = {"img2img"}
    board = Board(folder, ME, expected=lambda: frozenset(coming))
    board.scan()
    board.enter(KINDS)

    before = (board.own_kinds(), board.has_more(frozenset({"img2img"})), board.has_more(frozenset({"txt2img"})))
    coming.clear()

    assert before == (KINDS | {"+img2img"}, True, False)
    assert (board.own_kinds(), board.has_more(KINDS)) == (KINDS, False)
