"""Bars, gaps and clocks, from rows alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.report.history import (
    LONG_PAUSE_S,
    Axis,
    Bar,
    LaneHistory,
    figure,
    find_clock_trouble,
    find_gaps,
    make_axis,
    make_work_axis,
    read_bar,
    read_lanes,
    shift_to_zero,
    started_s,
)
from tests.unit.report.builder import BEGAN, moment

ZERO = BEGAN.timestamp()
NOW = ZERO + 10_000_000


def row(begin_s: float, held_s: float = 8.0, **cells: str) -> Mapping[str, str]:
    return {
        "job": "j",
        "worker": "w1",
        "server": "mini",
        "status": "done",
        "attempt": "1",
        "started": moment(begin_s),
        "execute_s": str(held_s),
        **cells,
    }


def test_a_bar_ends_when_the_job_was_finished_and_begins_as_long_before_as_it_held_the_server() -> None:
    # Claimed at 0, but the server was busy with the job before until 20.
    bar = read_bar(row(0, 8, wall_s="30", finish_s="2"), 3)

    assert bar == Bar(ZERO + 20, ZERO + 28, "done", 3)


def test_a_row_without_wall_time_begins_where_it_was_claimed() -> None:
    assert read_bar(row(5, 8), 0) == Bar(ZERO + 5, ZERO + 13, "done", 0)


@pytest.mark.parametrize(
    "cells",
    [
        {"started": ""},
        {"started": "yesterday"},
        {"started": "9999-99-99"},
        {"execute_s": ""},
        {"execute_s": "nan"},
        {"execute_s": "inf"},
        {"execute_s": "-1"},
        {"execute_s": "1e99"},
        {"execute_s": "fast"},
    ],
    ids=str,
)
def test_a_row_that_does_not_say_when_has_no_bar(cells: dict[str, str]) -> None:
    assert read_bar({**row(0), **cells}, 0) is None


def test_a_time_without_a_zone_is_taken_for_utc() -> None:
    assert started_s({"started": "2026-01-01T12:00:00"}) == ZERO
    assert started_s({"started": "2026-01-01T12:00:00Z"}) == ZERO


def test_a_missing_figure_is_unknown() -> None:
    assert figure({}, "x") is None
    assert figure({"x": "1.5"}, "x") == 1.5


def test_attempts_are_sorted_by_worker_and_server() -> None:
    rows = [row(20), row(0, worker="w2"), row(10), row(15, server="gpu")]

    lanes = read_lanes(rows)

    assert [(lane.worker, lane.server, len(lane.bars)) for lane in lanes] == [
        ("w2", "mini", 1),
        ("w1", "mini", 2),
        ("w1", "gpu", 1),
    ]
    assert lanes[1].busy_s == 16


def test_a_pause_much_longer_than_usual_is_a_gap() -> None:
    lanes = read_lanes([row(0), row(9), row(18), row(200), row(209)])

    gaps = find_gaps(lanes)

    assert [(round(gap.begin_s - ZERO), round(gap.length_s)) for gap in gaps] == [(26, 174)]


def test_a_single_job_has_no_gap() -> None:
    assert find_gaps(read_lanes([row(0)])) == []


def test_a_pause_of_a_server_is_found_between_two_workers_too() -> None:
    gaps = find_gaps(read_lanes([row(0), row(9), row(108, worker="w2"), row(117, worker="w2")]))

    assert [(gap.server, round(gap.begin_s - ZERO), round(gap.length_s)) for gap in gaps] == [("mini", 17, 91)]


def test_a_pause_of_one_worker_in_which_another_held_the_server_is_none() -> None:
    filler = [row(9 * number, worker="w2") for number in range(20)]

    assert find_gaps(read_lanes([row(0), row(4), row(170), *filler])) == []


@pytest.mark.parametrize("begins_s", [(0, 300), (0, 10_000, 20_000)], ids=["a single one", "all of them"])
def test_a_pause_is_long_also_where_there_is_no_shorter_one(begins_s: tuple[float, ...]) -> None:
    gaps = find_gaps(read_lanes([row(begin_s) for begin_s in begins_s]))

    assert len(gaps) == len(begins_s) - 1


def test_clocks_in_order_are_no_trouble() -> None:
    rows = [row(0, job="a"), row(20, job="b", worker="w2")]

    assert find_clock_trouble(rows, {"b": "a"}, NOW) == []


def test_a_job_that_began_before_its_input_was_made_shows_two_clocks_that_disagree() -> None:
    rows = [row(300, job="a"), row(20, job="b", worker="w2")]

    [trouble] = find_clock_trouble(rows, {"b": "a"}, NOW)

    assert (trouble.worker, trouble.other, round(trouble.at_least_s)) == ("w2", "w1", 288)
    assert str(trouble) == "The clock of worker w2 and the clock of worker w1 disagree by about 5 min or more."


def test_a_worker_that_comes_back_late_is_no_disagreement_of_clocks() -> None:
    rows = [row(0, held_s=500, status="late"), row(100, attempt="2", worker="w2")]

    assert find_clock_trouble(rows, {}, NOW) == []


def test_a_second_try_that_began_before_the_first_shows_two_clocks_that_disagree() -> None:
    rows = [row(500, status="failed"), row(0, attempt="2", worker="w2")]

    [trouble] = find_clock_trouble(rows, {}, NOW)

    assert (trouble.worker, trouble.other) == ("w2", "w1")


def test_a_clock_that_was_set_back_is_named_alone() -> None:
    rows = [row(500, status="failed"), row(0, attempt="2")]

    [trouble] = find_clock_trouble(rows, {}, NOW)

    assert str(trouble) == "The clock of worker w1 was set back by about 8 min or more while it worked."


def test_a_time_in_the_future_shows_a_clock_that_is_ahead_of_ours() -> None:
    [trouble] = find_clock_trouble([row(0), row(10_000)], {}, ZERO)

    assert str(trouble) == "The clock of worker w1 and the clock of this machine disagree by about 2.8 h or more."


def test_a_second_or_two_are_no_disagreement() -> None:
    rows = [row(10, job="a"), row(17, job="b", worker="w2")]

    assert find_clock_trouble(rows, {"b": "a"}, NOW) == []


def test_a_time_in_which_nobody_worked_is_cut_out_of_the_axis() -> None:
    axis = make_axis(read_lanes([row(0), row(10), row(5000), row(5010, worker="w2")]))

    assert axis.length_s == pytest.approx(36)
    assert [(round(at), round(length)) for at, length in axis.cuts] == [(18, 4982)]
    assert axis.at(ZERO + 3000) == pytest.approx(18)


def test_a_pause_that_another_worker_fills_is_not_cut_out() -> None:
    filler = [row(9 * number, worker="w2") for number in range(100)]

    axis = make_axis(read_lanes([row(0), row(890), *filler]))

    assert axis.cuts == []


def test_time_between_two_workers_in_which_nobody_was_there_is_no_time_of_work() -> None:
    axis = make_work_axis(read_lanes([row(0), row(60), row(168, worker="w2"), row(170, server="gpu", worker="w3")]))

    assert [(round(begin - ZERO), round(end - ZERO)) for begin, end in axis.pieces] == [(0, 68), (168, 178)]


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e4)), min_size=1, max_size=30),
    st.lists(st.floats(-1e5, 1.2e6), min_size=2, max_size=20),
)
def test_an_axis_never_runs_backwards_and_ends_at_its_length(
    spans: list[tuple[float, float]], moments: list[float]
) -> None:
    bars = tuple(Bar(begin, begin + length, "done", 0) for begin, length in spans)

    axis = make_axis([LaneHistory("w", "s", bars)])

    at = [axis.at(one) for one in sorted(moments)]
    assert at == sorted(at)
    assert all(0 <= one <= axis.length_s for one in at)
    assert axis.at(max(bar.end_s for bar in bars)) == pytest.approx(axis.length_s, abs=0.002)
    assert all(length > LONG_PAUSE_S for _, length in axis.cuts)


def test_an_axis_of_nothing_has_no_length_to_speak_of() -> None:
    assert Axis(()).length_s == 0.001
    assert Axis(()).at(5) == 0


def test_a_shifted_lane_begins_at_zero() -> None:
    [lane] = read_lanes([row(100), row(120)])

    assert [(bar.begin_s, bar.end_s) for bar in shift_to_zero(lane).bars] == [(0, 8), (20, 28)]
