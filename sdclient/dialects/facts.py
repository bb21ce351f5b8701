"""The door to ``facts/*.json``: what each server takes, as typed tables, read once and when first needed."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal, TypeAlias, cast

from pydantic import JsonValue

__all__ = [
    "Key",
    "KeyTable",
    "ScriptName",
    "a1111_fields",
    "a1111_schedulers",
    "close_names",
    "control_input_labels",
    "drawthings_defaults",
    "drawthings_keys",
    "few_names",
    "latent_modes",
    "script_args",
    "script_title",
]

Json = dict[str, JsonValue]
ScriptName: TypeAlias = Literal["tiled_diffusion", "tiled_vae"]
"""Always-on scripts whose arguments are positional."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key that a server takes.

    Attributes:
        name: Its main spelling.
        aliases: Other spellings; at most one of all may be sent.
        types: JSON types it takes: ``int``, ``float``, ``bool``, ``string``, ``enum``, ``array``, ``object``, ``null``.
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

    @property
    def bounds(self) -> str:
        """The range in words, such as ``between 1 and 4``."""
        if self.minimum is not None and self.maximum is not None:
            return f"between {self.minimum:g} and {self.maximum:g}"
        return f"at least {self.minimum:g}" if self.minimum is not None else f"at most {self.maximum or 0:g}"

    def _has_type(self, value: JsonValue) -> bool:
        if value is None:
            return "null" in self.types
        if isinstance(value, bool):
            return "bool" in self.types
        if isinstance(value, int):
            return bool(self.types & {"int", "float"})
        names = {float: "float", str: "string", list: "array", dict: "object"}
        return names[type(value)] in self.types


class KeyTable(Mapping[str, Key]):
    """Every key of a server, found by its main name or by an alias."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = {key.name: key for key in keys}
        self._by_any_name = {name: key for key in keys for name in (key.name, *key.aliases)}

    def __getitem__(self, name: str) -> Key:
        return self._by_any_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    # An alias is found, too, though iterating gives main names only.
    def __contains__(self, name: object) -> bool:
        return name in self._by_any_name

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every name and alias."""
        return tuple(self._by_any_name)


@functools.cache
def drawthings_keys() -> KeyTable:
    """Return the keys of Draw Things' requests, ``restore_faces`` and ``init_images`` left out."""
    return KeyTable([_drawthings_key(entry) for entry in _entries(_table("drawthings"), "parameters")])


@functools.cache
def drawthings_defaults() -> Mapping[str, JsonValue]:
    """Return what is sent to Draw Things for a key that a request leaves unset."""
    return cast("Json", _table("drawthings_defaults")["values"])


@functools.cache
def control_input_labels() -> tuple[str, ...]:
    """Return what Draw Things' ``inputOverride`` of a control takes."""
    fields = _entries(_object(_object(_table("drawthings"), "element_fields"), "controls"), "fields")
    return next(_texts(entry["enum"]) for entry in fields if entry["name"] == "inputOverride")


@functools.cache
def a1111_fields(kind: Literal["txt2img", "img2img"]) -> KeyTable:
    """Return the fields of A1111's request of this kind."""
    requests = _object(_table("a1111"), "requests")
    blocks = ("common_fields", "additional_fields", f"{kind}_request")
    entries = [entry for block in blocks for entry in _entries(_object(requests, block), "fields")]
    # A field of the kind's own table replaces the common one of the same name.
    return KeyTable(list({str(entry["name"]): _a1111_key(entry) for entry in entries}.values()))


@functools.cache
def a1111_schedulers() -> Mapping[str, str]:
    """Return A1111's schedule names and the label of each."""
    samplers = _object(_table("a1111"), "samplers")
    return dict(zip(_texts(samplers["schedulers"]), _texts(samplers["scheduler_labels"]), strict=True))


@functools.cache
def latent_modes() -> tuple[str, ...]:
    """Return A1111's latent upscale modes, which ``hr_upscaler`` takes beside upscaler names."""
    return _texts(_object(_table("a1111"), "hires_fix")["latent_modes"])


def script_title(name: ScriptName) -> str:
    """Return the title of an always-on script."""
    return {"tiled_diffusion": "Tiled Diffusion", "tiled_vae": "Tiled VAE"}[name]


@functools.cache
def script_args(name: ScriptName) -> Mapping[str, JsonValue]:
    """Return the positional arguments of an always-on script, in order, with their defaults.

    A default that depends on the machine or the kind of request stands as its description.
    """
    return {str(entry["name"]): entry["default"] for entry in _entries(_object(_table("extensions"), name), "args")}


def close_names(name: str, known: Sequence[str], *, count: int = 3) -> str:
    """Return "; did you mean A or B?", or nothing when no name is close. Letter case does not count."""
    by_fold = {item.casefold(): item for item in known}
    close = difflib.get_close_matches(name.casefold(), list(by_fold), n=count, cutoff=0.5)
    return f"; did you mean {' or '.join(by_fold[item] for item in close)}?" if close else ""


def few_names(names: Sequence[str], count: int = 8) -> str:
    """Return the first names for a message, and a sign where there are more."""
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")


@functools.cache
def _table(name: str) -> Json:
    text = (resources.files("sdclient") / "facts" / f"{name}.json").read_text(encoding="utf-8")
    return cast("Json", json.loads(text))


def _object(table: Json, name: str) -> Json:
    return cast("Json", table[name])


def _entries(table: Json, name: str) -> list[Json]:
    return cast("list[Json]", table[name])


def _texts(value: JsonValue) -> tuple[str, ...]:
    return tuple(cast("list[str]", value))


def _drawthings_key(entry: Json) -> Key:
    return Key(
        name=str(entry["key"]),
        aliases=_texts(entry["aliases"]),
        types=frozenset(str(entry["type"]).split("|")),
        minimum=cast("float | None", entry.get("min")),
        maximum=cast("float | None", entry.get("max")),
        labels=_texts(entry.get("enum", [])),
        usable=entry.get("usable") is not False,
    )


def _a1111_key(entry: Json) -> Key:
    types = {part.strip().removesuffix(" of string") for part in str(entry["type"]).split("|")}
    labels = entry.get("enum")
    # The enums of A1111 are small ints with a meaning each.
    numbers = [int(text) for text in labels] if isinstance(labels, dict) else []
    return Key(
        name=str(entry["name"]),
        types=frozenset(types),
        minimum=min(numbers, default=None),
        maximum=max(numbers, default=None),
    )
