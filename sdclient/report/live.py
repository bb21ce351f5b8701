"""The page of a run as it is now, kept until the run folder changes; read-only."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sdclient.batch.folder import RunFolder
from sdclient.errors import CodecError, RunFolderError
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
_MAX_THUMBS = 4000


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read last.

    Attributes:
        version: Of the folder then.
        page: The page.
        places: Places of images and cut-outs that may be given out.
        cards: By key.
    """

    version: str = ""
    page: bytes = b""
    places: frozenset[str] = frozenset()
    cards: dict[str, ImageCard] = field(default_factory=dict[str, ImageCard])


class LiveRun:
    """A run folder as a page that is always up to date. Callable from many threads.

    Args:
        folder: The run.
        fresh_s: Seconds between two looks at the folder.
        clock: A clock that never goes back, in seconds.
    """

    def __init__(
        self, folder: RunFolder, *, fresh_s: float = FRESH_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._fresh_s = fresh_s
        self._clock = clock
        self._lock = threading.Lock()
        self._known = _Known()
        self._looked_at: float | None = None
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
        except RunFolderError:
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
            version = folder_version(self._folder)
            if version != self._known.version:
                self._known = self._read(version)
            # After the reading, which may take longer than the pause between two looks.
            self._looked_at = self._clock()
            return self._known

    def _read(self, version: str) -> _Known:
        content = read_run(self._folder)
        report = make_report(content)
        links = PageLinks(
            thumb=lambda card: "" if card.state == "gone" else f"./thumb/{card.key}",
            before=lambda card: f"./before/{card.key}",
            alone=lambda card: "" if card.replayable else f"./before/{card.key}",
        )
        page = render_page(page_parts(content, report, version=version), links)
        places = {card.place for card in report.images if card.replayable}
        places |= {cutout.place for card in report.images for cutout in card.cutouts}
        cards = {card.key: card for card in report.images}
        return _Known(version, page.encode("utf-8", "replace"), frozenset(places), cards)


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
