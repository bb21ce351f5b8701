"""Ctrl-C and SIGTERM while a run works: what they do, and what a person is told of how long it takes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from sdclient.batch.lane import Lane
from sdclient.batch.pipeline import Stop
from sdclient.cli.app import EXIT_INTERRUPTED
from sdclient.cli.talk import duration, say
from sdclient.client.progress import why_not_stopped
from sdclient.steps.generate import ServerLane

_PATIENCE = 2
"""Signals that are answered; the one after them leaves at once."""

LeftS = Callable[[], Mapping[str, float | None]]
"""Tells, for each lane at work, the seconds until its job has left it; None where that is not known."""


@contextmanager
def signals(
    stop: Callable[[Stop], None],
    first: Callable[[], str],
    second: Callable[[], str],
    before_talk: Callable[[], None],
) -> Generator[list[int], None, None]:
    """First Ctrl-C: finish what runs. Second, or SIGTERM: end it. Third: leave at once.

    Args:
        stop: Stops the run.
        first: Says what the first one does.
        second: Says what the second one does.
        before_talk: Called before anything is said.
    """
    caught: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        if len(caught) > _PATIENCE:
            os._exit(EXIT_INTERRUPTED)
        hard = number != signal.SIGINT or len(caught) > 1
        before_talk()
        say(f"\n{second()}; once more leaves at once" if hard else f"\n{first()}")
        # Not in the handler itself: stopping takes locks that the interrupted code may hold.
        threading.Thread(target=stop, args=(Stop.INTERRUPT if hard else Stop.FINISH,), daemon=True).start()

    numbers = [signal.SIGINT, signal.SIGTERM]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def finishing(left_s: LeftS) -> str:
    """Say that what runs is finished first, and how long that takes."""
    busy = left_s()
    if not busy:
        return "stopping: nothing is being drawn; Ctrl-C again ends what is left to write, a third time leaves at once"
    known = [seconds for seconds in busy.values() if seconds is not None]
    if len(known) < len(busy):
        how_long = "how long is not known before the first images"
    elif max(known) < 1:
        how_long = "a moment"
    else:
        how_long = f"about {duration(max(known))}, as far as can be told"
    what, them = ("1 job is", "it") if len(busy) == 1 else (f"{len(busy)} jobs are", "them")
    return f"stopping: {what} finished first, {how_long}; Ctrl-C again ends {them}, a third time leaves at once"


def ending(lanes: Sequence[Lane], left_s: LeftS) -> str:
    """Say that what runs is ended, which servers cannot be interrupted, and how long those still paint."""
    busy = left_s()
    deaf = [
        f"{lane.name} ({lane.client.title}) {why}: it paints its image to the end for nobody"
        + _for_how_long(busy[lane.name])
        for lane in lanes
        if isinstance(lane, ServerLane) and lane.name in busy and (why := why_not_stopped(lane.client.connection))
    ]
    return "; ".join(["ending what runs", *deaf])


def _for_how_long(seconds: float | None) -> str:
    if seconds is None:
        return ", for how long is not known"
    return f", for about {duration(seconds)} more" if seconds >= 1 else ", for a moment"
