"""The labels that scripts and extensions leave in a reply: which of them really ran, and with what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from sdclient.client.result import Change
from sdclient.dialects.base import Compiled
from sdclient.dialects.facts import fact_table, object_of
from sdclient.dialects.tables import script
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.schemas.parts import Tiles

_LATENT_PX = 8
_TILE_BOUNDS = (16, 256)


def told_by_scripts(request: Txt2Img | Img2Img, compiled: Compiled, labels: Mapping[str, JsonValue]) -> list[Change]:
    """Return what the labels say of every script that was sent and always leaves some, right or wrong.

    A server swallows the errors of an always-on script, and names others by their place in a list; the labels are
    all that tells.

    Args:
        request: The request, overlays merged.
        compiled: What was sent.
        labels: What the reply tells, by name.
    """
    sent = compiled.call.body.get("alwayson_scripts")
    titles = {title.casefold() for title in sent} if isinstance(sent, dict) else set[str]()
    found: list[Change] = []
    if "adetailer" in titles:
        found += _detected(request, compiled, labels)
    tiles = request.tiled.diffusion if request.tiled is not None else None
    if tiles is not None and "tiled diffusion" in titles and _has_more_tiles(tiles, compiled):
        found += _tiled(tiles, labels)
    if tiles is not None and "multidiffusion integrated" in titles:
        found += _integrated(tiles, labels)
    if isinstance(request, Img2Img) and compiled.call.body.get("script_name"):
        # What SD.Next's copy writes is not known, so its silence says nothing.
        title = compiled.call.body["script_name"]
        found += _enlarged(request, labels, is_always_told=title != script("sdnext_ultimate_upscale").title)
    return found


def sent_units(title: str, compiled: Compiled) -> list[Mapping[str, JsonValue]]:
    """Return the units of an always-on script as they were sent; none where it was not."""
    sent = compiled.call.body.get("alwayson_scripts")
    scripts = sent.items() if isinstance(sent, dict) else ()
    part = next((value for name, value in scripts if name.casefold() == title.casefold()), None)
    args = part.get("args") if isinstance(part, dict) else None
    return [unit for unit in args if isinstance(unit, dict)] if isinstance(args, list) else []


def _detected(request: Txt2Img | Img2Img, compiled: Compiled, labels: Mapping[str, JsonValue]) -> list[Change]:
    """Look for every detector: the extension leaves a unit that it does not understand out, and runs the others."""
    asked = [unit.model for unit in request.adetailer]
    # Those of native keys have no field of their own.
    asked = asked or [str(unit.get("ad_model", "None")) for unit in sent_units("ADetailer", compiled)]
    units = [(number, model) for number, model in enumerate(asked) if model.casefold() != "none"]
    if not _is_labelled("ADetailer", labels):
        return [Change("adetailer", ", ".join(model for _, model in units), None)] if units else []
    ran = [value for name, value in labels.items() if name.startswith("ADetailer model")]
    return [Change(f"adetailer[{number}]", model, None) for number, model in units if ran and model not in ran]


def _enlarged(request: Img2Img, labels: Mapping[str, JsonValue], *, is_always_told: bool) -> list[Change]:
    ultimate, builtin = request.ultimate_upscale, request.sd_upscale
    if ultimate is not None:
        field, name = "ultimate_upscale", "ultimate_sd_upscale"
        asked: dict[str, JsonValue] = {
            "upscaler_index": ultimate.upscaler,
            "tile_width": ultimate.tile_width,
            "tile_height": ultimate.tile_height or ultimate.tile_width,
            "mask_blur": ultimate.mask_blur,
            "padding": ultimate.padding,
        }
    elif builtin is not None:
        field, name = "sd_upscale", "sd_upscale"
        asked = {"upscaler_index": builtin.upscaler, "overlap": builtin.overlap}
    else:
        return []
    told = _labelled(name, labels)
    if told is None:
        return [Change(field, asked["upscaler_index"], None)] if is_always_told else []
    names = {"upscaler_index": "upscaler"}
    return [Change(f"{field}.{names.get(key, key)}", asked[key], told[key]) for key in asked if key in told]


def _integrated(tiles: Tiles, labels: Mapping[str, JsonValue]) -> list[Change]:
    told = _labelled("forge_tiled_diffusion", labels)
    if told is None:
        return [Change("tiled.diffusion", f"{tiles.width}x{tiles.height}", None)]
    asked = {"tile_width": tiles.width, "tile_height": tiles.height, "tile_overlap": tiles.overlap}
    return [
        Change(f"tiled.diffusion.{key.removeprefix('tile_')}", asked[key], told[key]) for key in asked if key in told
    ]


def _tiled(tiles: Tiles, labels: Mapping[str, JsonValue]) -> list[Change]:
    """Compare the tiles of A1111's extension, which counts in latent units and tells of itself in an object."""
    whole = next((value for name, value in labels.items() if name.startswith("Tiled Diffusion")), None)
    if whole is None:
        return [Change("tiled.diffusion", f"{tiles.width}x{tiles.height}", None)]
    told = _object(whole)
    known = object_of(object_of(fact_table("labels"), "tiled_diffusion"), "labels")
    found: list[Change] = []
    for side, pixels in (("width", tiles.width), ("height", tiles.height)):
        names = cast("list[str]", known[f"tile_{side}"])
        applied = next((told[name] for name in names if name in told), None)
        if isinstance(applied, int) and not isinstance(applied, bool) and applied != _latent(pixels):
            found.append(Change(f"tiled.diffusion.{side}", pixels, applied * _LATENT_PX))
    return found


def _labelled(name: str, labels: Mapping[str, JsonValue]) -> dict[str, JsonValue] | None:
    """Return what a script tells of its arguments, by their names; None where it left no label at all."""
    table = object_of(fact_table("labels"), name)
    if not _is_labelled(str(table["begins"]), labels):
        return None
    known = object_of(table, "labels")
    return {key: labels[str(label)] for key, label in known.items() if str(label) in labels}


def _is_labelled(start: str, labels: Mapping[str, JsonValue]) -> bool:
    return any(name.startswith(start) for name in labels)


def _object(value: JsonValue) -> Mapping[str, JsonValue]:
    if isinstance(value, str):
        try:
            value = cast("JsonValue", json.loads(value))
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _latent(pixels: int) -> int:
    low, high = _TILE_BOUNDS
    return min(max(pixels // _LATENT_PX, low), high)


def _has_more_tiles(tiles: Tiles, compiled: Compiled) -> bool:
    """Tell whether an image is larger than a tile for certain: with a single one the script switches itself off."""
    body = compiled.call.body
    if body.get("script_name"):
        return False
    pairs = ((body.get("width"), tiles.width), (body.get("height"), tiles.height))
    return any(isinstance(side, int) and side // _LATENT_PX > _latent(tile) for side, tile in pairs)
