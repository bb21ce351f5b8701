"""A1111's answers taken apart: grid, images and maps told from each other, and ``info`` read leniently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.base import Compiled, ReadReply
from sdclient.dialects.replies import reply_images, reply_object
from sdclient.dialects.tables import ScriptName, script

__all__ = ["BETWEEN_IMAGES", "masks_behind", "read_generation"]

BETWEEN_IMAGES = ("return_mask", "return_mask_composite")
"""Options of a server that put a mask behind every image of a reply, where the next image is looked for."""

# Settings that `info` names as we do.
_SAME = ("steps", "cfg_scale", "sampler_name", "seed", "subseed", "width", "height", "denoising_strength", "clip_skip")
# Ultimate SD upscale's numbers for a pass that is left out.
_NO_REDRAW, _NO_SEAMS = 2, 0
INFO_MAX = 16 * 1024 * 1024
"""Characters of ``info`` that are read; more is not what any server writes."""


def read_generation(body: object, compiled: Compiled) -> ReadReply:
    """Take a decoded success reply apart.

    Args:
        body: The reply.
        compiled: What was sent, to know how many images there should be.

    Raises:
        BadReplyError: If there are no images, or the shape is wrong.
    """
    images = reply_images(body)
    info = _info(reply_object(body).get("info"))
    seeds = _ints(info.get("all_seeds"))
    first = info.get("index_of_first_image")
    # A grid comes first, and only with at least one image behind it.
    total = len(images)
    has_grid = type(first) is int and first == 1 and total > 1
    rest = images[1:] if has_grid else images
    count = _count(len(seeds), len(rest), compiled)
    if len(rest) >= (passes := _passes(compiled)) > 1:
        # Ultimate SD upscale gives the image before its seams were repaired, too; maps come behind both.
        maps = rest[: passes - 1] + rest[passes:]
        return ReadReply(
            images=rest[passes - 1 : passes], maps=maps, seeds=seeds[:1], info=info, applied=_applied(info)
        )
    infotexts = _texts(info.get("infotexts"))
    behind = masks_behind(compiled)
    made = rest[:: 1 + behind][:count]
    # With a grid, the first infotext may be the grid's.
    if has_grid and len(infotexts) > len(made):
        infotexts = infotexts[1:]
    return ReadReply(
        images=made,
        maps=tuple(one for at, one in enumerate(rest) if at % (1 + behind) or at >= count * (1 + behind)),
        grid=images[0] if has_grid else None,
        seeds=seeds[: len(rest)],
        infotexts=infotexts[: len(made)],
        info=info,
        applied=_applied(info),
    )


def masks_behind(compiled: Compiled) -> int:
    """Return how many images follow each image since options ask for them: its mask, and what was painted of it."""
    body = compiled.call.body
    options = body.get("override_settings")
    if not body.get("mask") or body.get("script_name") or not isinstance(options, dict):
        return 0
    return sum(options.get(name) is True for name in BETWEEN_IMAGES)


def _count(seeds: int, images: int, compiled: Compiled) -> int:
    # A script's own list of images has nothing to do with the seeds of the calls it made.
    if compiled.call.body.get("script_name"):
        return compiled.expected.images or images
    return seeds or compiled.expected.images or images


def _passes(compiled: Compiled) -> int:
    """Return how many images a script that enlarges by redrawing gives of one: each of its passes gives one."""
    title, args = compiled.call.body.get("script_name"), compiled.call.body.get("script_args")
    names: tuple[ScriptName, ...] = ("ultimate_upscale", "sdnext_ultimate_upscale")
    known = next((one for one in map(script, names) if one.title == title), None)
    if compiled.expected.images != 1 or known is None or not isinstance(args, list):
        return 1
    given = dict(zip(known.args, args, strict=False))
    return (given.get("redraw_mode") != _NO_REDRAW) + (given.get("seams_fix_type") != _NO_SEAMS)


def _info(value: object) -> Mapping[str, JsonValue]:
    """Return ``info``: a JSON document inside a string, an empty text, or nothing."""
    if isinstance(value, str) and len(value) <= INFO_MAX:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return cast("dict[str, JsonValue]", value) if isinstance(value, dict) else {}


def _applied(info: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    applied = {name: info[name] for name in _SAME if isinstance(info.get(name), int | float | str)}
    extra = info.get("extra_generation_params")
    labels = extra if isinstance(extra, dict) else {}
    found = {
        "model": info.get("sd_model_name"),
        "vae": info.get("sd_vae_name"),
        "scheduler": labels.get("Schedule type"),
        "refiner": labels.get("Refiner"),
        "switch_at": labels.get("Refiner switch at"),
        "hires_upscaler": labels.get("Hires upscaler"),
    }
    return applied | {name: value for name, value in found.items() if isinstance(value, str | int | float)}


def _ints(value: JsonValue) -> tuple[int, ...]:
    """Return a list of whole numbers; empty where it is anything else."""
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        return ()
    return tuple(cast("list[int]", value))


def _texts(value: JsonValue) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return ()
    return tuple(cast("list[str]", value))
