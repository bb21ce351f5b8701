"""ControlNet as the web UI's extension and as Forge has it built in: its units, and what they do to a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from sdclient.simulator.catalogue import ForgeInstall, Install, strings
from sdclient.simulator.facts import JsonObject, JsonValue, array_at, load, object_at
from sdclient.simulator.pictures import PictureError

__all__ = ["ScriptError", "Unit", "active_units", "script_number"]

_LABELLED = (
    *("module", "model", "weight", "resize_mode", "processor_res", "threshold_a", "threshold_b"),
    *("guidance_start", "guidance_end", "pixel_perfect", "control_mode"),
)


class ScriptError(Exception):
    """A script failed; the server logs that and carries on."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One control unit in effect.

    Attributes:
        hold: How strongly it ties the result to the init image, 0 to 1.
        hint: The image it was given, or None where it uses the init image.
        keeps_map: Whether its detected map is appended to the reply.
        label: What it writes into the generation text.
    """

    hold: float
    hint: Image.Image | None
    keeps_map: bool
    label: str


def active_units(
    install: Install, sent: Sequence[JsonValue], read: Callable[[str], Image.Image], *, has_init: bool
) -> Iterator[Unit]:
    """Read the units that are switched on, one after the other.

    Args:
        install: What is installed; Forge reads units in its own way.
        sent: The arguments of the script.
        read: Decodes an image of the request.
        has_init: Whether there is an init image to fall back to.

    Raises:
        ScriptError: If a unit is wrong; those before it have been given by then.
    """
    forge = isinstance(install, ForgeInstall)
    for arguments in sent:
        if isinstance(arguments, dict) and arguments.get("enabled", forge) is True:
            unit = _forge_unit(install, arguments) if forge else _unit(install, arguments)
            hint = _hint(unit, read)
            if hint is None and not has_init:
                raise ScriptError("no image for the control unit")
            yield _in_effect(unit, hint)


def _in_effect(unit: JsonObject, hint: Image.Image | None) -> Unit:
    tile = any(word in f"{unit['module']} {unit['model']}".lower() for word in ("tile", "blur"))
    weight = min(1.0, script_number(unit["weight"]))
    label = ", ".join(f"{key.replace('_', ' ').capitalize()}: {unit[key]}" for key in _LABELLED)
    return Unit(weight if tile else weight / 2, hint, unit["save_detected_map"] is True, label)


def _unit(install: Install, sent: JsonObject) -> JsonObject:
    """Validate one unit of the extension against the table; any finding fails the whole script."""
    table = object_at(load("extensions"), "controlnet", "unit_fields")
    aliases = object_at(table, "deprecated_aliases")
    unit = dict(sent)
    for old, new in (*aliases.items(), ("mask_image", "mask")):
        if old in unit:
            if str(new) in unit:
                raise ScriptError(f"both {old} and {new}")
            unit[str(new)] = unit.pop(old)
    for name, row in _rows(table).items():
        unit.setdefault(name, row.get("default"))
        _check_value(name, row, unit[name])
    if script_number(unit["guidance_end"]) < script_number(unit["guidance_start"]):
        raise ScriptError("guidance_end before guidance_start")
    if str(unit["module"]) not in strings(array_at(install.facts, "controlnet_modules")):
        raise ScriptError("unknown module")
    unit["model"] = _matching_model(install, str(unit["model"]))
    return unit


def _forge_unit(install: Install, sent: JsonObject) -> JsonObject:
    """Read one unit of Forge: unknown keys fall away, names must be exact, choices may be numbers."""
    rows = _rows(object_at(load("extensions"), "controlnet", "forge_unit_fields"))
    unit = {name: sent.get(name, row.get("default")) for name, row in rows.items()}
    for name, row in rows.items():
        _check_value(name, row, unit[name])
    modules = ["None", *strings(array_at(install.facts, "controlnet_modules"))[1:]]
    if unit["module"] not in modules:
        raise ScriptError("unknown module")
    if unit["model"] not in strings(array_at(install.facts, "controlnet_models")):
        raise ScriptError("unknown control model")
    return unit


def _rows(table: JsonObject) -> dict[str, JsonObject]:
    return {str(row["name"]): row for row in array_at(table, "fields") if isinstance(row, dict)}


def _check_value(name: str, row: JsonObject, value: JsonValue) -> None:
    kinds = str(row["type"])
    kind = kinds.split(" ", 1)[0].split("|", 1)[0]
    if kind in {"int", "float"} and not _is_within(row, value):
        raise ScriptError(name)
    if kind == "bool" and not isinstance(value, bool):
        raise ScriptError(name)
    if kind == "enum":
        choices = strings(array_at(row, "enum"))
        choices += [*object_at(row, "enum_aliases")] if "enum_aliases" in row else []
        by_number = "int" in kinds and isinstance(value, int) and not isinstance(value, bool)
        if value not in choices and not by_number:
            raise ScriptError(name)


def _is_within(row: JsonObject, value: JsonValue) -> bool:
    low, high = row.get("min"), row.get("max")
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return (low is None or value >= script_number(low)) and (high is None or value <= script_number(high))


def _matching_model(install: Install, name: str) -> str:
    """Match exactly, then by stem in any case, then by substring, where the shortest wins."""
    installed = strings(array_at(install.facts, "controlnet_models"))
    stems = {model: model.split(" [", 1)[0].lower() for model in installed}
    wanted = name.split(" [", 1)[0].strip().lower()
    matches = sorted((model for model in installed if wanted and wanted in stems[model]), key=len)
    if name in installed:
        return name
    if not matches or wanted == "none":
        raise ScriptError("unknown control model")
    return matches[0]


def _hint(unit: JsonObject, read: Callable[[str], Image.Image]) -> Image.Image | None:
    image = unit["image"]
    if isinstance(image, dict):
        image = image.get("image")
    if isinstance(image, list):
        image = image[0] if image else None
    if image is None:
        return None
    try:
        return read(str(image))
    except PictureError as error:
        raise ScriptError("bad control image") from error


def script_number(value: JsonValue) -> float:
    """Read a number out of a script's arguments.

    Raises:
        ScriptError: If it is none.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ScriptError("not a number")
