"""A prompt for each image of a folder: from a text beside it, from what the image says itself, or from a table."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from pydantic import JsonValue

from sdclient.dialects.importing.image import import_image
from sdclient.errors import ConfigurationError, PayloadError
from sdclient.infotext import parse_infotext, read_infotext
from sdclient.planning import PromptRow, composed, named, prompt_row
from sdclient.prompts.lists import ImageRow, likely_slips, read_image_table
from sdclient.schemas import Img2Img

SIDECAR = "sidecar"
METADATA = "metadata"
ImagePrompts: TypeAlias = str | os.PathLike[str] | Mapping[str, str | Mapping[str, JsonValue] | PromptRow] | None
_HEAD_BYTES = 256 * 1024
"""Servers write their words before the pixels: so much is read first, the whole file only where that is not enough."""
_MAX_SIDECAR_BYTES = 1024 * 1024
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class ImageRows:
    """What is known of images' prompts.

    Attributes:
        rows: By the image's path.
        missing: Images of which nothing is known.
        remarks: Sentences for people.
    """

    rows: Mapping[str, PromptRow]
    missing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def image_rows(folder: Path, paths: Sequence[str], source: ImagePrompts, *, needs_one: bool = True) -> ImageRows:
    """Find the prompts of images.

    Args:
        folder: Where the images are.
        paths: The images, as POSIX paths relative to it.
        source: ``sidecar``: a text file of the same name beside each image (``fox.txt`` or ``fox.png.txt``), which
            may be a ``parameters`` text; ``metadata``: prompt, negative prompt and seed that the image itself tells;
            else a table (CSV or JSON lines) with a row for each image, or a mapping by the image's path; None knows
            nothing.
        needs_one: Whether a table must have a row for one of them at least.

    Raises:
        ConfigurationError: If a file cannot be read, the table names no image of the folder, or one twice.
    """
    if source is None:
        return ImageRows({})
    if isinstance(source, Mapping):
        listed = [ImageRow(name, number, prompt_row(row)) for number, (name, row) in enumerate(source.items(), 1)]
        return _from_table("prompts", listed, paths, needs_one=needs_one)
    if source == SIDECAR:
        return _each(folder, paths, _beside, "have no text file beside them")
    if source == METADATA:
        return _each(folder, paths, _inside, "say nothing of a prompt themselves")
    table = Path(source)
    if not os.path.isfile(table):  # noqa: PTH113 - never raises
        close = difflib.get_close_matches(str(source), (SIDECAR, METADATA), n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ConfigurationError(
            f"--prompts {str(source)[:_SHOWN_CHARS]}: no such file{hint}; write sidecar, metadata, or name a CSV or JSONL file"
        )
    return _from_table(str(table), read_image_table(table), paths, needs_one=needs_one)


def _each(folder: Path, paths: Iterable[str], look: Callable[[Path], PromptRow | None], nothing: str) -> ImageRows:
    found = {path: look(folder / path) for path in paths}
    rows = {path: row for path, row in found.items() if row is not None}
    missing = tuple(path for path, row in found.items() if row is None)
    return ImageRows(rows, missing, _said(missing, len(found), nothing))


def _said(missing: Sequence[str], of: int, nothing: str) -> tuple[str, ...]:
    if not missing:
        return ()
    return (f"{len(missing):,} of {of:,} images {nothing} ({named(missing)}): they take what all have in common",)


def has_text(image: Path) -> bool:
    """Tell whether a text lies beside an image."""
    return any(path.is_file() for path in _texts(image))


def _texts(image: Path) -> tuple[Path, ...]:
    """Return where an image's text may be. Of a name that came from macOS, image and text may be spelled unlike."""
    names = [image.with_suffix(".txt").name, f"{image.name}.txt"]
    if not image.name.isascii():
        names += [unicodedata.normalize(form, name) for form in ("NFC", "NFD") for name in names]
    return tuple(image.with_name(name) for name in dict.fromkeys(names))


def _beside(image: Path) -> PromptRow | None:
    for path in _texts(image):
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_SIDECAR_BYTES + 1)
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise ConfigurationError(f"{path}: cannot be read ({exc.strerror or exc})") from exc
        return _sidecar_row(path, data)
    return None


def _sidecar_row(path: Path, data: bytes) -> PromptRow | None:
    if len(data) > _MAX_SIDECAR_BYTES:
        raise ConfigurationError(f"{path}: is too long for a prompt; more than {_MAX_SIDECAR_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{path}: is no text in UTF-8 ({exc.reason}); save it anew") from exc
    info = parse_infotext(text)
    fields: dict[str, object] = {"prompt": info.prompt, "negative_prompt": info.negative_prompt}
    return _row_of(fields | {"seed": info.get_int("Seed")}, str(path))


def _inside(image: Path) -> PromptRow | None:
    try:
        with image.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            row = _told(head, image)
            return row if row is not None or len(head) < _HEAD_BYTES else _told(head + file.read(), image)
    except OSError as exc:
        raise ConfigurationError(f"{image}: cannot be read ({exc.strerror or exc})") from exc


def _told(data: bytes, image: Path) -> PromptRow | None:
    try:
        request = import_image(data, what=str(image)).request
    except PayloadError:
        # No words, or settings that no request takes: the words are worth having all the same.
        info = parse_infotext(read_infotext(data) or "")
        return _row_of({"prompt": info.prompt, "negative_prompt": info.negative_prompt}, str(image))
    fields = {"prompt": request.prompt, "negative_prompt": request.negative_prompt, "seed": request.seed}
    return _row_of(fields, str(image))


def _row_of(fields: Mapping[str, object], where: str) -> PromptRow | None:
    """Return what was said as a row; None where it was nothing, or no seed that a server takes."""
    said = {name: value for name, value in fields.items() if value not in ("", None, -1)}
    try:
        Img2Img.from_mapping(said, where=where)
    except PayloadError:
        said.pop("seed", None)
    changes = {name: value for name, value in said.items() if isinstance(value, str | int)}
    return PromptRow(changes) if changes else None


def _from_table(table: str, listed: Sequence[ImageRow], paths: Sequence[str], *, needs_one: bool) -> ImageRows:
    find = _Names(paths)
    rows: dict[str, PromptRow] = {}
    lines: dict[str, int] = {}
    unknown: list[str] = []
    for one in listed:
        path = find(one.image, f"{table}, line {one.line}")
        if path is None:
            unknown.append(one.image)
        elif path in rows:
            raise ConfigurationError(
                f"{table}: {path} has two rows, lines {lines[path]} and {one.line}; keep one, or vary with --vary"
            )
        else:
            rows[path], lines[path] = one.row, one.line
    if not rows and needs_one:
        raise ConfigurationError(
            f"{table}: names none of the images: it has {named(unknown)}, the folder has {named(paths)}"
        )
    missing = tuple(path for path in paths if path not in rows)
    remarks = [*_said(missing, len(paths), f"have no row in {table}"), *likely_slips(rows.values(), Img2Img)]
    if unknown and needs_one:
        remarks.append(f"{table} has {len(unknown):,} rows for images that are not there ({named(unknown)})")
    return ImageRows(rows, missing, tuple(remarks))


class _Names:
    """Finds images by the names that tables have for them: a path, its end, or a base name that only one has."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._exact = {composed(path): path for path in paths}
        self._ends: dict[str, list[str]] = {}
        for path in self._exact:
            self._ends.setdefault(path.rpartition("/")[2], []).append(path)

    def __call__(self, name: str, where: str) -> str | None:
        plain = composed(name.replace("\\", "/"))
        if plain in self._exact:
            return self._exact[plain]
        same = self._ends.get(PurePosixPath(plain).name, [])
        ends = [path for path in same if path.endswith(f"/{plain}")]
        if len(ends) > 1:
            raise ConfigurationError(f"{where}: {name[:80]} could be {named(ends)}; write it with its folder")
        # A path from another machine: the longest end of it that is one here.
        inside = [path for path in same if plain.endswith(f"/{path}")]
        found = max(ends or inside, key=len, default=None)
        return None if found is None else self._exact[found]
