"""Key tables of the servers beside Draw Things: bodies, units and positional arguments, each with type, range and labels."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

from pydantic import JsonValue

from sdclient.dialects.facts import (
    Json,
    Key,
    KeyTable,
    a1111_fields,
    dialect_table,
    entries_of,
    fact_table,
    object_of,
    read_key,
    texts_of,
)

__all__ = [
    "Kind",
    "Script",
    "adetailer_keys",
    "body_keys",
    "control_keys",
    "img2img_size_defaults",
    "runs_unasked",
    "script",
    "scripts",
    "sdnext_missing",
    "sdnext_resize_modes",
    "sdnext_sigmas",
    "small_samplers",
    "small_schedulers",
]

Kind: TypeAlias = Literal["txt2img", "img2img"]
ScriptName: TypeAlias = Literal[
    "tiled_diffusion",
    "tiled_vae",
    "forge_tiled_diffusion",
    "forge_never_oom",
    "ultimate_upscale",
    "sdnext_ultimate_upscale",
    "sd_upscale",
]
"""Scripts whose arguments go by position."""

_UNIT_TABLES = {"a1111": "unit_fields", "forge": "forge_unit_fields"}
_REGION_ARGS = 10
_MAX_REGIONS = 16


@dataclass(frozen=True, slots=True)
class Script:
    """A script with positional arguments.

    Attributes:
        title: As it is named in a request.
        args: Its arguments in order; the name of each is the table's.
        defaults: The default of each, by name; a sentence where it depends on the machine.
        most: How many arguments there may be.
        is_always_on: Whether it runs beside others rather than alone.
    """

    title: str
    args: KeyTable
    defaults: Mapping[str, JsonValue]
    most: int
    is_always_on: bool

    def takes(self, count: int) -> bool:
        """Tell whether a script of so many arguments is this one: its own, and perhaps some whole regions behind them."""
        more = count - len(self.args)
        return more == 0 or (count <= self.most and more > 0 and more % _REGION_ARGS == 0)


@functools.cache
def body_keys(dialect: str, kind: Kind) -> KeyTable:
    """Return the keys of a request's body on a server; a dialect that is not of A1111's kind has them in its own table."""
    own_rows = dialect_table(dialect).get("request_fields")
    if own_rows is not None:
        return _keys(cast("list[Json]", own_rows), dialect)
    others = fact_table("others")
    if dialect == "sdcpp":
        return _keys(entries_of(object_of(others, "stable_diffusion_cpp"), "request_fields"), dialect)
    if dialect == "koboldcpp":
        return _keys(entries_of(object_of(others, "koboldcpp"), "request_fields"), dialect)
    shared = _bounded(a1111_fields(kind).values(), "a1111")
    if dialect == "forge":
        added = object_of(object_of(others, "forge"), "request_fields_added")
        own_keys = map(read_key, [*entries_of(added, "both"), *entries_of(added, kind)])
        return KeyTable([*shared, *_bounded(own_keys, dialect)])
    if dialect == "sdnext":
        kept = [key for key in shared if key.name not in sdnext_missing()]
        own = fact_table("sdnext_keys")
        own_keys = map(read_key, entries_of(own, "fields"))
        return KeyTable([*kept, *_bounded(own_keys, dialect)], tuple(object_of(own, "families")))
    return KeyTable(shared)


@functools.cache
def img2img_size_defaults() -> Mapping[str, JsonValue]:
    """Return what A1111 and Forge take for the size of img2img, and the way to resize to it, where a body does not say."""
    requests = object_of(fact_table("a1111"), "requests")
    blocks = ("common_fields", "img2img_request")
    rows = (row for block in blocks for row in entries_of(object_of(requests, block), "fields"))
    return {str(row["name"]): row["default"] for row in rows if row["name"] in ("width", "height", "resize_mode")}


@functools.cache
def sdnext_missing() -> frozenset[str]:
    """Return A1111's keys that SD.Next does not have; a line of the table may name several."""
    lines = texts_of(object_of(fact_table("others"), "sdnext")["request_fields_missing"])
    return frozenset(name for line in lines for name in re.split(r"[,/ ]+", line.split(" (", 1)[0]) if name)


def sdnext_sigmas() -> Mapping[str, str]:
    """Return what SD.Next calls the noise schedules it has, by A1111's label."""
    return {label: str(name) for label, name in object_of(fact_table("sdnext_keys"), "sigma_schedules").items()}


def sdnext_resize_modes() -> Mapping[int, int]:
    """Return SD.Next's number of each way to fit an init image, by A1111's."""
    modes = object_of(fact_table("sdnext_keys"), "resize_modes")
    return {int(ours): theirs for ours, theirs in modes.items() if isinstance(theirs, int)}


@functools.cache
def control_keys(dialect: Literal["a1111", "forge"]) -> KeyTable:
    """Return the keys of a ControlNet unit, by the extension or as built into Forge."""
    table = object_of(fact_table("extensions"), "controlnet")
    if dialect == "forge":
        return _keys(entries_of(object_of(table, _UNIT_TABLES[dialect]), "fields"), "forge_controlnet")
    unit = object_of(table, _UNIT_TABLES[dialect])
    other = {new: old for old, new in object_of(unit, "deprecated_aliases").items()}
    keys = _bounded(map(read_key, entries_of(unit, "fields")), "controlnet")
    return KeyTable([_with_alias(key, other.get(key.name)) for key in keys])


@functools.cache
def runs_unasked(dialect: Literal["a1111", "forge"]) -> bool:
    """Tell whether a ControlNet unit that does not say whether it is on is: off in the extension, on in Forge."""
    table = object_of(object_of(fact_table("extensions"), "controlnet"), _UNIT_TABLES[dialect])
    return next(row["default"] for row in entries_of(table, "fields") if row["name"] == "enabled") is True


@functools.cache
def adetailer_keys() -> KeyTable:
    """Return the keys of an ADetailer unit."""
    return _keys(entries_of(object_of(fact_table("extensions"), "adetailer"), "unit_fields"))


@functools.cache
def script(name: ScriptName) -> Script:
    """Return a script's title and arguments."""
    tables = fact_table("extensions")
    if name in ("tiled_diffusion", "tiled_vae"):
        table = object_of(tables, name)
        regions = _REGION_ARGS * _MAX_REGIONS if name == "tiled_diffusion" else 0
        return _script(table, entries_of(table, "args"), regions, is_always_on=True)
    if name == "ultimate_upscale":
        table = object_of(tables, "ultimate_sd_upscale")
        return _script(table, entries_of(table, "args"), 0, is_always_on=False)
    if name == "sdnext_ultimate_upscale":
        table = object_of(object_of(tables, "ultimate_sd_upscale"), "sdnext_variant")
        return _script(table, _sdnext_rows(table), 0, is_always_on=False)
    if name == "sd_upscale":
        table = object_of(object_of(fact_table("a1111"), "scripts"), "sd_upscale_builtin")
        return _script(table, _spoken_rows(table), 0, is_always_on=False)
    kind = "tiled_diffusion" if name == "forge_tiled_diffusion" else "tiled_vae"
    table = object_of(object_of(tables, kind), "forge_equivalent")
    return _script(table, _spoken_rows(table), 0, is_always_on=True)


def scripts(dialect: str) -> Mapping[str, Script]:
    """Return the scripts with positional arguments that are known for a server, by lower-case title."""
    names: Mapping[str, tuple[ScriptName, ...]] = {
        "a1111": ("tiled_diffusion", "tiled_vae", "ultimate_upscale", "sd_upscale"),
        "forge": ("forge_tiled_diffusion", "forge_never_oom", "ultimate_upscale", "sd_upscale"),
        "sdnext": ("sdnext_ultimate_upscale",),
    }
    return {script(name).title.casefold(): script(name) for name in names.get(dialect, ())}


@functools.cache
def small_samplers(dialect: str) -> tuple[str, ...]:
    """Return the samplers of stable-diffusion.cpp by its own names, of KoboldCpp, or of a dialect's own table."""
    own_names = dialect_table(dialect).get("samplers")
    if own_names is not None:
        return texts_of(own_names)
    others = fact_table("others")
    if dialect == "koboldcpp":
        return texts_of(object_of(others, "koboldcpp")["sampler_list"])
    return texts_of(object_of(others, "stable_diffusion_cpp")["sampler_names"])


@functools.cache
def small_schedulers() -> tuple[str, ...]:
    """Return the schedules of stable-diffusion.cpp by its own names."""
    return texts_of(object_of(fact_table("others"), "stable_diffusion_cpp")["scheduler_names"])


def _keys(rows: list[Json], ranges: str = "") -> KeyTable:
    return KeyTable(_bounded(map(read_key, rows), ranges))


def _bounded(keys: Iterable[Key], ranges: str) -> list[Key]:
    """Give keys whose own table says no range the one that their meaning sets; each end is None where it is open."""
    known = object_of(fact_table("ranges"), ranges) if ranges else {}
    found: list[Key] = []
    for key in keys:
        if key.name in known and (key.minimum, key.maximum) == (None, None) and key.types & {"int", "float"}:
            low, high = cast("list[float | None]", known[key.name])
            found.append(replace(key, minimum=low, maximum=high))
        else:
            found.append(key)
    return found


def _with_alias(key: Key, alias: str | None) -> Key:
    return key if alias is None else replace(key, aliases=(alias,))


def _script(table: Json, rows: list[Json], more: int, *, is_always_on: bool) -> Script:
    defaults = {str(row["name"]): row.get("default") for row in rows}
    return Script(str(table["title"]), _keys(rows, "scripts"), defaults, len(rows) + more, is_always_on)


def _spoken_rows(table: Json) -> list[Json]:
    """Return rows for lines such as ``tile_width int 768 (pixels)`` or ``upscaler_index int or name``."""
    rows: list[Json] = []
    for line in texts_of(table["args_order"]):
        name, _, told = line.partition(" ")
        words = told.strip("()").split()
        labels: list[JsonValue] = []
        if words and "|" in told:
            # "MultiDiffusion|Mixture of Diffusers (MultiDiffusion)": the labels, then the default.
            choices, _, default = told.partition(" (")
            labels = list(choices.split("|"))
            rows.append({"name": name, "type": "enum string", "enum": labels, "default": default.rstrip(")")})
            continue
        kind = words[0] if words else "any"
        kind = "any" if "or name" in told or kind not in ("bool", "int", "float") else kind
        rows.append({"name": name, "type": kind, "default": _value(words[1] if len(words) > 1 else "", kind)})
    return rows


def _sdnext_rows(table: Json) -> list[Json]:
    """Return rows for lines such as ``mask_blur (8)``; what they mean is told by the rows of A1111's script."""
    known = {
        str(row["name"]): row for row in entries_of(object_of(fact_table("extensions"), "ultimate_sd_upscale"), "args")
    }
    rows: list[Json] = []
    for line in texts_of(table["args_order"]):
        name, _, default = line.partition(" ")
        row = dict(known[name])
        if default:
            row["default"] = _value(default.strip("()"), str(row["type"]))
        rows.append(row)
    return rows


def _value(text: str, kind: str) -> JsonValue:
    if kind == "bool":
        return text == "true"
    if kind == "int" and text.isdigit():
        return int(text)
    return float(text) if kind == "float" and text else None
