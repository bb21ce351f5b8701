"""Watches folders in the background while a run works, and plans the images that appear in them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from sdclient.batch.survey import Counts
from sdclient.errors import PlanError, SDClientError
from sdclient.planning import FoundImages, Planned, Source

log = logging.getLogger(__name__)

_TICK_S = 0.1
_LISTING_SHARE = 10
"""Listing a huge folder on a slow share takes at most this part of the time."""
_LONGEST_PAUSE_S = 60.0


class Engine(Protocol):
    """What the watch knows of the work."""

    @property
    def is_alive(self) -> bool:
        """True while it works."""
        ...

    def counts(self) -> Counts:
        """Count the jobs by where they stand."""
        ...

    def look_again(self) -> None:
        """Have the plan read again at once."""
        ...

    def tell(self, text: str) -> None:
        """Tell people something."""
        ...


class FolderWatch:
    """Looks at folders until the work ends, or nothing has come for a while.

    Args:
        sources: The folders.
        plan: Plans images of a folder and writes the plan.
        kinds: The kinds of jobs that may come of them, what follows them included.
    """

    def __init__(
        self, sources: Sequence[Source], plan: Callable[[Source, FoundImages], Planned], kinds: frozenset[str]
    ) -> None:
        self._sources = sources
        self._plan = plan
        self._kinds = kinds
        self._is_open = True
        self._trouble: dict[Path, str] = {}
        self._thread: threading.Thread | None = None
        limits = [one.watch.idle_exit_s for one in sources]
        self._idle_exit_s = None if None in limits else max((one for one in limits if one is not None), default=0.0)
        self._interval_s = min(one.watch.interval_s for one in sources)

    def expected(self) -> frozenset[str]:
        """Return the kinds of jobs that may still come."""
        return self._kinds if self._is_open else frozenset()

    def start(self, engine: Engine) -> None:
        """Watch in the background while the engine works."""
        self._thread = threading.Thread(target=self._run, args=(engine,), name="sdclient-watch", daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self, engine: Engine) -> None:
        try:
            self._look_on(engine)
        except Exception as exc:
            log.debug("watching ends", exc_info=exc)
            engine.tell(f"folders are watched no more: {exc}; what is planned is done, then the same command goes on")
        finally:
            # Whatever happens here, the work must be able to end.
            self._is_open = False

    def _look_on(self, engine: Engine) -> None:
        busy_s = next_s = time.monotonic()
        while engine.is_alive:
            now_s = time.monotonic()
            is_late = self._idle_exit_s is not None and now_s - busy_s >= self._idle_exit_s
            # One look more before the end: an image may have come since the last.
            if now_s >= next_s or is_late:
                if self._look(engine):
                    engine.look_again()
                    busy_s = time.monotonic()
                elif is_late and not self._is_busy(engine):
                    return
                took_s = time.monotonic() - now_s
                next_s = time.monotonic() + min(_LONGEST_PAUSE_S, max(self._interval_s, _LISTING_SHARE * took_s))
            if self._is_busy(engine):
                busy_s = time.monotonic()
            time.sleep(_TICK_S)

    def _is_busy(self, engine: Engine) -> bool:
        return engine.counts().left > 0 or any(source.arrivals.is_waiting for source in self._sources)

    def _look(self, engine: Engine) -> bool:
        """Look once at every folder; True where jobs have come."""
        return sum(self._look_at(source, engine) for source in self._sources) > 0

    def _look_at(self, source: Source, engine: Engine) -> int:
        text, jobs = "", 0
        try:
            found = source.arrivals.look()
            if engine.is_alive and (found.paths or found.skipped):
                jobs = self._take_in(source, found, engine)
        except (OSError, SDClientError) as exc:
            text = f"{source.folder}: nothing can be taken in for now ({exc})"
        # Said once, however long it lasts.
        if text and text != self._trouble.get(source.folder):
            engine.tell(text)
        self._trouble[source.folder] = text
        return jobs

    def _take_in(self, source: Source, found: FoundImages, engine: Engine) -> int:
        try:
            planned = self._plan(source, found)
        except PlanError as exc:
            if len(found.paths) > 1:
                # One of them is in the way; the others are not to blame.
                parts = [FoundImages((path,)) for path in found.paths]
                return sum(self._take_in(source, part, engine) for part in (FoundImages((), found.skipped), *parts))
            engine.tell(f"left out: {exc}")
            planned = Planned(0)
        source.arrivals.accept(found.paths)
        for text in planned.remarks:
            engine.tell(text)
        return planned.jobs
