"""What is called every so often while something else goes on."""

from __future__ import annotations

import threading

import pytest

from sdclient.ticking import ticking

AT_MOST_S = 20
NAME = "ticking-under-test"


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def test_it_is_called_again_and_again_until_the_block_is_left() -> None:
    thrice = threading.Semaphore(0)

    with ticking(thrice.release, 0.001, NAME):
        called = [thrice.acquire(timeout=AT_MOST_S) for _ in range(3)]

    assert called == [True, True, True]
    assert ours() == []


def test_a_block_that_is_left_at_once_waits_for_no_call() -> None:
    called = threading.Event()

    with ticking(called.set, 3600, NAME):
        running = ours()

    assert len(running) == 1
    assert (called.is_set(), ours()) == (False, [])


def test_an_error_in_the_block_ends_the_calls_too() -> None:
    with pytest.raises(ZeroDivisionError), ticking(threading.Event().set, 0.001, NAME):
        1 / 0  # noqa: B018 - for its error

    assert ours() == []
