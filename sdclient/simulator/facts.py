"""The tables of `sdclient/facts`: what each server takes and answers, as typed rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeAlias

__all__ = [
    "Field",
    "JsonObject",
    "JsonValue",
    "a1111_fields",
    "array_at",
    "drawthings_fields",
    "forge_fields",
    "load",
    "object_at",
    "sdnext_fields",
    "small_fields",
]

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = "dict[str, JsonValue]"

_FOLDER = Path(__file__).resolve().parents[1] / "facts"


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a request body.

    Attributes:
        name: The main spelling of the key.
        kind: `string`, `int`, `float`, `bool`, `enum`, `array` or `object`.
        aliases: Other spellings of the same key.
        nullable: Whether JSON null is a value of its own.
        minimum: Smallest accepted number, or None.
        maximum: Largest accepted number, or None.
        choices: The exact values of an enum, else empty.
        default: What the table gives as the value of an omitted key.
        required: Whether the key must be there.
        usable: False for keys that no request can carry without being refused.
    """

    name: str
    kind: str
    aliases: tuple[str, ...] = ()
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    default: JsonValue = None
    required: bool = False
    usable: bool = True


@cache
def load(name: str) -> JsonObject:
    """Read one table.

    Args:
        name: The stem of a file in `sdclient/facts`.

    Returns:
        The whole document. It is shared: do not change it.
    """
    document: JsonValue = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise TypeError(f"facts/{name}.json: the document is not an object")
    return document


def object_at(document: JsonValue, *path: str) -> JsonObject:
    """Follow `path` through nested objects; the end must be an object."""
    found = _at(document, path)
    if not isinstance(found, dict):
        raise TypeError(f"facts: {'.'.join(path)} is not an object")
    return found


def array_at(document: JsonValue, *path: str) -> list[JsonValue]:
    """Follow `path` through nested objects; the end must be an array."""
    found = _at(document, path)
    if not isinstance(found, list):
        raise TypeError(f"facts: {'.'.join(path)} is not an array")
    return found


def _at(document: JsonValue, path: Iterable[str]) -> JsonValue:
    for step in path:
        if not isinstance(document, dict):
            raise TypeError(f"facts: nothing below {step!r}")
        document = document[step]
    return document


def _number(value: JsonValue) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _strings(value: JsonValue) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _field(row: JsonObject) -> Field:
    """Read one row; `key` and `name`, and both ways of writing a type, mean the same."""
    words = str(row["type"]).split("|")
    kind = words[0].split(" ")[0].strip()
    default = row.get("default")
    return Field(
        name=str(row["key"] if "key" in row else row["name"]),
        kind=kind,
        aliases=_strings(row.get("aliases")),
        nullable="null" in words,
        minimum=_number(row.get("min")),
        maximum=_number(row.get("max")),
        choices=_strings(row.get("enum")),
        default=default,
        required=row.get("required") is True or default == "(required)",
        usable=row.get("usable") is not False,
    )


def _fields(rows: list[JsonValue]) -> tuple[Field, ...]:
    return tuple(_field(row) for row in rows if isinstance(row, dict))


@cache
def drawthings_fields(part: str = "parameters") -> tuple[Field, ...]:
    """Give the keys Draw Things takes.

    Args:
        part: `parameters` or `extra_keys` for the body, `loras` or `controls` for one element of those lists.
    """
    table = load("drawthings")
    if part in {"loras", "controls"}:
        return _fields(array_at(table, "element_fields", part, "fields"))
    return _fields(array_at(table, part))


@cache
def a1111_fields(request: str) -> tuple[Field, ...]:
    """Give the keys of an A1111 request body.

    Args:
        request: `txt2img_request`, `img2img_request`, or the path of a route whose body the table describes.
    """
    table = load("a1111")
    if request.startswith("/"):
        return _fields(_body_rows(request))
    own = _fields(array_at(table, "requests", request, "fields"))
    names = {field.name for field in own}
    shared = (*a1111_part("common_fields"), *a1111_part("additional_fields"))
    return (*own, *(field for field in shared if field.name not in names))


def a1111_part(part: str) -> tuple[Field, ...]:
    """Give one group of A1111's generation keys: `common_fields` or `additional_fields`."""
    return _fields(array_at(load("a1111"), "requests", part, "fields"))


def _body_rows(path: str) -> list[JsonValue]:
    for route in array_at(load("a1111"), "endpoints"):
        if isinstance(route, dict) and route["path"] == path and route["method"] == "POST":
            return array_at(route, "request", "fields")
    raise KeyError(path)


@cache
def forge_fields(kind: str) -> tuple[Field, ...]:
    """Give the keys of Forge's request body of this kind: `txt2img` or `img2img`."""
    added = object_at(load("others"), "forge", "request_fields_added")
    return (*a1111_fields(f"{kind}_request"), *_fields([*array_at(added, "both"), *array_at(added, kind)]))


@cache
def sdnext_fields(kind: str) -> tuple[Field, ...]:
    """Give the keys of SD.Next's request body of this kind: A1111's, less those it lacks, with defaults of its own."""
    own = object_at(load("simulator_others"), "sdnext")
    defaults = {**object_at(own, "defaults"), "denoising_strength": object_at(own, "denoising_strength")[kind]}
    missing = sdnext_missing()
    kept = [
        replace(field, default=defaults.get(field.name, field.default))
        for field in a1111_fields(f"{kind}_request")
        if field.name not in missing
    ]
    names = {field.name for field in kept}
    return (*kept, *(field for field in _fields(array_at(own, "added_fields")) if field.name not in names))


@cache
def sdnext_missing() -> frozenset[str]:
    """Name A1111's keys that SD.Next does not have; one line of the table may name several."""
    lines = array_at(load("others"), "sdnext", "request_fields_missing")
    return frozenset(name for line in lines for name in re.split(r"[,/ ]+", str(line).split(" (", 1)[0]))


@cache
def small_fields(program: str) -> tuple[Field, ...]:
    """Give the keys of `stable_diffusion_cpp` or `koboldcpp`, whose two requests take the same."""
    return _fields(array_at(load("others"), program, "request_fields"))
