"""Lists of prompts, and tables of images with their prompts: text, CSV or JSON lines."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from sdclient.batch.log import IMAGE_COLUMNS
from sdclient.errors import ConfigurationError
from sdclient.files import read_rows, safe_name
from sdclient.planning import PromptRow, is_request_field
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.schemas.csvtext import delimiter_of

_ALIASES = {"negative": "negative_prompt"}
_NOT_IN_A_LIST = frozenset({"overlays", "native", "init_image", "mask"})
_TEXT_FIELDS = frozenset({"prompt", "negative_prompt", "model", "vae", "sampler_name", "scheduler"})
_IMAGE_NAMES = ("image", "filename", "file", "path", "name")
"""Columns that may name the image of a row, the first there is."""
_ALIKE = 0.8


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One row of a table of images.

    Attributes:
        image: As the table names it.
        line: Its line in the file, from 1.
        row: What it says.
    """

    image: str
    line: int
    row: PromptRow


def read_prompts(path: Path, *, needs_prompt: bool = True) -> list[PromptRow]:
    """Read a list of prompts.

    Columns named like request fields change the request, dotted ones (``controls[0].weight``) a part of it, ``name``
    names the images, everything else is carried along to ``images.csv``.

    Args:
        path: ``.txt`` with one prompt a line, ``.csv`` with a header, or ``.jsonl`` with one object a line.
        needs_prompt: Whether a table must have a column ``prompt``; a template may do without.

    Raises:
        ConfigurationError: If the file cannot be read, holds no prompt, or a value does not fit its field.
    """
    if path.suffix.lower() == ".txt":
        rows = [PromptRow({"prompt": line.strip()}) for line in _text(path).split("\n") if line.strip()]
    else:
        needed = ("prompt",) if needs_prompt else ()
        rows = [_row(values, f"{path}, line {line}", Txt2Img) for line, values in _table(path, needed)]
    if not rows:
        raise ConfigurationError(f"{path}: holds no prompts")
    return rows


def read_image_table(path: Path) -> list[ImageRow]:
    """Read a table of images with what each one's request shall say; a run's ``images.csv`` is one.

    Args:
        path: ``.csv`` with a header, or ``.jsonl`` with one object a line. A column ``image`` (or ``filename``,
            ``file``, ``path``, ``name``) names the image; the others are as in `read_prompts`.

    Raises:
        ConfigurationError: If the file cannot be read, holds nothing, or a value does not fit its field.
    """
    rows: list[ImageRow] = []
    for line, values in _table(path, ()):
        where = f"{path}, line {line}"
        column = next((name for wanted in _IMAGE_NAMES for name in values if name.casefold() == wanted), None)
        if column is None:
            raise ConfigurationError(
                f"{where}: has no column that names the image; call it image (there are {_listed(values)})"
            )
        rest = {name: value for name, value in values.items() if name != column}
        rows.append(ImageRow(str(values[column]).strip(), line, _row(rest, where, Img2Img)))
    if not rows:
        raise ConfigurationError(f"{path}: holds no rows")
    return rows


def likely_slips(rows: Iterable[PromptRow], cls: type[Txt2Img | Img2Img]) -> list[str]:
    """Return a sentence for every column of the user's that is nearly called like a field."""
    columns = dict.fromkeys(column for row in rows for column in row.columns)
    fields = [*cls.model_fields, *_ALIASES]
    close = {name: difflib.get_close_matches(name, fields, n=1, cutoff=_ALIKE) for name in columns}
    return [
        f"the column {name} is only carried along; if it is meant as {found[0]}, rename it"
        for name, found in close.items()
        if found
    ]


def _table(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, Mapping[str, object]]]:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _csv_rows(_text(path), path, needed)
    if suffix in (".jsonl", ".ndjson"):
        return _json_rows(_text(path), path)
    raise ConfigurationError(f"{path}: not a list of prompts; give a .txt, .csv or .jsonl file")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc}); give a text file in UTF-8") from exc


def _csv_rows(text: str, path: Path, needed: Sequence[str]) -> Iterator[tuple[int, Mapping[str, object]]]:
    rows = _cells(text, path)
    _, names = next(rows, (1, list[str]()))
    missing = next((name for name in needed if name not in names), None)
    if missing is not None:
        raise ConfigurationError(f"{path}: has no column named {missing}; its columns are {_listed(names)}")
    if set(IMAGE_COLUMNS) <= set(names):
        yield from _own_rows(path)
        return
    for line, cells in rows:
        # Spreadsheets leave rows without any text behind, and columns without a name.
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names) or any(cell for name, cell in zip(names, cells, strict=True) if not name):
            raise ConfigurationError(f"{path}, line {line}: {_uneven(names, cells, delimiter_of(text))}")
        yield line, {name: cell for name, cell in zip(names, cells, strict=True) if name}


def _uneven(names: Sequence[str], cells: Sequence[str], delimiter: str) -> str:
    """Say what is wrong with a row that does not fit its header, and what people forget who write one by hand."""
    named = sum(map(bool, names))
    said = f"has another number of cells than the header ({len(cells)}, not {named})"
    if any(cells[named:]):
        mark = "semicolon" if delimiter == ";" else "comma"
        return f'{said}; put "quotes" around a prompt with a {mark}'
    return said


def _cells(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give the cells of every row, and the number of its last line."""
    # Not splitlines(): it would also split at U+2028 and its like.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text))
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as exc:
        raise ConfigurationError(
            f"{path}, line {reader.line_num}: no CSV ({exc}); save the table as CSV, or, for very long prompts, as .jsonl"
        ) from exc


def _own_rows(path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Read the ``images.csv`` of a run: what it says of how an image was made is no wish for the next one."""
    kept = {"image", "prompt", "negative_prompt", "seed"}
    rows, _ = read_rows(path)
    for line, row in enumerate(rows, start=2):
        yield line, {name: text for name, text in row.items() if name in kept or name not in IMAGE_COLUMNS}


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(columns)[:200]


def _json_rows(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise ConfigurationError(f"{path}, line {number}: no JSON ({exc})") from exc
        if not isinstance(values, dict):
            raise ConfigurationError(f'{path}, line {number}: an object is expected, such as {{"prompt": "a fox"}}')
        yield number, values


def _row(values: Mapping[str, object], where: str, cls: type[Txt2Img | Img2Img]) -> PromptRow:
    changes: dict[str, JsonValue] = {}
    columns: dict[str, str] = {}
    sets: list[str] = []
    name = ""
    for column, value in values.items():
        field = _ALIASES.get(column, column)
        is_field = is_request_field(cls, field)
        if field == "name" and cls is Txt2Img:
            name = _name(str(value))
        elif not is_field or field in _NOT_IN_A_LIST:
            columns[column] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        elif value in ("", None):
            continue
        elif field in cls.model_fields:
            changes[field] = _value(field, value)
        else:
            sets.append(f"{field}={value if isinstance(value, str) else json.dumps(value)}")
    # Told now, with its line, rather than when the job's turn comes at night.
    cls.from_mapping(changes, where=where)
    return PromptRow(changes, columns, name, tuple(sets))


def _value(field: str, value: object) -> JsonValue:
    """Return a cell as its field wants it: CSV knows only text."""
    if not isinstance(value, str) or field in _TEXT_FIELDS:
        return cast("JsonValue", value)
    try:
        return cast("JsonValue", json.loads(value))
    except (ValueError, RecursionError):
        return value


def _name(text: str) -> str:
    """Return a name that may hold folders, each part made safe."""
    parts: Iterable[str] = (part for part in text.replace("\\", "/").split("/") if part not in ("", ".", ".."))
    return "/".join(safe_name(part) for part in parts)
