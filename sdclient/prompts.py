"""Lists of prompts as people keep them: text, CSV or JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from sdclient.errors import ConfigurationError
from sdclient.files import safe_name
from sdclient.planning import PromptRow
from sdclient.schemas import Txt2Img

_ALIASES = {"negative": "negative_prompt"}
_NOT_IN_A_LIST = frozenset({"overlays", "native"})


def read_prompts(path: Path) -> list[PromptRow]:
    """Read a list of prompts.

    Columns named like request fields change the request, ``name`` names the images, everything else is
    carried along to ``images.csv``.

    Args:
        path: ``.txt`` with one prompt a line, ``.csv`` with a header, or ``.jsonl`` with one object a line.

    Raises:
        ConfigurationError: If the file cannot be read, holds no prompt, or a value does not fit its field.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc}); give a text file in UTF-8") from exc
    suffix = path.suffix.lower()
    if suffix == ".csv":
        rows = [_row(values, f"{path}, line {line}") for line, values in _csv_rows(text, path)]
    elif suffix in (".jsonl", ".ndjson"):
        rows = [_row(values, f"{path}, line {line}") for line, values in _json_rows(text, path)]
    elif suffix == ".txt":
        rows = [PromptRow({"prompt": line.strip()}) for line in text.split("\n") if line.strip()]
    else:
        raise ConfigurationError(f"{path}: not a list of prompts; give a .txt, .csv or .jsonl file")
    if not rows:
        raise ConfigurationError(f"{path}: holds no prompts")
    return rows


def _csv_rows(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    # Not splitlines(): it would also split at U+2028 and its like.
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="")
    if "prompt" not in (reader.fieldnames or ()):
        raise ConfigurationError(
            f"{path}: has no column named prompt; its columns are {', '.join(reader.fieldnames or ())}"
        )
    rows = _readable(reader, path)
    for values in rows:
        if None in values.values() or "" in values:
            raise ConfigurationError(f"{path}, line {reader.line_num}: has another number of cells than the header")
        yield reader.line_num, cast("Mapping[str, object]", values)


def _readable(reader: csv.DictReader[str], path: Path) -> Iterator[dict[str, str]]:
    try:
        yield from reader
    except csv.Error as exc:
        raise ConfigurationError(f"{path}, line {reader.line_num}: no CSV ({exc})") from exc


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


def _row(values: Mapping[str, object], where: str) -> PromptRow:
    changes: dict[str, JsonValue] = {}
    columns: dict[str, str] = {}
    name = ""
    for column, value in values.items():
        field = _ALIASES.get(column, column)
        if field == "name":
            name = _name(str(value))
        elif field in Txt2Img.model_fields and field not in _NOT_IN_A_LIST:
            if value not in ("", None):
                changes[field] = _value(field, value)
        else:
            columns[column] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Told now, with its line, rather than when the job's turn comes at night.
    Txt2Img.from_mapping(changes, where=where)
    return PromptRow(changes, columns, name)


def _value(field: str, value: object) -> JsonValue:
    """Return a cell as its field wants it: CSV knows only text."""
    if not isinstance(value, str) or field in _TEXT_FIELDS:
        return cast("JsonValue", value)
    try:
        return cast("JsonValue", json.loads(value))
    except ValueError:
        return value


_TEXT_FIELDS = frozenset({"prompt", "negative_prompt", "model", "vae", "sampler_name", "scheduler"})


def _name(text: str) -> str:
    """Return a name that may hold folders, each part made safe."""
    parts: Iterable[str] = (part for part in text.replace("\\", "/").split("/") if part not in ("", ".", ".."))
    return "/".join(safe_name(part) for part in parts)
