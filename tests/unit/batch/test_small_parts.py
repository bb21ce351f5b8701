"""The small parts: handoff, quota, patience, verdicts, events, metrics."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from sdclient.batch.events import Event, Teller
from sdclient.batch.handoff import Handoff
from sdclient.batch.metrics import LocalServerMemory, Sample, Sampler, Window
from sdclient.batch.patience import Patience, PatiencePolicy
from sdclient.batch.quota import Quota
from sdclient.batch.survey import Counts
from sdclient.batch.verdict import judge
from sdclient.errors import (
    AnswerLostError,
    AuthenticationError,
    BadReplyError,
    CancelledError,
    CodecError,
    LossError,
    MissingExtraError,
    NotSentError,
    OverloadError,
    PlanError,
    RejectedError,
    SegmentationError,
    ServerBusyError,
    ServerChangedError,
    ServerFaultError,
    StorageError,
    WrongServerError,
)


class TestHandoff:
    def test_what_is_put_is_taken(self) -> None:
        place: Handoff[int] = Handoff()
        taken: list[int | None] = []
        thread = threading.Thread(target=lambda: taken.append(place.take()))
        thread.start()

        assert place.put(7)
        thread.join()
        assert taken == [7]

    def test_a_closed_place_hands_back_and_gives_nothing(self) -> None:
        place: Handoff[int] = Handoff()
        place.close()

        assert not place.put(7)
        assert place.take() is None

    def test_what_waits_when_it_closes_is_handed_back(self) -> None:
        place: Handoff[int] = Handoff()
        handed: list[bool] = []
        thread = threading.Thread(target=lambda: handed.append(place.put(7)))
        thread.start()
        while place._item is None:
            time.sleep(0.001)

        place.close()
        thread.join()

        assert handed == [False]
        assert place.take() is None

    def test_closing_at_any_moment_loses_nothing(self) -> None:
        for turn in range(200):
            place: Handoff[int] = Handoff()
            given, taken = [], []

            def giver(place: Handoff[int] = place, given: list[int] = given) -> None:
                number = 0
                while place.put(number):
                    given.append(number)
                    number += 1

            def taker(place: Handoff[int] = place, taken: list[int] = taken) -> None:
                while (number := place.take()) is not None:
                    taken.append(number)

            threads = [threading.Thread(target=one) for one in (giver, taker)]
            for thread in threads:
                thread.start()
            for _ in range(turn):
                pass
            place.close()
            for thread in threads:
                thread.join()

            assert given == taken


class TestQuota:
    def test_no_limit_is_never_spent(self) -> None:
        quota = Quota()

        assert all(quota.take() for _ in range(100))
        assert not quota.is_spent

    def test_a_limit_is_spent_when_nothing_can_come_back(self) -> None:
        quota = Quota(2)
        taken = [quota.take() for _ in range(3)]
        quota.end(counts=True)
        spent = [quota.is_spent]
        quota.end(counts=True)
        spent.append(quota.is_spent)

        assert taken == [True, True, False]
        assert spent == [False, True]

    def test_what_was_not_tried_comes_back(self) -> None:
        quota = Quota(1)
        quota.take()
        quota.end(counts=False)

        assert not quota.is_spent
        assert quota.take()


def trouble(number: int) -> StorageError:
    error = StorageError("trouble")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


class TestPatience:
    def patience(self, state: Path, told: list[str], stopping: threading.Event | None = None) -> Patience:
        policy = PatiencePolicy(first_s=0.001, longest_s=0.002)
        return Patience(state, policy, stopping=stopping or threading.Event(), tell=told.append)

    def test_it_repeats_until_the_disk_is_back_and_tells_twice(self, tmp_path: Path) -> None:
        told: list[str] = []
        errors = [trouble(errno.ENOSPC), trouble(errno.EROFS), trouble(errno.EIO)]

        def action() -> str:
            if errors:
                raise errors.pop()
            return "done"

        patience = self.patience(tmp_path, told)

        assert patience.outlast(action) == "done"
        assert len(told) == 2
        assert not patience.is_tried

    def test_a_folder_that_cannot_even_be_looked_at_is_gone(self, tmp_path: Path) -> None:
        # Not the error of a mount whose server is gone, and like it one that looking for a file raises.
        state = tmp_path / ("x" * 5000)
        errors = [trouble(errno.ENOENT)]

        def action() -> str:
            if errors:
                raise errors.pop()
            return "done"

        assert self.patience(state, []).outlast(action) == "done"

    @pytest.mark.parametrize("error", [trouble(errno.EACCES), StorageError("no cause")])
    def test_what_does_not_pass_is_raised_at_once(self, tmp_path: Path, error: StorageError) -> None:
        def action() -> None:
            raise error

        with pytest.raises(StorageError):
            self.patience(tmp_path, []).outlast(action)

    def test_a_stop_ends_the_waiting(self, tmp_path: Path) -> None:
        stopping = threading.Event()
        stopping.set()

        def action() -> None:
            raise trouble(errno.ENOSPC)

        with pytest.raises(StorageError):
            self.patience(tmp_path, [], stopping).outlast(action)

    def test_a_missing_file_passes_only_when_the_whole_run_is_gone(self, tmp_path: Path) -> None:
        patience = self.patience(tmp_path, [])
        error = StorageError("gone")
        error.__cause__ = FileNotFoundError(errno.ENOENT, "gone")
        is_share_gone = patience.passes(error)
        (tmp_path / "run.json").write_bytes(b"")

        assert is_share_gone
        assert not patience.passes(error)

    def test_trouble_that_changes_to_another_kind_is_raised(self, tmp_path: Path) -> None:
        errors = [trouble(errno.EACCES), trouble(errno.ENOSPC)]

        def action() -> None:
            raise errors.pop()

        with pytest.raises(StorageError):
            self.patience(tmp_path, []).outlast(action)


@pytest.mark.parametrize(
    ("error", "ended", "effect"),
    [
        (CancelledError("x"), "released", "none"),
        (NotSentError("x"), "released", "fault"),
        (ServerBusyError("x", 503, retry_after_s=3), "released", "rest"),
        (AuthenticationError("x"), "released", "leave"),
        (WrongServerError("x"), "released", "leave"),
        (MissingExtraError("x"), "released", "leave"),
        (StorageError("x"), "released", "stop"),
        (trouble(errno.ENAMETOOLONG), "set_aside", "none"),
        (OSError(errno.ENOSPC, "full"), "released", "stop"),
        (OSError(errno.ENOENT, "gone"), "failed", "none"),
        (AnswerLostError("x"), "failed", "fault"),
        (ServerFaultError("x"), "failed", "fault"),
        (BadReplyError("x"), "failed", "fault"),
        (ServerChangedError("x"), "failed", "fault"),
        (OverloadError("x"), "set_aside", "none"),
        (RejectedError("x"), "set_aside", "none"),
        (CodecError("x"), "set_aside", "none"),
        (PlanError("x"), "set_aside", "none"),
        (LossError("x"), "set_aside", "none"),
        (SegmentationError("x"), "set_aside", "none"),
        (ZeroDivisionError(), "failed", "none"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_every_error_has_its_consequences(error: BaseException, ended: str, effect: str) -> None:
    verdict = judge(error, "gpu")

    assert (verdict.end.ended, verdict.effect, verdict.end.server) == (ended, effect, "gpu")
    assert verdict.end.message


def test_what_a_server_said_and_asked_for_is_kept() -> None:
    verdict = judge(ServerBusyError("busy", 503, "body", retry_after_s=3), "gpu")

    assert (verdict.wait_s, verdict.reply) == (3, "body")


class TestTeller:
    def test_events_leave_empty_parts_out(self) -> None:
        event = Event("done", Counts(jobs=1, done=1), "gpu", execute_s=0.0)

        assert event.to_json() == {
            "event": "done",
            **Counts(jobs=1, done=1).to_json(),
            "lane": "gpu",
            "execute_s": 0.0,
        }

    def test_nothing_is_counted_where_nobody_listens(self) -> None:
        counted: list[Counts] = []

        def count() -> Counts:
            counted.append(Counts())
            return counted[-1]

        Teller(count).tell("done")

        assert counted == []

    def test_a_listener_that_fails_is_told_no_more(self) -> None:
        told: list[Event] = []

        def listener(event: Event) -> None:
            told.append(event)
            raise ValueError("a bug")

        teller = Teller(Counts, listener)
        teller.tell("begun")
        teller.tell("done")

        assert len(told) == 1


def _burn(is_over: threading.Event) -> None:
    while not is_over.is_set():
        hashlib.sha256(bytes(100_000))


class TestMetrics:
    def test_an_unknown_figure_is_an_empty_cell(self) -> None:
        assert Window().cells() == {"server_rss_mb": ""}

    def test_means_and_maxima_are_over_the_request(self) -> None:
        window = Window([Sample(10, 100), Sample(30, 300)], 12.4)

        assert window.cells() == {
            "server_rss_mb": "12",
            "client_cpu_percent_mean": "20.0",
            "client_cpu_percent_max": "30.0",
            "client_ram_used_mb_mean": "200",
            "client_ram_used_mb_max": "300",
        }

    def test_a_request_is_sampled_while_it_runs(self) -> None:
        sampler = Sampler(0.01)
        sampler.start()
        looks = threading.Semaphore(0)

        def memory() -> float:
            looks.release()
            return 5.0

        window = sampler.open(memory)
        for _ in range(3):
            assert looks.acquire(timeout=5)
        sampler.close(window)
        sampler.stop()

        assert len(window.samples) >= 2
        assert window.server_rss_mb == 5

    def test_the_first_sample_of_a_machine_at_work_is_no_nought(self) -> None:
        is_over = threading.Event()
        burner = threading.Thread(target=_burn, args=(is_over,), daemon=True)
        burner.start()
        looked = threading.Event()
        sampler = Sampler(0.1)
        sampler.start()
        window = sampler.open(looked.set)

        assert looked.wait(10)
        sampler.close(window)
        sampler.stop()
        is_over.set()
        burner.join()

        assert window.samples[0].cpu_percent > 0

    def test_the_shortest_request_has_a_sample(self) -> None:
        sampler = Sampler()
        window = sampler.close(sampler.open(lambda: 7.0))

        assert len(window.samples) == 1
        assert window.server_rss_mb == 7

    def test_a_lane_that_fails_to_tell_its_memory_harms_nothing(self) -> None:
        def memory() -> float:
            raise RuntimeError("a bug")

        sampler = Sampler()

        assert sampler.close(sampler.open(memory)).server_rss_mb is None

    def test_the_memory_of_a_local_server_is_found_by_its_port(self) -> None:
        import socket

        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            port = server.getsockname()[1]
            memory = LocalServerMemory(port)

            assert (memory() or 0) > 1

        assert LocalServerMemory(port)() is None

    def test_a_server_that_cannot_be_found_is_looked_for_once_a_minute(self) -> None:
        now = 100.0
        memory = LocalServerMemory(1, clock=lambda: now)
        memory()
        first = memory._next_search_s
        now = 159.0
        memory()

        assert memory._next_search_s == first == 160
