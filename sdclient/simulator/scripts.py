"""The scripts and extensions of a simulated web UI: who runs when, Tiled Diffusion, SD upscale, Ultimate SD upscale."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from PIL import Image

from sdclient.simulator.adetailer import detail_labels
from sdclient.simulator.catalogue import Install
from sdclient.simulator.controlnet import ScriptError, Unit, active_units, script_number
from sdclient.simulator.facts import JsonObject, JsonValue, array_at, load, object_at
from sdclient.simulator.studio import Studio

__all__ = ["Effects", "Selected", "always_on", "script_info", "select_script"]

_UPSCALE_GRID_PX = 64
_LATENT_PX = 8
_SIDES = ("tile_width", "tile_height")
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
        labels: What it writes into the generation text.
    """

    size_px: tuple[int, int]
    images: int
    digest: str
    labels: Mapping[str, JsonValue]


# --- always-on scripts ---------------------------------------------------------------------------------------------------


def always_on(
    install: Install,
    args: Mapping[str, list[JsonValue]],
    init: Image.Image | None,
    options: JsonObject,
    studio: Studio,
    size: tuple[int, int],
) -> Effects:
    """Run the always-on scripts; each swallows its own errors, as on the real server.

    Args:
        install: What is installed.
        args: Arguments by lower-cased script title.
        init: The first init image, or None in txt2img.
        options: The server options in force.
        studio: Reads the images of the request.
        size: Width and height the request asks for, in pixels.
    """
    effects = Effects(labels={}, digest=json.dumps(args)[:_DIGEST_CHARS] if args else "")
    units = args.get("controlnet", [])[: _count(options.get("control_net_unit_count"), 3)]
    with suppress(ScriptError):
        for index, unit in enumerate(active_units(install, units, studio.read, has_init=init is not None)):
            effects = _controlled(effects, index, unit, init)
    with suppress(ScriptError):
        effects = _tiled(install, _tile_values(args), init, size, effects)
    models = _count(options.get("ad_max_models"), 2)
    details = detail_labels(install.facts, args.get("adetailer", []), models)
    effects = replace(effects, labels={**(effects.labels or {}), **_integrated_labels(args), **details})
    if options.get("control_net_no_detectmap") is True:
        effects = replace(effects, maps=())
    return effects


def _controlled(effects: Effects, index: int, unit: Unit, init: Image.Image | None) -> Effects:
    return replace(
        effects,
        hold=max(effects.hold, unit.hold),
        hint=unit.hint or effects.hint,
        maps=(*effects.maps, unit.hint or init) if unit.keeps_map else effects.maps,
        labels={**(effects.labels or {}), f"ControlNet {index}": unit.label},
    )


def _integrated_labels(args: Mapping[str, list[JsonValue]]) -> dict[str, str]:
    """Tell of the tiles that Forge has built in; its Never OOM writes nothing."""
    order = array_at(load("extensions"), "tiled_diffusion", "forge_equivalent", "args_order")
    values = dict(
        zip((str(row).split(" ", 1)[0] for row in order), args.get("multidiffusion integrated", []), strict=False)
    )
    if values.get("enabled") is not True:
        return {}
    return {label: str(value) for label, value in _told("forge_tiled_diffusion", values).items()}


def _told(script: str, values: JsonObject) -> JsonObject:
    """Give what a script writes of its arguments, by its labels."""
    labels = object_at(load("labels"), script, "labels")
    return {str(label): values[name] for name, label in labels.items() if name in values}


def _tile_values(args: Mapping[str, list[JsonValue]]) -> JsonObject:
    return _named(array_at(load("extensions"), "tiled_diffusion", "args"), args.get("tiled diffusion", []))


def _tiled(
    install: Install, values: JsonObject, init: Image.Image | None, size: tuple[int, int], effects: Effects
) -> Effects:
    if values["enabled"] is not True:
        return effects
    upscaler = str(values["upscaler_name"])
    if not install.has_upscaler(upscaler):
        raise ScriptError("unknown upscaler")
    changed = effects.size_px
    if init is not None and values["keep_input_size"] is True:
        factor = script_number(values["scale_factor"]) if upscaler != "None" else 1.0
        changed = (int(init.width * factor), int(init.height * factor))
    elif init is None and values["overwrite_size"] is True:
        changed = (int(script_number(values["image_width"])), int(script_number(values["image_height"])))
    effects = replace(effects, size_px=changed)
    # With a single tile there is nothing to do, and the script switches itself off after it has set the size.
    inverts = init is not None and values["noise_inverse"] is True
    if not (_needs_tiles(values, changed or size) or inverts or values["enable_bbox_control"] is True):
        return effects
    label = {
        "Method": values["method"],
        "Tile tile width": values["tile_width"],
        "Tile tile height": values["tile_height"],
    }
    label["Tile Overlap"] = values["overlap"]
    return replace(effects, labels={**(effects.labels or {}), "Tiled Diffusion": json.dumps(label)})


def _needs_tiles(values: JsonObject, size: tuple[int, int]) -> bool:
    """Tell whether an image is larger than one tile, which is measured in latent units."""
    tile = (script_number(values["tile_width"]), script_number(values["tile_height"]))
    return any(pixels // _LATENT_PX > side for pixels, side in zip(size, tile, strict=True))


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
        upscaler = _upscaler_by_index_or_name(install, args[2])
        told = _told("sd_upscale", {"upscaler_index": upscaler, "overlap": args[1]})
        return Selected((int(init.width * factor), int(init.height * factor)), 1, digest, told)
    rows = (
        _sdnext_rows() if name == "sd ultimate upscale" else array_at(load("extensions"), "ultimate_sd_upscale", "args")
    )
    if name != "sd ultimate upscale":
        # Arguments fill a slice of one long list here; SD.Next fills its own in by index, so that a few are enough.
        _need(name, args, len(rows))
    named = _named(rows, args)
    upscaler = _upscaler_by_index_or_name(install, int(_strict_float(named["upscaler_index"])))
    if not _strict_float(named["tile_width"]) and not _strict_float(named["tile_height"]):
        raise ZeroDivisionError("float division by zero")
    images = 2 if _strict_float(named["seams_fix_type"]) else 1
    sides = {side: named[side] or named[other] for side, other in (_SIDES, _SIDES[::-1])}
    # What SD.Next's own copy writes is in no table.
    told = {} if name == "sd ultimate upscale" else {**named, **sides, "upscaler_index": upscaler}
    return Selected(_ultimate_size(named, values, init), images, digest, _told("ultimate_sd_upscale", told))


def _sdnext_rows() -> list[JsonValue]:
    """Read names and defaults out of lines such as `tile_width (1024)`."""
    lines = array_at(load("extensions"), "ultimate_sd_upscale", "sdnext_variant", "args_order")
    pairs = [str(line).rstrip(")").partition(" (") for line in lines]
    return [{"name": name, "default": float(default or 0)} for name, _, default in pairs]


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


def _upscaler_by_index_or_name(install: Install, value: JsonValue) -> str:
    if isinstance(value, str):
        if not install.has_upscaler(value):
            raise IndexError("list index out of range")
        return value
    # IndexError is the answer.
    return str(install.upscalers[int(_strict_float(value))]["name"])


# --- what GET script-info tells --------------------------------------------------------------------------------------------


def script_info(install: Install) -> list[JsonValue]:
    """Describe the installed scripts with their arguments in order, as far as tables tell them."""
    selectable = object_at(install.facts, "selectable_scripts")
    titles = dict.fromkeys(str(name) for kind in selectable.values() if isinstance(kind, list) for name in kind)
    found: list[JsonValue] = [_info(title, _argument_rows(title), selectable=True) for title in titles]
    always_running = object_at(install.facts, "always_on_scripts")
    return [*found, *(_info(title, _argument_rows(title), selectable=False) for title in always_running)]


def _argument_rows(title: str) -> list[JsonValue]:
    table = load("extensions")
    if title == "sd ultimate upscale":
        return _sdnext_rows()
    if title == "sd upscale":
        return [_named_row(str(row)) for row in array_at(load("a1111"), "scripts", "sd_upscale_builtin", "args_order")]
    if title in {"ultimate sd upscale", "tiled diffusion", "tiled vae"}:
        return array_at(table, title.replace(" ", "_"), "args")
    if title in {"multidiffusion integrated", "never oom integrated"}:
        part = "tiled_diffusion" if title.startswith("multi") else "tiled_vae"
        return [_named_row(str(row)) for row in array_at(table, part, "forge_equivalent", "args_order")]
    units = {"controlnet": 3, "adetailer": 2}.get(title, 0)
    switches = ["ADetailer enabled", "Skip img2img"] if title == "adetailer" else []
    return [_named_row(name) for name in (*switches, *(["Unit"] * units))]


def _named_row(name: str) -> JsonValue:
    return {"name": name, "default": None}


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


def _strict_float(value: JsonValue) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise TypeError(f"unsupported argument: {value!r}"[:80])


def _count(value: JsonValue, usual: int) -> int:
    return value if isinstance(value, int) else usual
