"""When a server is fed and when it is left alone, and how many failures a run forgives."""

from __future__ import annotations

import random

import pytest

from sdclient.batch.budget import RetryBudget
from sdclient.batch.health import Health, HealthPolicy


def health(**policy: float) -> Health:
    return Health(HealthPolicy(**policy), random.Random(1))  # type: ignore[arg-type]


def opened(one: Health, now_s: float = 0.0) -> Health:
    for _ in range(3):
        one.bad(one.begin(), now_s)
    return one


def test_a_server_is_fed_until_its_third_fault_in_a_row() -> None:
    one = health()
    is_open = [one.bad(one.begin(), 0) for _ in range(3)]

    assert is_open == [False, False, True]
    assert one.gate(0) == "wait"


def test_a_success_in_between_forgives() -> None:
    one = health()
    for _ in range(10):
        one.bad(one.begin(), 0)
        one.bad(one.begin(), 0)
        one.good(one.begin())

    assert one.state == "closed"
    assert one.is_spotless


def test_one_stall_is_enough() -> None:
    one = health()

    assert one.bad(one.begin(), 0, at_once=True)
    assert one.state == "open"


def test_after_the_pause_comes_one_look_and_then_one_job() -> None:
    one = opened(health())
    gates = [one.gate(10)]
    one.looked()
    gates.append(one.gate(10))
    ticket = one.begin()
    gates.append(one.gate(10))
    one.good(ticket)
    gates.append(one.gate(10))

    assert gates == ["look", "feed", "wait", "feed"]
    assert one.state == "closed"


def test_a_job_that_was_given_back_unsent_makes_room_for_another() -> None:
    one = opened(health())
    one.gate(10)
    one.looked()
    one.unknown(one.begin())

    assert one.gate(10) == "feed"


def test_a_fault_while_half_open_opens_again_and_for_longer() -> None:
    longest = []
    for seed in range(200):
        one = Health(HealthPolicy(), random.Random(seed))
        opened(one)
        pauses = [one.open_until_s]
        for _ in range(8):
            now_s = one.open_until_s
            one.gate(now_s)
            one.bad(one.ticket, now_s)
            pauses.append(one.open_until_s - now_s)
        longest.append(pauses)

    tops = [max(pauses[index] for pauses in longest) for index in range(9)]
    assert [
        round(top / bound, 1) for top, bound in zip(tops, (5, 10, 20, 40, 80, 160, 300, 300, 300), strict=True)
    ] == [1.0] * 9
    assert min(min(pauses) for pauses in longest) < 1


def test_pauses_stay_bounded_however_often_it_fails() -> None:
    one = health()
    now_s = 0.0
    for _ in range(5000):
        one.bad(one.ticket, now_s, at_once=True)
        assert 0 <= one.open_until_s - now_s <= 300
        now_s = one.open_until_s
        one.gate(now_s)


def test_what_was_prepared_before_an_opening_is_given_back() -> None:
    one = health()
    ahead = one.begin()
    opened(one)
    one.gate(10)
    one.looked()

    assert one.gate_of(ahead) == "wait"
    assert one.gate_of(one.begin()) == "feed"


def test_what_a_job_of_before_the_opening_tells_changes_nothing() -> None:
    one = health()
    late = one.begin()
    opened(one)
    one.good(late)
    state = one.state
    one.bad(late, 0)

    assert (state, one.state) == ("open", "open")


def test_after_a_lost_connection_the_next_prepared_job_waits_for_a_look() -> None:
    one = health()
    ahead = one.begin()
    one.bad(one.begin(), 0, is_lost=True)
    before = one.gate_of(ahead)
    one.looked()

    assert (before, one.gate_of(ahead)) == ("look", "feed")


@pytest.mark.parametrize(("asked_s", "pause_s"), [(5, 5), (10**6, 300), (-3, 0)])
def test_a_busy_server_is_left_alone_for_as_long_as_it_asks_within_bounds(asked_s: float, pause_s: float) -> None:
    one = health()

    assert one.rest(one.begin(), 0, asked_s)
    assert one.open_until_s == pause_s


def rested(one: Health, asked_s: float) -> float:
    """Let a job be told to wait once the pause before is over; return the pause in seconds."""
    now_s = one.open_until_s
    one.gate(now_s)
    one.looked()
    one.rest(one.begin(), now_s, asked_s)
    return one.open_until_s - now_s


@pytest.mark.parametrize(
    ("asked_s", "pauses_s"),
    [
        ([1, 1, 1, 1], [1, 2, 4, 8]),
        ([0, 0, 0, 0], [0, 1, 2, 4]),
        ([1, 30, 1, 1], [1, 30, 60, 120]),
        ([200, 10, 10**6], [200, 300, 300]),
    ],
)
def test_a_server_that_stays_busy_is_left_alone_twice_as_long_each_time(
    asked_s: list[float], pauses_s: list[float]
) -> None:
    one = health()

    assert [rested(one, asked) for asked in asked_s] == pauses_s


def test_after_a_success_a_busy_server_is_left_alone_no_longer_than_it_asks() -> None:
    one = health()
    for _ in range(5):
        rested(one, 1)
    one.gate(one.open_until_s)
    one.looked()
    one.good(one.begin())

    assert rested(one, 1) == 1


def test_being_busy_is_no_fault() -> None:
    one = health()
    one.rest(one.begin(), 0, None)
    one.gate(5)
    one.looked()
    one.good(one.begin())

    assert one.is_spotless


def test_a_run_whose_failures_are_made_up_for_goes_on_for_ever() -> None:
    budget = RetryBudget(3)
    forgiven = []
    for _ in range(1000):
        forgiven.append(budget.spend())
        budget.earn()

    assert all(forgiven)


def test_failures_without_success_are_forgiven_so_often_and_no_more() -> None:
    budget = RetryBudget(3)

    assert [budget.spend() for _ in range(4)] == [True, True, False, False]


def test_success_does_not_save_up_for_later() -> None:
    budget = RetryBudget(2)
    for _ in range(100):
        budget.earn()

    assert [budget.spend(), budget.spend()] == [True, False]
