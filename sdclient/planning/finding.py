"""Lists the images below a folder, in an order people expect, and says what it leaves out."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sdclient.batch.plan import STATE_FOLDER
from sdclient.batch.views import is_grid
from sdclient.errors import ConfigurationError
from sdclient.files import names_drive
from sdclient.images.facts import format_of

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
OTHER_SUFFIXES = frozenset({".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".tif", ".tiff"})
"""Images too, and not taken: said, so that nobody misses them in the morning."""
Order = Literal["name", "newest", "random"]
ORDERS: tuple[Order, ...] = ("name", "newest", "random")

_SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", ".ds_store", ".localized"})
_SHOWN_NAMES = 3
_SHOWN_CHARS = 40
_START_BYTES = 16
_SMALL_BYTES = 64 * 1024
"""What is longer is taken by its name: texts and error pages are shorter, and opening ten thousand files on a share takes
minutes."""
_NUMBER = re.compile(r"([0-9]+)")
_MADE_BY_A_JOB = re.compile(r"_[0-9]+\.png", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class LeftOut:
    """A file or folder that was not taken in.

    Attributes:
        path: As a POSIX path relative to the folder that was looked through.
        reason: Why, in a few words that fit several.
        is_image: Whether it is, or was meant to be, an image.
    """

    path: str
    reason: str
    is_image: bool = True

    def __str__(self) -> str:
        return f"{shorten(self.path)}: {self.reason}"


@dataclass(frozen=True, slots=True)
class FoundImages:
    """What a folder holds.

    Attributes:
        paths: Images, as POSIX paths relative to the folder, in the order asked for.
        skipped: What was left out.
    """

    paths: tuple[str, ...]
    skipped: tuple[LeftOut, ...] = ()


def find_images(
    folder: Path,
    *,
    out: Path | None = None,
    order: Order = "name",
    seed: int = 0,
    known: Collection[str] = frozenset(),
    planned: Collection[str] | None = None,
) -> FoundImages:
    """List the images below a folder.

    Args:
        folder: Where to look; links are not followed.
        out: An output folder that may lie inside; it is left out.
        order: ``name``: as people count, 2 before 10, a folder's own images before its sub-folders'; ``newest``:
            the last changed first, whatever folder it is in; ``random``: shuffled by ``seed``.
        seed: For ``random``; the same seed shuffles alike on every machine.
        known: Paths, in composed spelling (NFC), that are left out without a word and without being looked at.
        planned: Paths, in composed spelling, that were taken before and are again. Of all others small ones are opened,
            and left out where they hold no image. None takes files by their names alone.

    Raises:
        ConfigurationError: If the folder is none, or there is no such order.
    """
    if order not in ORDERS:
        raise ConfigurationError(f"order={order!r}: give {', '.join(ORDERS[:-1])} or {ORDERS[-1]}")
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: no such folder; name the folder that holds the images")
    found = _Finder(out.resolve() if out else None, known, planned, _is_run(folder))
    found.walk(folder, "")
    return FoundImages(tuple(_ordered(found.paths, order, seed)), tuple(found.skipped))


def _ordered(changed_ns: Mapping[str, int], order: Order, seed: int) -> list[str]:
    if order == "newest":
        return sorted(changed_ns, key=lambda path: -changed_ns[path])
    if order == "random":
        return sorted(changed_ns, key=lambda path: hashlib.sha256(f"{seed}\0{composed(path)}".encode()).digest())
    return list(changed_ns)


def composed(name: str) -> str:
    """Return a name in composed spelling (NFC): macOS lists names decomposed."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Return what names are sorted by as people count: ``img2`` before ``img10``, whatever the case."""
    parts: list[str | int] = list(_NUMBER.split(composed(name).casefold()))
    parts[1::2] = [int(part) for part in parts[1::2]]
    return parts, name


@dataclass(slots=True)
class _Finder:
    """Walks a tree by `os.scandir`, which asks the system half as often as paths would."""

    out: Path | None
    known: Collection[str] = frozenset()
    planned: Collection[str] | None = None
    is_run: bool = False
    paths: dict[str, int] = field(default_factory=dict[str, int])
    skipped: list[LeftOut] = field(default_factory=list[LeftOut])

    def walk(self, folder: Path, prefix: str) -> None:
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: natural_key(entry.name))
        except OSError as exc:
            self.skipped.append(LeftOut(prefix or ".", f"this folder cannot be read ({exc.strerror})"))
            return
        below = [entry.name for entry in listed if self._take(entry, prefix + entry.name)]
        for name in below:
            path = folder / name
            if _is_run(path) and not self._is_out(path):
                self.skipped.append(LeftOut(prefix + name, "the output folder of another run; name it as the input"))
            elif not self._is_out(path):
                self.walk(path, f"{prefix}{name}/")

    def _is_out(self, folder: Path) -> bool:
        return self.out is not None and folder.resolve() == self.out

    def _take(self, entry: os.DirEntry[str], relative: str) -> bool:
        """Note a file where it is an image, else why not; True for a folder to walk."""
        suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - a path costs ten times that
        # Hidden folders hold run states, trash and thumbnails; macOS leaves "._*" companions on shares.
        if entry.name.startswith(".") or entry.name.casefold() in _SYSTEM_NAMES:
            self._leave_hidden(entry, relative)
        elif entry.is_dir(follow_symlinks=False):
            return True
        elif suffix in IMAGE_SUFFIXES:
            if not self.known or composed(relative) not in self.known:
                self._note(entry, relative)
        elif suffix in OTHER_SUFFIXES:
            self.skipped.append(LeftOut(relative, "neither PNG, JPEG nor WebP; convert first"))
        else:
            self.skipped.append(LeftOut(relative, "no image", is_image=False))
        return False

    def _leave_hidden(self, entry: os.DirEntry[str], relative: str) -> None:
        if entry.name == STATE_FOLDER:
            return
        is_systems = entry.name.startswith("._") or entry.name.casefold() in _SYSTEM_NAMES
        reason = "kept by the operating system" if is_systems else "hidden"
        self.skipped.append(LeftOut(relative, reason, is_image=False))

    def _note(self, entry: os.DirEntry[str], relative: str) -> None:
        try:
            facts = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            # Taken away, or renamed, since the folder was listed.
            return
        if not relative.isprintable() and _is_no_text(relative):
            name = ascii(os.fsencode(relative))[2:-1]
            self.skipped.append(LeftOut(name, "its name is no text; rename it"))
        elif "\\" in relative:
            # The other machines of a run may take it, and a drive, for another place.
            self.skipped.append(LeftOut(relative, "a backslash in its path, which parts folders on Windows; rename it"))
        elif names_drive(relative):
            self.skipped.append(LeftOut(relative, "its path begins with a drive (c:) as Windows reads it; rename it"))
        elif not entry.is_file(follow_symlinks=False):
            self.skipped.append(LeftOut(relative, "a link or no plain file"))
        elif facts.st_size == 0:
            self.skipped.append(LeftOut(relative, "empty"))
        elif self.is_run and _may_be_grid(entry.name) and is_grid(Path(entry.path)):
            self.skipped.append(LeftOut(relative, "a grid of the run's images"))
        elif facts.st_size <= _SMALL_BYTES and self._is_doubted(relative) and _is_other(Path(entry.path)):
            self.skipped.append(LeftOut(relative, "no image, though its name says so"))
        else:
            self.paths[relative] = facts.st_mtime_ns

    def _is_doubted(self, relative: str) -> bool:
        return self.planned is not None and composed(relative) not in self.planned


def _is_run(folder: Path) -> bool:
    return (folder / STATE_FOLDER / "run.json").is_file()


def _may_be_grid(name: str) -> bool:
    # What jobs made is told by its name: a hundred thousand files that are opened on a share take minutes.
    return name.lower().endswith(".png") and not _MADE_BY_A_JOB.search(name)


def _is_other(path: Path) -> bool:
    """Tell whether a file begins as no image does; False where it cannot be read, which its job will say."""
    try:
        with path.open("rb") as file:
            return not format_of(file.read(_START_BYTES))
    except OSError:
        return False


def _is_no_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False


def summarise(left_out: Iterable[LeftOut]) -> list[str]:
    """Return one sentence for every reason, with the first names and how many more there are."""
    by_reason: dict[str, list[str]] = {}
    for one in left_out:
        by_reason.setdefault(one.reason, []).append(one.path)
    return [f"{named(paths)}: {reason}" for reason, paths in by_reason.items()]


def named(paths: Collection[str]) -> str:
    """Return the first names of many, shortened, and how many more there are."""
    first = [shorten(path) for path in list(paths)[:_SHOWN_NAMES]]
    more = len(paths) - len(first)
    if more:
        return f"{', '.join(first)} and {more:,} more"
    return " and ".join([", ".join(first[:-1]), first[-1]]) if len(first) > 1 else "".join(first)


def shorten(name: str) -> str:
    """Return a name that fits a line: its end tells more than its beginning, and no control character gets through."""
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)
    return plain if len(plain) <= _SHOWN_CHARS else f"…{plain[1 - _SHOWN_CHARS :]}"
