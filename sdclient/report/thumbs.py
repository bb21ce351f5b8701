"""Thumbnails of a run's images: made once, kept by the image's hash in the run's own folder, shared by all machines."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sdclient.errors import CodecError, StorageError
from sdclient.files import write_durable
from sdclient.images import decode_image, flatten_rgb, upright

log = logging.getLogger(__name__)

THUMBS_FOLDER = "thumbs"
SIDE_PX = 320
"""Longest side of a thumbnail."""
_QUALITY = 78
_MAX_WORKERS = 8


@dataclass(frozen=True, slots=True)
class ThumbSource:
    """An image that wants a thumbnail.

    Attributes:
        path: The image.
        sha256: Of the file as committed.
        place: What to call it in a note.
    """

    path: Path
    sha256: str
    place: str


def thumb_path(state: Path, sha256: str) -> Path:
    """Return where the thumbnail of an image lies, made or not.

    Args:
        state: The run's ``.sdclient`` folder.
        sha256: Hash of the image file.
    """
    return state / THUMBS_FOLDER / sha256[:2] / f"{sha256}.webp"


def make_thumb(data: bytes, *, side_px: int = SIDE_PX, what: str = "image") -> bytes:
    """Return a WebP of an image no larger than ``side_px`` on its longest side; transparency becomes white.

    Raises:
        CodecError: If the data is no whole image.
    """
    image = flatten_rgb(upright(decode_image(data, what=what)))
    image.thumbnail((side_px, side_px), reducing_gap=2.0)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=_QUALITY, method=4)
    return file.getvalue()


def make_thumbs(
    state: Path, sources: Iterable[ThumbSource], *, on_made: Callable[[int, int], None] | None = None
) -> list[str]:
    """Make the thumbnails that are missing, on all cores.

    Args:
        state: The run's ``.sdclient`` folder.
        sources: The images; those that have a thumbnail are not opened.
        on_made: Told how many are made, and how many there are to make.

    Returns:
        A sentence for every image that is damaged, or not the one that was committed.
    """
    missing = _missing(state, sources)
    notes: list[str] = []
    with ThreadPoolExecutor(max_workers=min(_MAX_WORKERS, os.cpu_count() or 1)) as pool:
        for number, note in enumerate(pool.map(partial(_make_one, state), missing), start=1):
            if note:
                notes.append(note)
            if on_made is not None:
                on_made(number, len(missing))
    return notes


def _missing(state: Path, sources: Iterable[ThumbSource]) -> Sequence[ThumbSource]:
    wanted = {source.sha256: source for source in sources if _is_hash(source.sha256)}
    folders: dict[str, set[str]] = {}
    for prefix in {sha256[:2] for sha256 in wanted}:
        # One listing a folder: on a share, asking for every file alone would take seconds.
        folders[prefix] = {path.name for path in (state / THUMBS_FOLDER / prefix).glob("*.webp")}
    return [source for sha256, source in wanted.items() if f"{sha256}.webp" not in folders[sha256[:2]]]


def _is_hash(text: str) -> bool:
    return len(text) == 64 and all(char in "0123456789abcdef" for char in text)  # noqa: PLR2004 - SHA-256 in hexadecimal


def _make_one(state: Path, source: ThumbSource) -> str:
    try:
        data = source.path.read_bytes()
        if hashlib.sha256(data).hexdigest() != source.sha256:
            return f"{source.place}: is not the file that was committed; it was changed or replaced by hand"
        target = thumb_path(state, source.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_durable(target, make_thumb(data, what=source.place))
    except CodecError as exc:
        return str(exc)
    except (OSError, StorageError) as exc:
        # A folder that cannot be written still gets its page, with the images themselves.
        log.info("no thumbnail of %s: %s", source.place, exc)
    return ""
