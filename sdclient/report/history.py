"""When each worker held each server: bars, gaps and clocks that disagree, worked out from the attempts' rows alone."""

from __future__ import annotations

import datetime as dt
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from statistics import median

from sdclient.progress import short_time

SHORTEST_GAP_S = 5.0
"""A shorter pause is not worth a line."""
LONG_PAUSE_S = 600.0
"""When nobody worked for longer than this, the time is cut out of the axis."""
CLOCK_TOLERANCE_S = 2.0
"""Clocks that disagree by less are called equal."""
_LONGEST_S = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One time a server was held.

    Attributes:
        begin_s: Seconds since 1970 by the worker's own clock.
        end_s: Likewise; not before ``begin_s``.
        status: The attempt's status: ``done``, ``late``, ``failed``, ``set_aside``, ``released``.
        row: Index of the attempt it was read from.
    """

    begin_s: float
    end_s: float
    status: str
    row: int


@dataclass(frozen=True, slots=True)
class LaneHistory:
    """One server as one worker used it.

    Attributes:
        worker: First digits of the worker's token.
        server: The server's name.
        bars: In order of their beginnings.
    """

    worker: str
    server: str
    bars: tuple[Bar, ...]

    @property
    def busy_s(self) -> float:
        """Seconds it was held."""
        return sum(bar.end_s - bar.begin_s for bar in self.bars)


@dataclass(frozen=True, slots=True)
class Gap:
    """A pause between two jobs of a server, whichever workers sent them.

    Attributes:
        server: The server's name.
        begin_s: When it began, seconds since 1970.
        length_s: How long it was.
    """

    server: str
    begin_s: float
    length_s: float


def figure(cells: Mapping[str, str], name: str) -> float | None:
    """Return a cell as a finite number; None where it is empty, missing or no number."""
    try:
        value = float(cells.get(name) or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def started_s(cells: Mapping[str, str]) -> float | None:
    """Return when an attempt began, in seconds since 1970; None where its row does not say."""
    text = cells.get("started", "")
    try:
        moment = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=dt.timezone.utc)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def read_bar(cells: Mapping[str, str], row: int) -> Bar | None:
    """Return the time an attempt held its server; None where its row does not say."""
    started, held_s = started_s(cells), figure(cells, "execute_s")
    if started is None or held_s is None or not 0 <= held_s <= _LONGEST_S:
        return None
    wall_s = figure(cells, "wall_s")
    # A job is claimed while the one before still runs: the end is known better than the beginning.
    end = started + held_s if wall_s is None else started + wall_s - (figure(cells, "finish_s") or 0.0)
    end = max(end, started + held_s)
    return Bar(end - held_s, end, cells.get("status", ""), row)


def read_lanes(attempts: Sequence[Mapping[str, str]]) -> list[LaneHistory]:
    """Sort attempts by who made them and where."""
    found: dict[tuple[str, str], list[Bar]] = {}
    for number, cells in enumerate(attempts):
        bar = read_bar(cells, number)
        if bar is not None:
            found.setdefault((cells.get("worker", ""), cells.get("server", "")), []).append(bar)
    lanes = [
        LaneHistory(worker, server, tuple(sorted(bars, key=lambda bar: bar.begin_s)))
        for (worker, server), bars in found.items()
    ]
    return sorted(lanes, key=lambda lane: (lane.bars[0].begin_s, lane.worker, lane.server))


def find_gaps(lanes: Iterable[LaneHistory]) -> list[Gap]:
    """List the pauses that are longer than usual for their server, longest first."""
    by_server: dict[str, list[tuple[Bar, str]]] = {}
    for lane in lanes:
        by_server.setdefault(lane.server, []).extend((bar, lane.worker) for bar in lane.bars)
    gaps = [gap for server, bars in by_server.items() for gap in _server_gaps(server, bars)]
    return sorted(gaps, key=lambda gap: -gap.length_s)


def _server_gaps(server: str, bars: Iterable[tuple[Bar, str]]) -> list[Gap]:
    first, *rest = sorted(bars, key=lambda entry: entry[0].begin_s)
    end_s, holder = first[0].end_s, first[1]
    pauses: list[tuple[float, float]] = []
    usual: list[float] = []
    for bar, worker in rest:
        pauses.append((end_s, bar.begin_s - end_s))
        # Between two workers nobody may have been there: that says nothing about how long a pause usually is.
        usual += [max(0.0, bar.begin_s - end_s)] if worker == holder else []
        if bar.end_s >= end_s:
            end_s, holder = bar.end_s, worker
    usual_s = median(usual) if len(usual) > 1 else 0.0
    least_s = min(LONG_PAUSE_S, max(SHORTEST_GAP_S, 3 * usual_s))
    return [Gap(server, begin, length) for begin, length in pauses if length > least_s]


@dataclass(frozen=True, slots=True)
class ClockTrouble:
    """Two workers, or one at two times, whose clocks cannot both be right.

    Attributes:
        worker: The worker whose time is too early.
        other: The worker it is compared with; empty for the clock of the reader.
        at_least_s: By how many seconds they disagree at least.
    """

    worker: str
    other: str
    at_least_s: float

    def __str__(self) -> str:
        against = f"the clock of worker {self.other}" if self.other else "the clock of this machine"
        # Rounded, it may be more than what is known for certain.
        how_much = f"by about {short_time(self.at_least_s)} or more"
        if self.worker == self.other:
            return f"The clock of worker {self.worker} was set back {how_much} while it worked."
        return f"The clock of worker {self.worker} and {against} disagree {how_much}."


def find_clock_trouble(
    attempts: Sequence[Mapping[str, str]], needs: Mapping[str, str], now_s: float
) -> list[ClockTrouble]:
    """List the clocks that contradict what must have happened first.

    Args:
        attempts: All rows.
        needs: For jobs that work on another job's output: that job's id.
        now_s: The reader's clock, seconds since 1970.

    Returns:
        One entry for each pair of workers, with the largest contradiction seen.
    """
    worst: dict[tuple[str, str], float] = {}
    for worker, other, seconds in _contradictions(attempts, needs, now_s):
        if seconds > CLOCK_TOLERANCE_S:
            worst[worker, other] = max(seconds, worst.get((worker, other), 0.0))
    return [ClockTrouble(worker, other, seconds) for (worker, other), seconds in sorted(worst.items())]


def _contradictions(
    attempts: Sequence[Mapping[str, str]], needs: Mapping[str, str], now_s: float
) -> Iterator[tuple[str, str, float]]:
    ends: dict[str, tuple[str, float]] = {}
    tries: dict[str, list[tuple[float, str, Bar]]] = {}
    for number, cells in enumerate(attempts):
        bar = read_bar(cells, number)
        if bar is None:
            continue
        worker, job = cells.get("worker", ""), cells.get("job", "")
        tries.setdefault(job, []).append((figure(cells, "attempt") or 0.0, worker, bar))
        if cells.get("status") == "done":
            ends[job] = (worker, bar.end_s)
        # A minute of grace: the reader's own clock may be the one that is off, by a little.
        if bar.end_s > now_s + 60:
            yield worker, "", bar.end_s - now_s
    for made in tries.values():
        # A later try begins after the earlier one began. It may well end before that: a worker that was taken for
        # dead comes back late.
        for (first, before, one), (second, after, two) in pairwise(sorted(made, key=lambda entry: entry[0])):
            if first < second:
                yield after, before, one.begin_s - two.begin_s
    for job, needed in needs.items():
        if job in tries and needed in ends:
            maker, ready_s = ends[needed]
            yield from ((worker, maker, ready_s - bar.begin_s) for _, worker, bar in tries[job])


@dataclass(frozen=True, slots=True)
class Axis:
    """Time without the long pauses in which nobody worked.

    Attributes:
        pieces: Stretches of time that are shown: begin and end in seconds since 1970, in order.
        before_s: Shown seconds before each piece, and after the last.
    """

    pieces: tuple[tuple[float, float], ...]
    before_s: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lengths = (end - begin for begin, end in self.pieces)
        # Frozen: this one value follows from the other and is worked out once.
        object.__setattr__(self, "before_s", tuple(accumulate(lengths, initial=0.0)))

    @property
    def length_s(self) -> float:
        """Seconds shown in all; at least a thousandth, so that one may divide by it."""
        return max(0.001, self.before_s[-1])

    def at(self, moment_s: float) -> float:
        """Return how many shown seconds lie before a moment."""
        index = bisect_right(self.pieces, moment_s, key=lambda piece: piece[0]) - 1
        if index < 0:
            return 0.0
        begin, end = self.pieces[index]
        return self.before_s[index] + (min(end, moment_s) - begin)

    @property
    def cuts(self) -> list[tuple[float, float]]:
        """Where time was cut out: shown seconds before it, and how many seconds."""
        return [
            (before, two[0] - one[1])
            for before, (one, two) in zip(self.before_s[1:-1], pairwise(self.pieces), strict=True)
        ]


def make_axis(lanes: Iterable[LaneHistory]) -> Axis:
    """Return the axis for lanes; pauses of all of them longer than `LONG_PAUSE_S` are cut out."""
    bars = sorted((bar.begin_s, bar.end_s) for lane in lanes for bar in lane.bars)
    pieces: list[tuple[float, float]] = []
    for begin, end in bars:
        if pieces and begin - pieces[-1][1] <= LONG_PAUSE_S:
            pieces[-1] = (pieces[-1][0], max(end, pieces[-1][1]))
        else:
            pieces.append((begin, end))
    return Axis(tuple(pieces))


def make_work_axis(lanes: Iterable[LaneHistory]) -> Axis:
    """Return the axis of the time in which a worker was there, from its first job to its last.

    Time in which there was none is cut out, however short; long pauses of a worker are, as in `make_axis`.
    """
    by_worker: dict[str, list[LaneHistory]] = {}
    for lane in lanes:
        by_worker.setdefault(lane.worker, []).append(lane)
    there = sorted(piece for mine in by_worker.values() for piece in make_axis(mine).pieces)
    pieces: list[tuple[float, float]] = []
    for begin, end in there:
        if pieces and begin <= pieces[-1][1]:
            pieces[-1] = (pieces[-1][0], max(end, pieces[-1][1]))
        else:
            pieces.append((begin, end))
    return Axis(tuple(pieces))


def shift_to_zero(lane: LaneHistory) -> LaneHistory:
    """Return a lane whose first bar begins at 0: its own time, comparable with no other."""
    zero = lane.bars[0].begin_s
    bars = tuple(Bar(bar.begin_s - zero, bar.end_s - zero, bar.status, bar.row) for bar in lane.bars)
    return LaneHistory(lane.worker, lane.server, bars)
