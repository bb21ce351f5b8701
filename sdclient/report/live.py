"""The page of a run as it is now, kept until the run folder changes; read-only."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sdclient.batch.folder import RunFolder
from sdclient.errors import CodecError, RunError
from sdclient.files import resolve_inside
from sdclient.report.collect import make_report, read_run
from sdclient.report.model import ImageCard
from sdclient.report.page import PageLinks, render_page
from sdclient.report.thumbs import make_thumb
from sdclient.report.write import card_path, page_parts

MIME = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
FRESH_S = 2.0
"""The folder is looked at again after this many seconds at the earliest."""
AGAIN_S = 60.0
"""Until all is done the run is read anew this often: that nothing happens says something, too."""
_MAX_THUMBS = 4000


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read last.

    Attributes:
        folder: Hash of what the folder held then.
        version: Of the page.
        read_s: When that was, by the caller's clock.
        is_over: Nothing was left to be done.
        page: The page.
        places: Places of images and cut-outs that may be given out.
        cards: By key.
    """

    folder: str = ""
    version: str = ""
    read_s: float = 0.0
    is_over: bool = False
    page: bytes = b""
    places: frozenset[str] = frozenset()
    cards: dict[str, ImageCard] = field(default_factory=dict[str, ImageCard])


class LiveRun:
    """A run folder as a page that is always up to date. Callable from many threads.

    Args:
        folder: The run.
        fresh_s: Seconds between two looks at the folder.
        clock: A clock that never goes back, in seconds.
        now: Tells the time of day in UTC.
    """

    def __init__(
        self,
        folder: RunFolder,
        *,
        fresh_s: float = FRESH_S,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.timezone.utc),
    ) -> None:
        self._folder = folder
        self._now = now
        self._fresh_s = fresh_s
        self._clock = clock
        self._lock = threading.Lock()
        self._known = _Known()
        self._looked_at: float | None = None
        self._reads = 0
        self._thumbs: OrderedDict[str, bytes] = OrderedDict()

    def page(self) -> bytes:
        """Return the page as it is now.

        Raises:
            RunFolderError: If the plan is damaged.
        """
        return self._look().page

    def version(self) -> str:
        """Return what changes whenever the page does."""
        return self._look().version

    def image(self, place: str) -> Path | None:
        """Return an image or cut-out of this run by its place; None for everything else."""
        if place not in self._look().places:
            return None
        try:
            path = resolve_inside(self._folder.out, place)
        except RunError:
            return None
        return path if path.is_file() else None

    def before(self, key: str) -> Path | None:
        """Return what a card's image was drawn over; None where there is nothing to show."""
        card = self._look().cards.get(key)
        if card is None or card.before is None or not card.before.is_there:
            return None
        path = self._folder.out / card.before.path
        return path if path.suffix.lower() in MIME and path.is_file() else None

    def thumb(self, key: str) -> bytes | None:
        """Return a card's thumbnail, made now if need be; nothing is written."""
        card = self._look().cards.get(key)
        path = card_path(self._folder.out, card) if card is not None else None
        if card is None or path is None:
            return None
        name = f"{key}-{card.sha256}-{card.state}"
        with self._lock:
            if name in self._thumbs:
                return self._thumbs[name]
        try:
            data = make_thumb(path.read_bytes(), what=card.place)
        except (OSError, CodecError):
            return None
        with self._lock:
            self._thumbs[name] = data
            while len(self._thumbs) > _MAX_THUMBS:
                self._thumbs.popitem(last=False)
        return data

    def _look(self) -> _Known:
        with self._lock:
            now = self._clock()
            if self._looked_at is not None and now - self._looked_at < self._fresh_s:
                return self._known
            found = folder_version(self._folder)
            is_old = not self._known.is_over and now - self._known.read_s >= AGAIN_S
            if found != self._known.folder or is_old:
                self._reads += 1
                self._known = self._read(found)
            # After the reading, which may take longer than the pause between two looks.
            self._looked_at = self._clock()
            return self._known

    def _read(self, found: str) -> _Known:
        content = read_run(self._folder)
        report = make_report(content)
        version = f"{found}.{self._reads}"
        links = PageLinks(
            thumb=lambda card: "" if card.state == "gone" else f"./thumb/{card.key}",
            before=lambda card: f"./before/{card.key}",
            alone=lambda card: "" if card.replayable else f"./before/{card.key}",
        )
        page = render_page(page_parts(content, report, version=version, now=self._now()), links)
        places = {card.place for card in report.images if card.replayable}
        places |= {cutout.place for card in report.images for cutout in card.cutouts}
        cards = {card.key: card for card in report.images}
        is_over = not report.counts.left
        data = page.encode("utf-8", "replace")
        return _Known(found, version, self._clock(), is_over, data, frozenset(places), cards)


def folder_version(folder: RunFolder) -> str:
    """Return a hash of what a run folder holds, from names and lengths alone."""
    digest = hashlib.sha256()
    for name in sorted(folder.read_done()):
        digest.update(name.encode())
    # Names are enough where files never change; a log grows. An empty folder may be missing: some copies leave it out.
    for part in ("plan", "claims", "beats"):
        digest.update(
            "\n".join(sorted(path.name for path in (folder.state / part).glob("*"))).encode("utf-8", "replace")
        )
    for path in sorted((folder.state / "log").glob("*.csv")):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode("utf-8", "replace"))
    return digest.hexdigest()[:16]
