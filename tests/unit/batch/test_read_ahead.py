"""Many small files are read some at a time, and nobody sees the difference."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.batch.ahead import AT_ONCE, read_ahead


@given(count=st.integers(0, 700))
def test_what_is_read_ahead_comes_in_order_and_whole(count: int) -> None:
    read = list(read_ahead(str, range(count)))

    assert read == [str(number) for number in range(count)]


@given(bad=st.integers(0, 499))
def test_an_error_comes_at_its_turn(bad: int) -> None:
    seen: list[int] = []

    with pytest.raises(ZeroDivisionError):
        seen.extend(
            number for number, _ in zip(range(500), read_ahead(lambda one: 1 / (one - bad), range(500)), strict=True)
        )

    assert len(seen) <= bad


def test_what_a_local_disk_gives_at_once_is_read_by_one_thread() -> None:
    threads: set[int] = set()

    def read(number: int) -> int:
        threads.add(threading.get_ident())
        return number

    assert list(read_ahead(read, range(500))) == list(range(500))
    assert threads == {threading.get_ident()}


def test_slow_reading_overlaps() -> None:
    # Passes only when so many reads are under way at one time.
    meeting = threading.Barrier(AT_ONCE, timeout=10)
    first_of_batch = {32 * number for number in range(1, AT_ONCE + 1)}
    way_to_a_share = threading.Event()

    def read(number: int) -> int:
        way_to_a_share.wait(0.001)
        if number in first_of_batch:
            meeting.wait()
        return number

    read_count = sum(1 for _ in read_ahead(read, range(32 * (AT_ONCE + 1))))

    assert read_count == 32 * (AT_ONCE + 1)


def test_who_takes_little_has_little_read() -> None:
    count = 0
    lock = threading.Lock()

    def read(number: int) -> int:
        nonlocal count
        with lock:
            count += 1
        return number

    ahead = read_ahead(read, range(100_000))
    next(ahead)
    ahead.close()

    assert count < 1000
