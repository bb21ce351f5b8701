"""The timeline of every worker, as paths that a page draws: many jobs, few bytes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sdclient.report.history import (
    Axis,
    ClockTrouble,
    LaneHistory,
    find_clock_trouble,
    find_gaps,
    make_axis,
    read_lanes,
    shift_to_zero,
)

WIDTH = 2000
"""Steps of the drawing from left to right; bars closer together than one step are drawn as one."""
_CLASSES = {"done": "done", "failed": "failed", "set_aside": "failed"}
_SHOWN_GAPS = 12
_SHOWN_CUTS = 8
_SECONDS_BELOW_S = 600.0
_WHOLE_DAYS_FROM = 100


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One lane, ready to be drawn.

    Attributes:
        label: Worker and server.
        paths: SVG path data by class: ``done``, ``failed``, ``other``.
        summary: What a screen reader is told.
    """

    label: str
    paths: Mapping[str, str]
    summary: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """The timeline of a run.

    Attributes:
        rows: One for each worker and server.
        ticks: Position in percent, and what to write there.
        cuts: Position in percent of time that was cut out, and how much of it.
        gaps: Sentences about the longest pauses.
        more_gaps: How many pauses are not listed.
        trouble: Sentences about clocks that disagree; where there are any, each row has its own time.
    """

    rows: tuple[TimelineRow, ...]
    ticks: tuple[tuple[float, str], ...]
    cuts: tuple[tuple[float, str], ...]
    gaps: tuple[str, ...]
    more_gaps: int
    trouble: tuple[str, ...]


def make_timeline(attempts: Sequence[Mapping[str, str]], needs: Mapping[str, str], now_s: float) -> Timeline:
    """Draw up the timeline.

    Args:
        attempts: All rows.
        needs: For jobs that work on another job's output: that job's id.
        now_s: The reader's clock, seconds since 1970.
    """
    lanes = read_lanes(attempts)
    trouble = find_clock_trouble(attempts, needs, now_s)
    if trouble:
        return _own_times(lanes, trouble)
    axis = make_axis(lanes)
    gaps = find_gaps(lanes)
    sentences = [f"{gap.server}: {span(gap.length_s)} from {clock(gap.begin_s)}" for gap in gaps[:_SHOWN_GAPS]]
    return Timeline(
        tuple(_row(lane, axis) for lane in lanes),
        _ticks(axis, own=False),
        _cuts(axis),
        tuple(sentences),
        max(0, len(gaps) - _SHOWN_GAPS),
        (),
    )


def _cuts(axis: Axis) -> tuple[tuple[float, str], ...]:
    longest = sorted(axis.cuts, key=lambda cut: -cut[1])[:_SHOWN_CUTS]
    return tuple((100 * at / axis.length_s, span(length_s)) for at, length_s in sorted(longest))


def _own_times(lanes: Sequence[LaneHistory], trouble: Sequence[ClockTrouble]) -> Timeline:
    shifted = [shift_to_zero(lane) for lane in lanes]
    axis = make_axis(shifted)
    rows = tuple(_row(lane, axis) for lane in shifted)
    return Timeline(rows, _ticks(axis, own=True), _cuts(axis), (), 0, tuple(str(one) for one in trouble))


def _row(lane: LaneHistory, axis: Axis) -> TimelineRow:
    spans: dict[str, list[tuple[int, int]]] = {}
    scale = WIDTH / axis.length_s
    for bar in lane.bars:
        left = round(axis.at(bar.begin_s) * scale)
        right = max(left + 1, round(axis.at(bar.end_s) * scale))
        found = spans.setdefault(_CLASSES.get(bar.status, "other"), [])
        if found and left <= found[-1][1]:
            found[-1] = (found[-1][0], max(right, found[-1][1]))
        else:
            found.append((left, right))
    paths = {
        name: "".join(f"M{left} 0h{right - left}v9h{left - right}z" for left, right in found)
        for name, found in spans.items()
    }
    failed = sum(_CLASSES.get(bar.status) == "failed" for bar in lane.bars)
    summary = (
        f"{len(lane.bars)} {'try' if len(lane.bars) == 1 else 'tries'}, {failed} failed, held for {span(lane.busy_s)}"
    )
    return TimelineRow(f"{lane.server} · worker {lane.worker}", paths, summary)


def _ticks(axis: Axis, *, own: bool) -> tuple[tuple[float, str], ...]:
    if not axis.pieces:
        return ()
    ticks: list[tuple[float, str]] = []
    for part in range(5):
        at = axis.length_s * part / 4
        moment = _moment(axis, at)
        days = part == 0 or len(axis.pieces) > 1
        text = span(moment) if own else clock(moment, with_day=days, with_seconds=axis.length_s < _SECONDS_BELOW_S)
        ticks.append((25.0 * part, text))
    return tuple(ticks)


def _moment(axis: Axis, at_s: float) -> float:
    for begin, end in axis.pieces:
        if at_s <= end - begin:
            return begin + at_s
        at_s -= end - begin
    return axis.pieces[-1][1]


def clock(moment_s: float, *, with_day: bool = True, with_seconds: bool = False) -> str:
    """Return a moment as UTC people read; empty where no calendar has it."""
    try:
        moment = dt.datetime.fromtimestamp(moment_s, dt.timezone.utc)
    except (ValueError, OverflowError, OSError):
        return ""
    return moment.strftime(("%d %b " if with_day else "") + ("%H:%M:%S" if with_seconds else "%H:%M"))


def span(seconds: float) -> str:
    """Return a length of time as people say it."""
    for limit, unit, size in ((100, "s", 1), (6000, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    days = seconds / 86400
    # Three digits would write years as 1.83e+03.
    return f"{days:.3g} days" if days < _WHOLE_DAYS_FROM else f"{days:,.0f} days"
