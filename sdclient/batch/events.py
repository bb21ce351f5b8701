"""What happens during a run, as values: for progress bars, JSON lines and users' own callbacks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sdclient.batch.survey import Counts

log = logging.getLogger(__name__)

EventName: TypeAlias = Literal[
    "begun", "done", "late", "failed", "released", "set_aside", "asleep", "left", "stuck", "remark"
]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        name: ``begun`` and ``done`` of a job; ``late``: another was first, nothing changed; ``failed`` will be tried
            again; ``released`` does not count; ``set_aside`` is final; ``asleep``: a lane waits for its server;
            ``left``: a lane gave up; ``stuck``: nothing is begun until the folder takes files
            again; ``remark``: something people should know.
        lane: Name of the server or segmenter; empty where none is meant.
        place: Place of the job; empty where none is meant.
        message: A sentence for people; empty where there is nothing to say.
        execute_s: Seconds the lane was held, for ``done``.
        images: How many images were drawn, for ``done``; None where a job draws none.
        counts: Where all jobs stand after it.
        pause_s: Seconds after which a server is asked again that asked for the pause itself, for ``asleep``.
    """

    name: EventName
    counts: Counts
    lane: str = ""
    place: str = ""
    message: str = ""
    execute_s: float | None = None
    images: int | None = None
    pause_s: float | None = None

    def to_json(self) -> dict[str, object]:
        """Return the event as one JSON object, without empty parts."""
        value: dict[str, object] = {"event": self.name, **self.counts.to_json()}
        for name in ("lane", "place", "message", "execute_s", "images", "pause_s"):
            part = getattr(self, name)
            if part not in ("", None):
                value[name] = part
        return value


Listener: TypeAlias = Callable[[Event], None]
"""Called for every event, from several threads but never at the same time."""


class Teller:
    """Passes a worker's events on to its listener, one at a time.

    A listener that fails (a closed pipe, a bug in a callback) is told nothing more; the run goes on.

    Args:
        counts: Tells where all jobs stand.
        listener: Told of everything that happens; None for nobody.
    """

    def __init__(self, counts: Callable[[], Counts], listener: Listener | None = None) -> None:
        self._counts = counts
        self._listener = listener
        self._lock = threading.Lock()

    def tell(
        self,
        name: EventName,
        *,
        lane: str = "",
        place: str = "",
        message: str = "",
        execute_s: float | None = None,
        images: int | None = None,
    ) -> None:
        """Pass an event on."""
        self.pass_on(lambda counts: Event(name, counts, lane, place, message, execute_s, images))

    def pass_on(self, make: Callable[[Counts], Event]) -> None:
        """Pass on what is made of where all jobs stand now."""
        with self._lock:
            if self._listener is None:
                return
            try:
                self._listener(make(self._counts()))
            except Exception as exc:  # noqa: BLE001 - foreign code; whatever it raises, no job may suffer
                log.warning("the listener of this run fails and is told no more: %r", exc)
                self._listener = None
