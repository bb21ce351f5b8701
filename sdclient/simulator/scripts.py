"""The scripts and extensions of a simulated A1111: ControlNet, Tiled Diffusion, SD upscale, Ultimate SD upscale."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from PIL import Image

from sdclient.simulator.catalogue import Install, strings
from sdclient.simulator.facts import JsonObject, JsonValue, array_at, load, object_at
from sdclient.simulator.pictures import PictureError, read_picture

__all__ = ["Effects", "Selected", "always_on", "script_info", "select_script"]

_UPSCALE_GRID_PX = 64
# Control images inside the arguments are long, and change pixels by other ways than the digest.
_DIGEST_CHARS = 4000


@dataclass(frozen=True, slots=True)
class Effects:
    """What the always-on scripts did to a request.

    Attributes:
        hold: How strongly ControlNet ties the result to the init image, 0 to 1.
        hint: The image ControlNet was given in txt2img, or None.
        maps: Images whose detected maps are appended to the reply.
        labels: What the scripts write into the generation text.
        size_px: Width and height that override the request's, or None.
        digest: Whatever else may change pixels.
    """

    hold: float = 0.0
    hint: Image.Image | None = None
    maps: tuple[Image.Image | None, ...] = ()
    labels: Mapping[str, str] | None = None
    size_px: tuple[int, int] | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Selected:
    """What a selectable script makes of an img2img request.

    Attributes:
        size_px: Width and height of the result.
        images: How many images it gives back.
        digest: Its arguments, since they change pixels.
    """

    size_px: tuple[int, int]
    images: int
    digest: str


class _ScriptError(Exception):
    """A script failed; the server logs that and carries on."""


# --- always-on scripts ---------------------------------------------------------------------------------------------------


def always_on(
    install: Install, args: Mapping[str, list[JsonValue]], init: Image.Image | None, options: JsonObject
) -> Effects:
    """Run the always-on scripts; each swallows its own errors, as on the real server.

    Args:
        install: What is installed.
        args: Arguments by lower-cased script title.
        init: The first init image, or None in txt2img.
        options: The server options in force.
    """
    effects = Effects(labels={}, digest=json.dumps(args)[:_DIGEST_CHARS] if args else "")
    units = args.get("controlnet", [])[: _count(options.get("control_net_unit_count"))]
    with suppress(_ScriptError):
        effects = _controlnet(install, units, init, effects)
    with suppress(_ScriptError):
        effects = _tiled(install, args, init, effects)
    if options.get("control_net_no_detectmap") is True:
        effects = replace(effects, maps=())
    return effects


def _controlnet(install: Install, units: Sequence[JsonValue], init: Image.Image | None, effects: Effects) -> Effects:
    active = [_unit(install, unit) for unit in units if isinstance(unit, dict) and unit.get("enabled") is True]
    for index, unit in enumerate(active):
        hint = _hint(unit)
        if hint is None and init is None:
            raise _ScriptError("no image for the control unit")
        tile = any(word in f"{unit['module']} {unit['model']}" for word in ("tile", "blur"))
        weight = min(1.0, _float(unit["weight"]))
        label = ", ".join(f"{key.replace('_', ' ').capitalize()}: {unit[key]}" for key in _UNIT_LABELS)
        effects = replace(
            effects,
            hold=max(effects.hold, weight if tile else weight / 2),
            hint=hint or effects.hint,
            maps=(*effects.maps, hint or init) if unit["save_detected_map"] is True else effects.maps,
            labels={**(effects.labels or {}), f"ControlNet {index}": label},
        )
    return effects


_UNIT_LABELS = (
    *("module", "model", "weight", "resize_mode", "processor_res", "threshold_a", "threshold_b"),
    *("guidance_start", "guidance_end", "pixel_perfect", "control_mode"),
)


def _unit(install: Install, sent: JsonObject) -> JsonObject:
    """Validate one unit against the table; any finding fails the whole script."""
    table = object_at(load("extensions"), "controlnet", "unit_fields")
    aliases = object_at(table, "deprecated_aliases")
    unit = dict(sent)
    for old, new in (*aliases.items(), ("mask_image", "mask")):
        if old in unit:
            if str(new) in unit:
                raise _ScriptError(f"both {old} and {new}")
            unit[str(new)] = unit.pop(old)
    rows = {str(row["name"]): row for row in array_at(table, "fields") if isinstance(row, dict)}
    for name, row in rows.items():
        unit.setdefault(name, row.get("default"))
        _check_unit_value(name, row, unit[name])
    if _float(unit["guidance_end"]) < _float(unit["guidance_start"]):
        raise _ScriptError("guidance_end before guidance_start")
    if str(unit["module"]) not in strings(array_at(install.facts, "controlnet_modules")):
        raise _ScriptError("unknown module")
    unit["model"] = _control_model(install, str(unit["model"]))
    return unit


def _check_unit_value(name: str, row: JsonObject, value: JsonValue) -> None:
    kind = str(row["type"]).split(" ", 1)[0].split("|", 1)[0]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind in {"int", "float"}:
        low, high = row.get("min"), row.get("max")
        inside = (
            number and (low is None or _float(value) >= _float(low)) and (high is None or _float(value) <= _float(high))
        )
        if not inside:
            raise _ScriptError(name)
    if kind == "bool" and not isinstance(value, bool):
        raise _ScriptError(name)
    if kind == "enum":
        choices = [*strings(array_at(row, "enum")), *(object_at(row, "enum_aliases") if "enum_aliases" in row else {})]
        if value not in choices:
            raise _ScriptError(name)


def _control_model(install: Install, name: str) -> str:
    """Match exactly, then by stem in any case, then by substring, where the shortest wins."""
    installed = strings(array_at(install.facts, "controlnet_models"))
    stems = {model: model.split(" [", 1)[0].lower() for model in installed}
    wanted = name.split(" [", 1)[0].strip().lower()
    matches = sorted((model for model in installed if wanted and wanted in stems[model]), key=len)
    if name in installed:
        return name
    if not matches or wanted == "none":
        raise _ScriptError("unknown control model")
    return matches[0]


def _hint(unit: JsonObject) -> Image.Image | None:
    image = unit["image"]
    if isinstance(image, dict):
        image = image.get("image")
    if isinstance(image, list):
        image = image[0] if image else None
    if image is None:
        return None
    try:
        return read_picture(str(image))
    except PictureError as error:
        raise _ScriptError("bad control image") from error


def _tiled(
    install: Install, args: Mapping[str, list[JsonValue]], init: Image.Image | None, effects: Effects
) -> Effects:
    rows = array_at(load("extensions"), "tiled_diffusion", "args")
    values = _named(rows, args.get("tiled diffusion", []))
    if values["enabled"] is not True:
        return effects
    upscaler = str(values["upscaler_name"])
    if not install.has_upscaler(upscaler):
        raise _ScriptError("unknown upscaler")
    size = effects.size_px
    if init is not None and values["keep_input_size"] is True:
        factor = _float(values["scale_factor"]) if upscaler != "None" else 1.0
        size = (int(init.width * factor), int(init.height * factor))
    elif init is None and values["overwrite_size"] is True:
        size = (int(_float(values["image_width"])), int(_float(values["image_height"])))
    label = {
        "Method": values["method"],
        "Tile tile width": values["tile_width"],
        "Tile tile height": values["tile_height"],
    }
    label["Tile Overlap"] = values["overlap"]
    return replace(effects, size_px=size, labels={**(effects.labels or {}), "Tiled Diffusion": json.dumps(label)})


# --- selectable scripts ---------------------------------------------------------------------------------------------------


def select_script(
    install: Install, name: str, args: Sequence[JsonValue], values: JsonObject, init: Image.Image
) -> Selected:
    """Run a selectable script of img2img.

    Args:
        install: What is installed.
        name: Lower-cased title.
        args: Its positional arguments.
        values: The request, for its width and height.
        init: The first init image.

    Raises:
        TypeError: If arguments are missing, or of the wrong kind; such errors reach the client as a 500.
        IndexError: If an upscaler index is out of the list.
        ZeroDivisionError: If both tile sides are 0.
    """
    digest = json.dumps(list(args))
    if name == "sd upscale":
        _need(name, args, 4)
        factor = _strict_float(args[3])
        _upscaler_by_index_or_name(install, args[2])
        return Selected((int(init.width * factor), int(init.height * factor)), 1, digest)
    rows = array_at(load("extensions"), "ultimate_sd_upscale", "args")
    _need(name, args, len(rows))
    named = _named(rows, args)
    _upscaler_by_index_or_name(install, int(_strict_float(named["upscaler_index"])))
    if not _strict_float(named["tile_width"]) and not _strict_float(named["tile_height"]):
        raise ZeroDivisionError("float division by zero")
    images = 2 if _strict_float(named["seams_fix_type"]) else 1
    return Selected(_ultimate_size(named, values, init), images, digest)


def _ultimate_size(named: JsonObject, values: JsonObject, init: Image.Image) -> tuple[int, int]:
    kind = int(_strict_float(named["target_size_type"]))
    if kind == 1:
        return int(_strict_float(named["custom_width"])), int(_strict_float(named["custom_height"]))
    if kind == 0:
        return int(_strict_float(values["width"])), int(_strict_float(values["height"]))
    factor = _strict_float(named["custom_scale"])
    width, height = (math.ceil(side * factor / _UPSCALE_GRID_PX) * _UPSCALE_GRID_PX for side in init.size)
    return width, height


def _need(name: str, args: Sequence[JsonValue], count: int) -> None:
    if len(args) < count:
        raise TypeError(f"{name}: run() missing {count - len(args)} required positional arguments")


def _upscaler_by_index_or_name(install: Install, value: JsonValue) -> None:
    if isinstance(value, str):
        if not install.has_upscaler(value):
            raise IndexError("list index out of range")
    else:
        install.upscalers[int(_strict_float(value))]  # IndexError is the answer


# --- what GET script-info tells --------------------------------------------------------------------------------------------


def script_info() -> list[JsonValue]:
    """Describe the simulated scripts with their arguments in order."""
    table = load("extensions")
    infos: list[JsonValue] = [
        _info("ultimate sd upscale", array_at(table, "ultimate_sd_upscale", "args"), selectable=True)
    ]
    infos += [
        _info(title.replace("_", " "), array_at(table, title, "args"), selectable=False)
        for title in ("tiled_diffusion", "tiled_vae")
    ]
    unit: JsonObject = {"name": "ControlNet Unit", "default": None}
    infos.append(_info("controlnet", [unit, unit, unit], selectable=False))
    return infos


def _info(name: str, rows: Sequence[JsonValue], *, selectable: bool) -> JsonObject:
    args: list[JsonValue] = [
        {"label": row["name"], "value": row["default"], "minimum": None, "maximum": None, "step": None, "choices": None}
        for row in rows
        if isinstance(row, dict)
    ]
    return {"name": name, "is_alwayson": not selectable, "is_img2img": True, "args": args}


def _named(rows: Sequence[JsonValue], args: Sequence[JsonValue]) -> JsonObject:
    """Pair arguments with their names; missing trailing ones keep the defaults, superfluous ones are dropped."""
    table = [row for row in rows if isinstance(row, dict)]
    return {str(row["name"]): args[i] if i < len(args) else row["default"] for i, row in enumerate(table)}


def _float(value: JsonValue) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise _ScriptError("not a number")


def _strict_float(value: JsonValue) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise TypeError(f"unsupported argument: {value!r}"[:80])


def _count(value: JsonValue) -> int:
    return value if isinstance(value, int) else 3
