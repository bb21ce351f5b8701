"""The timeline: small paths, honest axes."""

from __future__ import annotations

import re

from sdclient.report.timeline import WIDTH, clock, make_timeline, span
from tests.unit.report.builder import BEGAN
from tests.unit.report.test_history import NOW, row


def test_each_worker_and_server_has_a_row_with_its_statuses_apart() -> None:
    rows = [row(0), row(10, status="failed"), row(20, status="late"), row(0, worker="w2")]

    timeline = make_timeline(rows, {}, NOW)

    assert [one.label for one in timeline.rows] == ["mini · worker w1", "mini · worker w2"]
    assert set(timeline.rows[0].paths) == {"done", "failed", "other"}
    assert timeline.rows[0].summary == "3 tries, 1 failed, held for 24 s"
    assert timeline.trouble == ()


def test_bars_stay_inside_the_drawing() -> None:
    timeline = make_timeline([row(10 * number) for number in range(30)], {}, NOW)

    lefts = [int(found) for found in re.findall(r"M(\d+) 0", timeline.rows[0].paths["done"])]
    assert lefts == sorted(lefts)
    assert lefts[0] == 0
    assert all(left <= WIDTH for left in lefts)


def test_ten_thousand_jobs_take_few_bytes() -> None:
    timeline = make_timeline([row(10 * number) for number in range(10_000)], {}, NOW)

    assert len(timeline.rows[0].paths["done"]) < 60_000


def test_a_night_off_is_cut_out_and_said() -> None:
    timeline = make_timeline([row(0), row(10), row(40_000), row(40_010)], {}, NOW)

    assert [(round(at), text) for at, text in timeline.cuts] == [(50, "11.1 h")]
    assert timeline.gaps == ("mini: 11.1 h from 01 Jan 12:00",)


def test_a_night_between_two_workers_is_cut_out_and_listed() -> None:
    timeline = make_timeline([row(0), row(10_808, worker="w2")], {}, NOW)

    assert [(round(at), text) for at, text in timeline.cuts] == [(50, "3 h")]
    assert timeline.gaps == ("mini: 3 h from 01 Jan 12:00",)


def test_of_many_gaps_the_longest_are_listed_and_the_rest_counted() -> None:
    rows = [row(100 * number + 10 * part) for number in range(20) for part in range(4)]

    timeline = make_timeline(rows, {}, NOW)

    assert len(timeline.gaps) + timeline.more_gaps == 19
    assert timeline.more_gaps == 7


def test_clocks_that_disagree_are_said_and_every_row_has_its_own_time() -> None:
    rows = [row(3600, job="a"), row(0, job="b", worker="w2")]

    timeline = make_timeline(rows, {"b": "a"}, NOW)

    assert len(timeline.trouble) == 1
    assert [one.paths["done"] for one in timeline.rows] == [f"M0 0h{WIDTH}v9h-{WIDTH}z"] * 2
    assert timeline.ticks[0][1] == "0 s"
    assert timeline.gaps == timeline.cuts == ()


def test_a_cut_is_told_also_where_clocks_disagree() -> None:
    years = 5 * 365 * 86_400
    rows = [row(0, job="a"), row(years, job="c"), row(-3600, job="b", worker="w2")]

    timeline = make_timeline(rows, {"b": "a"}, NOW + years)

    assert len(timeline.trouble) == 1
    assert [(round(at), text) for at, text in timeline.cuts] == [(50, "1,825 days")]
    assert [text for _, text in timeline.ticks] == ["0 s", "4 s", "8 s", "1,825 days", "1,825 days"]


def test_a_short_run_has_ticks_with_seconds() -> None:
    timeline = make_timeline([row(0), row(10)], {}, NOW)

    assert timeline.ticks[0][1] == "01 Jan 12:00:00"
    assert timeline.ticks[-1][1] == "12:00:18"


def test_nothing_tried_is_an_empty_timeline() -> None:
    timeline = make_timeline([], {}, NOW)

    assert timeline.rows == timeline.ticks == ()


def test_lengths_of_time_are_said_in_fitting_units() -> None:
    assert [span(seconds) for seconds in (8, 600, 7200, 500_000, 157_766_400)] == [
        "8 s",
        "10 min",
        "2 h",
        "5.79 days",
        "1,826 days",
    ]


def test_a_moment_outside_every_calendar_is_left_blank() -> None:
    assert clock(1e30) == ""
    assert clock(BEGAN.timestamp()) == "01 Jan 12:00"
