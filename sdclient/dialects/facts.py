"""The door to ``facts/*.json``: what each server takes, as typed tables, read once and when first needed."""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal, cast

from pydantic import JsonValue

__all__ = [
    "Json",
    "Key",
    "KeyTable",
    "a1111_fields",
    "a1111_samplers",
    "a1111_schedulers",
    "close_names",
    "control_input_labels",
    "dialect_table",
    "drawthings_defaults",
    "drawthings_keys",
    "entries_of",
    "fact_table",
    "few_names",
    "latent_modes",
    "object_of",
    "read_key",
    "sdnext_samplers",
    "texts_of",
]

Json = dict[str, JsonValue]
"""A JSON object of a table."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key that a server takes.

    Attributes:
        name: Its main spelling.
        aliases: Other spellings; at most one of all may be sent.
        types: JSON types it takes: ``int``, ``float``, ``bool``, ``string``, ``enum``, ``array``, ``object``, ``null``,
            ``any``; none stands for any.
        minimum: Smallest number taken, inclusive; None where there is no bound.
        maximum: Largest number taken, inclusive; None where there is no bound.
        labels: The texts an enum takes, exactly as written.
        usable: False where the server refuses every request that carries the key.
    """

    name: str
    aliases: tuple[str, ...] = ()
    types: frozenset[str] = frozenset()
    minimum: float | None = None
    maximum: float | None = None
    labels: tuple[str, ...] = ()
    usable: bool = True

    def problem(self, value: JsonValue) -> str | None:
        """Say what is wrong with ``value``, in words that follow "must be"; None where it is right."""
        if "enum" in self.types:
            if type(value) is int and "int" in self.types:
                return None
            if value not in self.labels:
                return f"one of {', '.join(self.labels)}{close_names(str(value), self.labels)}"
            return None
        if not self._has_type(value):
            return " or ".join(sorted(self.types))
        if isinstance(value, int | float) and not isinstance(value, bool):
            low, high = self.minimum, self.maximum
            if (low is not None and value < low) or (high is not None and value > high):
                return self.bounds
        return None

    def spelled(self, value: JsonValue) -> JsonValue:
        """Return a value as the server takes it, where programs and people write it otherwise.

        That is 20.0 as 20 where only whole numbers are taken, and a label in the server's letter case.
        """
        if isinstance(value, str) and value not in self.labels:
            return next((label for label in self.labels if label.casefold() == value.casefold()), value)
        is_whole = isinstance(value, float) and abs(value) < 2**53 and value.is_integer() and "float" not in self.types
        return int(cast("float", value)) if is_whole and "int" in self.types else value

    @property
    def bounds(self) -> str:
        """The range in words, such as ``between 1 and 4``."""
        if self.minimum is not None and self.maximum is not None:
            return f"between {self.minimum:g} and {self.maximum:g}"
        return f"at least {self.minimum:g}" if self.minimum is not None else f"at most {self.maximum or 0:g}"

    def _has_type(self, value: JsonValue) -> bool:
        if not self.types or "any" in self.types:
            return True
        if value is None:
            return "null" in self.types
        if isinstance(value, bool):
            return "bool" in self.types
        if isinstance(value, int):
            return bool(self.types & {"int", "float"})
        names = {float: "float", str: "string", list: "array", dict: "object"}
        return names[type(value)] in self.types


class KeyTable(Mapping[str, Key]):
    """Every key of a server, found by its main name or by an alias.

    Args:
        keys: The keys.
        families: Beginnings of names that stand for a family of keys nobody listed; such a key takes any value.
    """

    def __init__(self, keys: Sequence[Key], families: tuple[str, ...] = ()) -> None:
        self._keys = {key.name: key for key in keys}
        self._by_any_name = {name: key for key in keys for name in (key.name, *key.aliases)}
        self._families = families

    def __getitem__(self, name: str) -> Key:
        if name in self._by_any_name:
            return self._by_any_name[name]
        if self._families and name.startswith(self._families):
            return Key(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    # An alias is found, too, though iterating gives main names only.
    def __contains__(self, name: object) -> bool:
        is_family = bool(self._families) and isinstance(name, str) and name.startswith(self._families)
        return name in self._by_any_name or is_family

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every name and alias."""
        return tuple(self._by_any_name)


@functools.cache
def drawthings_keys() -> KeyTable:
    """Return the keys of Draw Things' requests, ``restore_faces`` and ``init_images`` left out."""
    return KeyTable([_drawthings_key(entry) for entry in entries_of(fact_table("drawthings"), "parameters")])


@functools.cache
def drawthings_defaults() -> Mapping[str, JsonValue]:
    """Return what is sent to Draw Things for a key that a request leaves unset."""
    return cast("Json", fact_table("drawthings_defaults")["values"])


@functools.cache
def control_input_labels() -> tuple[str, ...]:
    """Return what Draw Things' ``inputOverride`` of a control takes."""
    fields = entries_of(object_of(object_of(fact_table("drawthings"), "element_fields"), "controls"), "fields")
    return next(texts_of(entry["enum"]) for entry in fields if entry["name"] == "inputOverride")


@functools.cache
def a1111_fields(kind: Literal["txt2img", "img2img"]) -> KeyTable:
    """Return the fields of A1111's request of this kind."""
    requests = object_of(fact_table("a1111"), "requests")
    blocks = ("common_fields", "additional_fields", f"{kind}_request")
    entries = [entry for block in blocks for entry in entries_of(object_of(requests, block), "fields")]
    # A field of the kind's own table replaces the common one of the same name.
    return KeyTable(list({str(entry["name"]): read_key(entry) for entry in entries}.values()))


@functools.cache
def a1111_schedulers() -> Mapping[str, str]:
    """Return A1111's schedule names and the label of each."""
    samplers = object_of(fact_table("a1111"), "samplers")
    return dict(zip(texts_of(samplers["schedulers"]), texts_of(samplers["scheduler_labels"]), strict=True))


@functools.cache
def a1111_samplers() -> tuple[str, ...]:
    """Return the samplers that A1111 or its fork Forge come with, the fused names of old versions included."""
    old = texts_of(object_of(fact_table("a1111"), "samplers")["names_1_8"])
    new = texts_of(object_of(object_of(fact_table("others"), "forge"), "samplers")["names"])
    return tuple(dict.fromkeys((*new, *old)))


@functools.cache
def sdnext_samplers() -> tuple[str, ...]:
    """Return samplers that SD.Next comes with; the table is an excerpt."""
    return texts_of(object_of(object_of(fact_table("others"), "sdnext"), "samplers")["names"])


@functools.cache
def latent_modes() -> tuple[str, ...]:
    """Return A1111's latent upscale modes, which ``hr_upscaler`` takes beside upscaler names."""
    return texts_of(object_of(fact_table("a1111"), "hires_fix")["latent_modes"])


def close_names(name: str, known: Sequence[str], *, count: int = 3) -> str:
    """Return "; did you mean A or B?", or nothing when no name is close. Letter case does not count."""
    # Lists of what may be chosen begin with None.
    by_fold = {item.casefold(): item for item in known if item.casefold() != "none"}
    close = difflib.get_close_matches(name.casefold(), list(by_fold), n=count, cutoff=0.5)
    return f"; did you mean {' or '.join(by_fold[item] for item in close)}?" if close else ""


def few_names(names: Sequence[str], count: int = 8) -> str:
    """Return the first names for a message, and a sign where there are more."""
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")


@functools.cache
def fact_table(name: str) -> Json:
    """Return a whole table by the stem of its file. It is shared: do not change it."""
    text = (resources.files("sdclient") / "facts" / f"{name}.json").read_text(encoding="utf-8")
    return cast("Json", json.loads(text))


def dialect_table(name: str) -> Json:
    """Return what the table of one dialect says: its class, its rank when servers are told apart, its key sets."""
    return fact_table(f"dialects/{name}")


def object_of(table: Json, name: str) -> Json:
    """Return an object inside an object of a table."""
    return cast("Json", table.get(name, {}))


def entries_of(table: Json, name: str) -> list[Json]:
    """Return the rows inside an object of a table."""
    return cast("list[Json]", table[name])


def texts_of(value: JsonValue) -> tuple[str, ...]:
    """Return a list of texts in a table."""
    return tuple(cast("list[str]", value))


def read_key(entry: Json) -> Key:
    """Read a row of a table: its type, range and labels in any of the ways that tables tell them.

    Types come as ``int|null``, ``array of float|null``, ``enum string``, ``float 0..1``, ``int >= 0`` or
    ``enum Area|Confidence``; ranges also as a ``range`` of their own; labels as a list or by their number.
    """
    told = str(entry["type"])
    if told.startswith("enum ") and "|" in told:
        return Key(str(entry["name"]), types=frozenset({"enum"}), labels=tuple(told.removeprefix("enum ").split("|")))
    labels = entry.get("enum")
    # Some enums are small ints with a meaning each.
    numbers = [int(text) for text in labels] if isinstance(labels, dict) else []
    low, high = _range(told, str(entry.get("range", "")))
    return Key(
        name=str(entry["name"]),
        types=_types(told, is_enum=isinstance(labels, list)),
        minimum=cast("float | None", entry.get("min", min(numbers, default=low))),
        maximum=cast("float | None", entry.get("max", max(numbers, default=high))),
        labels=(*texts_of(labels), *object_of(entry, "enum_aliases")) if isinstance(labels, list) else (),
    )


def _types(told: str, *, is_enum: bool) -> frozenset[str]:
    types = {"enum"} if is_enum else set[str]()
    # A string that holds an image may be a list or an object of images, too.
    for part in re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", told).split("|"):
        word = part.strip().split(" ")[0]
        if word in ("int", "float", "bool", "string", "array", "object", "null", "any") and not (
            is_enum and word == "string"
        ):
            types.add(word)
        types |= {"array", "object"} if word == "list" else set[str]()
        types |= {"int"} if part.strip().endswith(" or int") else set[str]()
    return frozenset(types)


def _range(*texts: str) -> tuple[float | None, float | None]:
    for text in texts:
        if match := re.search(r"(-?[0-9.]*[0-9])\.\.([0-9.]+)", text):
            return float(match[1]), float(match[2])
        if match := re.search(r"(>=?) *([0-9]+)", text):
            # Only whole numbers are told this way.
            return float(match[2]) + (match[1] == ">"), None
    return None, None


def _drawthings_key(entry: Json) -> Key:
    return Key(
        name=str(entry["key"]),
        aliases=texts_of(entry["aliases"]),
        types=frozenset(str(entry["type"]).split("|")),
        minimum=cast("float | None", entry.get("min")),
        maximum=cast("float | None", entry.get("max")),
        labels=texts_of(entry.get("enum", [])),
        usable=entry.get("usable") is not False,
    )
