"""How the command line speaks: data on stdout, talk on stderr, a line that moves where a person looks on."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TextIO

import click

from sdclient.batch.events import Event
from sdclient.batch.survey import Counts
from sdclient.errors import MissingRouteError, SDClientError
from sdclient.progress import Pace, Step, busy_lanes, cell_width, progress_line

if TYPE_CHECKING:
    from sdclient.batch.lane import Lane
    from sdclient.client import Client

LOG_EVERY_S = 60.0
"""A log file gets a line this often."""
STEPS_EVERY_S = 2.0
"""How often a server is asked how far it is."""
STEPS_AGAIN_S = 60.0
"""How long a server that did not answer that is left alone with it."""
_SMALL_UNITS = 90


def say(text: str = "") -> None:
    """Tell a person something."""
    click.echo(text, err=True)


def emit(value: Mapping[str, object]) -> None:
    """Write one JSON object on a line of stdout."""
    click.echo(json.dumps(value, ensure_ascii=False))


def remark(text: str, *, as_json: bool) -> None:
    """Tell what people should know of a run: an event like those of its work where it is told to a program."""
    if as_json:
        emit({"event": "remark", "message": text})
    else:
        say(f"note: {text}")


def is_watched() -> bool:
    """Tell whether a person watches stderr."""
    return sys.stderr.isatty()


def table(rows: Sequence[Sequence[str]], *, indent: str = "  ") -> str:
    """Return rows as columns, aligned as a terminal shows them; the last one is left ragged."""
    if not rows:
        return ""
    widths = [max(cell_width(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]

    def line(row: Sequence[str]) -> str:
        filled = (cell + " " * (width - cell_width(cell)) for cell, width in zip(row, widths, strict=False))
        return indent + "  ".join([*filled, row[-1]]).rstrip()

    return "\n".join(map(line, rows))


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    if seconds < _SMALL_UNITS:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < _SMALL_UNITS:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h"


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 job``, ``2 jobs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def byte_size(size: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.5:  # noqa: PLR2004 - what is more is rounded to 1 of the next unit
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


@dataclass(frozen=True, slots=True)
class Screen:
    """Where progress is shown, and by which clocks.

    Attributes:
        stream: What is written to.
        is_watched: True where a line may be drawn over: a terminal, a notebook.
        width: Tells how many columns there are now.
        clock_s: A clock that never goes back, in seconds.
        now: The time of day.
        repaint_s: Seconds between two paintings without an event; 0 paints at events only.
    """

    stream: TextIO
    is_watched: bool
    width: Callable[[], int] = lambda: shutil.get_terminal_size((80, 24)).columns - 1
    clock_s: Callable[[], float] = time.monotonic
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now().astimezone()
    repaint_s: float = 0.5


def own_screen() -> Screen:
    """Return stderr as a screen. In a notebook it is no terminal, and yet lines may be drawn over."""
    return Screen(sys.stderr, is_watched() or "ipykernel" in sys.modules)


class Progress:
    """Shows a run's events: one line for a person, JSON lines for a program, a line a minute for a log file.

    Args:
        total: Jobs in the plan.
        done: Jobs done before.
        as_json: Write every event as a JSON line to stdout.
        expected_s: Seconds that what is left takes by what was measured before; None where nothing was.
        steps: For lanes that tell how far they are with an image: what asks them. Called on a thread of its own.
        screen: Where to show it; None takes stderr.
        steps_every_s: Seconds between two questions for steps.
        steps_again_s: Seconds in which a server that did not answer is not asked.
    """

    def __init__(
        self,
        total: int,
        done: int,
        *,
        as_json: bool,
        expected_s: float | None = None,
        steps: Mapping[str, Callable[[], Step | None]] | None = None,
        screen: Screen | None = None,
        steps_every_s: float = STEPS_EVERY_S,
        steps_again_s: float = STEPS_AGAIN_S,
    ) -> None:
        self._as_json = as_json
        self._screen = screen or own_screen()
        self._lock = threading.RLock()
        before = Counts(jobs=total, done=done, waiting=total - done)
        self._pace = Pace(before, self._screen.clock_s(), expected_s)
        self._steps: dict[str, Step] = {}
        self._asked = dict(steps or {})
        self._ask_again_s: dict[str, float] = {}
        self._steps_every_s = steps_every_s
        self._steps_again_s = steps_again_s
        self._painted = 0
        self._written_s = self._screen.clock_s()
        self._was_stalled = False
        self._over = threading.Event()
        if self._screen.repaint_s:
            threading.Thread(target=self._repaint, name="sdclient-progress", daemon=True).start()
            threading.Thread(target=self._ask_steps, name="sdclient-steps", daemon=True).start()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        with self._lock:
            self._pace.see(event, self._screen.clock_s())
            if event.name == "begun":
                self._steps.pop(event.lane, None)
            if self._as_json:
                emit(event.to_json())
            elif event.message and event.name in _WORDS:
                self._tell(_sentence(event))
            self.tick()

    def busy_left_s(self, usual_s: Mapping[str, float]) -> dict[str, float | None]:
        """Return, for each lane at work, the seconds until its job has left it; None where that is not known.

        Args:
            usual_s: Seconds a job of each kind usually takes, for lanes that have done none yet.
        """
        with self._lock:
            return self._pace.busy_left_s(self._screen.clock_s(), self._steps, max(usual_s.values(), default=None))

    def tick(self) -> None:
        """Show how it goes now."""
        with self._lock:
            now_s = self._screen.clock_s()
            is_stalled = self._pace.is_stalled(now_s)
            is_new = is_stalled and not self._was_stalled
            self._was_stalled = is_stalled
            if self._as_json:
                if is_new:
                    quiet_s = round(self._pace.quiet_s(now_s))
                    emit({"event": "stalled", **self._pace.counts.to_json(), "quiet_s": quiet_s})
            elif self._screen.is_watched:
                self._paint(now_s)
            elif is_new or now_s - self._written_s >= LOG_EVERY_S:
                self._written_s = now_s
                self._write(self._line(now_s, 1000) + "\n")

    def close(self) -> None:
        """End the line."""
        self._over.set()
        with self._lock:
            if self._painted:
                self._write("\n")
                self._painted = 0

    def note_step(self, lane: str, step: Step | None) -> None:
        """Take note of how far a server is; None: it does not tell."""
        with self._lock:
            if step is None:
                self._steps.pop(lane, None)
            else:
                self._steps[lane] = step

    def _line(self, now_s: float, width: int) -> str:
        return progress_line(self._pace, now_s, self._screen.now(), width, steps=self._steps)

    def _paint(self, now_s: float) -> None:
        if self._over.is_set():
            return
        line = self._line(now_s, max(20, self._screen.width()))
        shown = cell_width(line)
        self._write("\r" + line + " " * max(0, self._painted - shown))
        self._painted = shown

    def _tell(self, text: str) -> None:
        if self._painted:
            self._write("\r" + " " * self._painted + "\r")
            self._painted = 0
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        self._screen.stream.write(text)
        self._screen.stream.flush()

    def _repaint(self) -> None:
        while not self._over.wait(self._screen.repaint_s):
            self.tick()

    def _ask_steps(self) -> None:
        while self._asked and not self._over.wait(self._steps_every_s):
            with self._lock:
                now_s = self._screen.clock_s()
                busy = [lane for lane in busy_lanes(self._pace) if lane in self._asked]
                busy = [lane for lane in busy if self._ask_again_s.get(lane, now_s) <= now_s]
            for lane in busy:
                self._ask_step(lane)

    def _ask_step(self, lane: str) -> None:
        try:
            self.note_step(lane, self._asked[lane]())
        except MissingRouteError:
            del self._asked[lane]
        except SDClientError:
            # It is in trouble, or does not answer while it draws: the line does without for a while.
            self._ask_again_s[lane] = self._screen.clock_s() + self._steps_again_s


def server_steps(lanes: Sequence[Lane]) -> dict[str, Callable[[], Step | None]]:
    """Return, for each lane that is a server, what asks it how far it is with what it draws."""
    from sdclient.steps.generate import ServerLane

    return {lane.name: partial(_ask_step, lane.client) for lane in lanes if isinstance(lane, ServerLane)}


def _ask_step(client: Client) -> Step | None:
    told = client.progress()
    return None if told.is_idle else Step(told.fraction, told.step, told.steps)


_WORDS = {
    "failed": "failed, will be tried again",
    "set_aside": "set aside",
    "asleep": "waiting for the server",
    "left": "left the run",
    "stuck": "waiting for the folder",
    "remark": "note",
}


def _sentence(event: Event) -> str:
    about = event.place or event.lane
    return ": ".join(filter(None, (about, _WORDS[event.name], event.message)))
