"""How a run goes: rate, finish time, stalls and steps, worked out from its events, and put into one line of any width."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from statistics import mean, median

from sdclient.batch.events import Event
from sdclient.batch.survey import Counts

QUIET_AT_LEAST_S = 60.0
"""Nothing is called a stall before so many seconds without a finished job."""
QUIET_UNKNOWN_S = 600.0
"""As long as no job has finished yet, so much patience is due: models load, GPUs warm up."""
QUIET_TIMES = 5.0
"""A stall is this many times the usual time between two finished jobs, or the usual time of a job."""
_KEPT = 40
_FEWEST = 3
_TELLING = 0.05
"""Below it a server's progress foretells nothing: A1111 says 0.01 from the start, while it loads a model."""
_BAR = 10
_SHORTEST_NAME = 8
_WIDTH_WITH_BAR = 72
"""In less, the name of what is painted is worth more than a bar."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far a server is with what it draws now.

    Attributes:
        fraction: 0 to 1; None where it does not say.
        step: The step it draws; None where it does not say.
        steps: Of how many.
    """

    fraction: float | None = None
    step: int | None = None
    steps: int | None = None

    def __str__(self) -> str:
        if self.step is not None and self.steps:
            return f"step {self.step}/{self.steps}"
        return "" if self.fraction is None else f"{100 * self.fraction:.0f} %"


@dataclass(slots=True)
class LanePace:
    """How one server or segmenter gets on.

    Attributes:
        ended_s: When its last jobs were done, by the caller's clock.
        held_s: How long they held it, in seconds.
        images: How many images each of them drew; 1 for a job that draws none.
        place: The job it is at; empty where it is at none.
        began_s: Since when.
        trouble: Why it waits or left; empty where it does neither.
    """

    ended_s: deque[float] = field(default_factory=lambda: deque[float](maxlen=_KEPT))
    held_s: deque[float] = field(default_factory=lambda: deque[float](maxlen=_KEPT))
    images: deque[int] = field(default_factory=lambda: deque[int](maxlen=_KEPT))
    place: str = ""
    began_s: float = 0.0
    trouble: str = ""

    @property
    def per_hour(self) -> float | None:
        """Images an hour, by the middle one of the last pauses between two jobs; None before there are two of them."""
        if len(self.ended_s) < 2:  # noqa: PLR2004 - one end is no pause
            return None
        usual_s = median(two - one for one, two in pairwise(self.ended_s))
        return 3600 / usual_s * mean(self.images) if usual_s > 0 else None

    def left_s(self, now_s: float, step: Step | None, usual_s: float | None) -> float | None:
        """Return the seconds until the job it is at has left it, by its own times, else by its steps, else as usual."""
        elapsed_s = max(0.0, now_s - self.began_s)
        if self.held_s:
            return max(0.0, median(self.held_s) - elapsed_s)
        if step is not None and step.fraction is not None and step.fraction >= _TELLING:
            return elapsed_s * (1 - min(step.fraction, 1.0)) / step.fraction
        return None if usual_s is None else max(0.0, usual_s - elapsed_s)


class Pace:
    """What a run's events tell of its speed.

    Args:
        counts: Where all jobs stand at the beginning.
        now_s: A clock that never goes back, in seconds, here and in every call.
        expected_s: Seconds that what is left takes by what was measured before; None where nothing was.
    """

    def __init__(self, counts: Counts, now_s: float, expected_s: float | None = None) -> None:
        self.counts = counts
        self._expected_job_s = expected_s / counts.left if expected_s is not None and counts.left else None
        self.lanes: dict[str, LanePace] = {}
        self._points: deque[tuple[float, int]] = deque([(now_s, counts.done)], maxlen=_KEPT)
        self._moved_s = now_s

    def see(self, event: Event, now_s: float) -> None:
        """Take an event in."""
        if event.counts.done > self.counts.done:
            # Other machines' jobs count too: what is left is left for all.
            self._points.append((now_s, event.counts.done))
            self._moved_s = now_s
        self.counts = event.counts
        if event.name in ("failed", "set_aside"):
            self._moved_s = now_s
        if event.lane:
            _follow(self.lanes.setdefault(event.lane, LanePace()), event, now_s)

    def per_second(self) -> float | None:
        """Return jobs a second over all machines: the middle of all slopes, which no single slow job moves."""
        if len(self._points) < _FEWEST:
            return None
        slopes = [(b - a) / (two - one) for (one, a), (two, b) in combinations(self._points, 2) if two > one]
        usual = median(slopes) if slopes else 0.0
        return usual if usual > 0 else None

    def left_s(self) -> float | None:
        """Return the seconds until all is done; None before that can be told."""
        rate = self.per_second()
        return None if rate is None else self.counts.left / rate

    def expected_left_s(self) -> float | None:
        """Return the seconds until all is done by what was measured before; None where nothing was."""
        return None if self._expected_job_s is None else self.counts.left * self._expected_job_s

    def busy_left_s(
        self, now_s: float, steps: Mapping[str, Step], usual_s: float | None = None
    ) -> dict[str, float | None]:
        """Return, for each lane at work, the seconds until its job has left it; None where that is not known.

        Args:
            now_s: The clock.
            steps: How far servers are that tell.
            usual_s: Seconds a job usually takes, for lanes that have done none yet.
        """
        return {name: lane.left_s(now_s, steps.get(name), usual_s) for name, lane in self.lanes.items() if lane.place}

    def quiet_s(self, now_s: float) -> float:
        """Return the seconds since a job last ended."""
        return max(0.0, now_s - self._moved_s)

    def is_stalled(self, now_s: float) -> bool:
        """Tell whether nothing has ended for much longer than usual, with work left."""
        return self.counts.left > 0 and self.quiet_s(now_s) > self._patience_s()

    def _patience_s(self) -> float:
        held = [median(lane.held_s) for lane in self.lanes.values() if lane.held_s]
        rate = self.per_second()
        usual = [*held, *([1 / rate] if rate else [])]
        return max(QUIET_AT_LEAST_S, QUIET_TIMES * max(usual)) if usual else QUIET_UNKNOWN_S


def _follow(lane: LanePace, event: Event, now_s: float) -> None:
    if event.name == "begun":
        lane.place, lane.began_s, lane.trouble = event.place, now_s, ""
    elif event.name in ("asleep", "left"):
        lane.place, lane.trouble = "", "waits for its server" if event.name == "asleep" else "left the run"
    elif event.name in ("done", "late"):
        lane.ended_s.append(now_s)
        lane.images.append(1 if event.images is None else event.images)
        if event.execute_s is not None:
            lane.held_s.append(event.execute_s)
    if event.place == lane.place and event.name in ("done", "late", "failed", "set_aside", "released"):
        # A job is finished while the next one is at the server already; only its own end clears it.
        lane.place = ""


def progress_line(
    pace: Pace,
    now_s: float,
    now: dt.datetime,
    width: int,
    *,
    steps: Mapping[str, Step] | None = None,
    with_bar: bool = True,
) -> str:
    """Put a run's progress into one line.

    Args:
        pace: How it goes.
        now_s: The clock the pace was fed with.
        now: The time of day, for the time it will be finished.
        width: Columns there are; wide characters count two.
        steps: How far servers are with what they draw, by lane.
        with_bar: Draw a bar of the jobs where there is room.
    """
    counts = pace.counts
    parts = [f"{counts.done}/{counts.jobs}", _bar(counts) if with_bar and width >= _WIDTH_WITH_BAR else ""]
    if pace.is_stalled(now_s):
        parts.append(f"STALLED: nothing ended for {short_time(pace.quiet_s(now_s))}")
    parts += [
        f"{counts.failed} failed" if counts.failed else "",
        f"{counts.set_aside} set aside" if counts.set_aside else "",
    ]
    if counts.left and not pace.is_stalled(now_s):
        parts.append(_finish(pace, now))
    parts.append(_rates(pace, width))
    line = "  ".join(part for part in parts if part)
    return cut_to_width(line + _painting(pace, width - cell_width(line) - 2, steps or {}), width)


def _finish(pace: Pace, now: dt.datetime) -> str:
    left_s, expected_s = pace.left_s(), pace.expected_left_s()
    if left_s is not None:
        return finish_text(left_s, now)
    return "finish unknown yet" if expected_s is None else f"{finish_text(expected_s, now)} (estimate)"


def _bar(counts: Counts) -> str:
    filled = _BAR * counts.done // max(1, counts.jobs)
    return f"[{'#' * filled}{'.' * (_BAR - filled)}]"


def _rates(pace: Pace, width: int) -> str:
    """Say the images an hour of each server at work, by name where there is room, else in the order they came."""
    # A server that is waited for, or has left, draws nothing: its rate is of the past.
    working = {name: lane.per_hour for name, lane in pace.lanes.items() if not lane.trouble}
    rates = {name: rate for name, rate in working.items() if rate is not None}
    if len(rates) > 1:
        named = ", ".join(f"{name} {rate:.0f}/h" for name, rate in rates.items())
        bare = "+".join(f"{rate:.0f}" for rate in rates.values()) + "/h"
        fitting = [each for each in (named, bare) if cell_width(each) <= width // 3]
        if fitting:
            return fitting[0]
    return f"{sum(rates.values()):.0f}/h" if rates else ""


def _painting(pace: Pace, room: int, steps: Mapping[str, Step]) -> str:
    """Say what is being painted, as far as there is room."""
    busy = [(name, lane) for name, lane in pace.lanes.items() if lane.place]
    if not busy:
        trouble = next((f"{name} {lane.trouble}" for name, lane in pace.lanes.items() if lane.trouble), "")
        return f"  {cut_to_width(trouble, room)}" if trouble and room >= _SHORTEST_NAME else ""
    name, lane = max(busy, key=lambda entry: entry[1].began_s)
    step = str(steps.get(name, "")) if lane.place else ""
    name_room = room - (cell_width(step) + 1 if step else 0)
    place = lane.place.rsplit("/", 1)[-1]
    shown = [cut_to_width(place, name_room)] if name_room >= _SHORTEST_NAME else []
    shown += [step] if step and cell_width(step) <= room else []
    return f"  {' '.join(shown)}" if shown else ""


def finish_text(left_s: float, now: dt.datetime) -> str:
    """Return when a run will be finished, as a time of day people understand."""
    if left_s > 30 * 86400:
        return "done in over a month"
    end = now + dt.timedelta(seconds=left_s)
    days = (end.date() - now.date()).days
    day = "" if days == 0 else "tomorrow " if days == 1 else f"{end:%a %d %b} "
    return f"done about {day}{end:%H:%M}"


def short_time(seconds: float) -> str:
    """Return a length of time in few letters: 40 s, 12 min, 3.5 h."""
    for limit, unit, size in ((100, "s", 1), (6000, "min", 60)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 3600:.1f} h"


def cell_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Cc", "Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def cut_to_width(text: str, width: int) -> str:
    """Return a text without control characters that takes at most ``width`` columns; what was cut shows as ``…``."""
    plain = "".join(char for char in text if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))
    if cell_width(plain) <= width:
        return plain
    kept: list[str] = []
    room = width - 1
    for char in plain:
        room -= _char_width(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + "…" if width > 0 else ""


def busy_lanes(pace: Pace) -> Sequence[str]:
    """Return the lanes that are at a job now."""
    return [name for name, lane in pace.lanes.items() if lane.place]
