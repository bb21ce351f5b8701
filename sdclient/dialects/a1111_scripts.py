"""The scripts of A1111's family: tiles, faces redrawn, and enlarging by redrawing; their arguments go by position."""

from __future__ import annotations

import math
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.a1111_names import check_control_model, check_native_choice, listed, spelled_model
from sdclient.dialects.base import Expected, ServerFacts
from sdclient.dialects.draft import Draft, shown
from sdclient.dialects.facts import close_names, few_names
from sdclient.dialects.initsize import init_size
from sdclient.dialects.samplers import schedule_label
from sdclient.dialects.tables import Script, script
from sdclient.schemas.generation import Img2Img, Request
from sdclient.schemas.parts import Tiled, Tiles
from sdclient.schemas.scripts import ADetailer, SDUpscale, UltimateUpscale

__all__ = [
    "ADETAILER_TITLE",
    "has_script",
    "put_adetailer",
    "put_sd_upscale",
    "put_tiled",
    "put_ultimate_upscale",
    "script_expected",
]

ADETAILER_TITLE = "ADetailer"
"""The title of the always-on script."""

_LATENT_PX = 8
_SIZE_STEP_PX = 64
_MAX_DETECTORS = 2
# A field of ADetailer's unit -> the switch without which the extension would not look at it.
_SWITCHES = {
    "inpaint_width": "ad_use_inpaint_width_height",
    "steps": "ad_use_steps",
    "cfg_scale": "ad_use_cfg_scale",
    "checkpoint": "ad_use_checkpoint",
    "vae": "ad_use_vae",
    "sampler": "ad_use_sampler",
    "noise_multiplier": "ad_use_noise_multiplier",
    "clip_skip": "ad_use_clip_skip",
}
_SAME = ("use same", "none")
_PASSTHROUGH = "passthrough"
_REDRAW = ("Linear", "Chess", "None")
_SEAMS = ("None", "Band pass", "Half tile offset pass", "Half tile offset pass + intersections")
_BY_REQUEST, _BY_SCALE = 0, 2


def has_script(title: str, facts: ServerFacts) -> bool:
    """Tell whether a script is installed, as far as is known."""
    return facts.scripts is None or title.casefold() in facts.scripts


def put_tiled(tiled: Tiled, request: Request, draft: Draft, facts: ServerFacts) -> None:
    """Write tiled diffusion and the tiled VAE as the always-on scripts of one extension."""
    for field, tiles, part in (
        ("tiled.diffusion", tiled.diffusion, script("tiled_diffusion")),
        ("tiled.vae", tiled.vae, script("tiled_vae")),
    ):
        if tiles is None:
            continue
        if not has_script(part.title, facts):
            # Naming a script that is not installed would end the whole request in a 422.
            message = f"this server has no {part.title} extension; it works without tiles, and may run out of memory"
            draft.drop(field, message)
        elif field == "tiled.vae":
            draft.add_script(part.title, _vae_args(tiles, part, draft), field)
        else:
            args = _diffusion_args(tiles, part, is_img2img=isinstance(request, Img2Img), draft=draft)
            draft.add_script(part.title, args, field)


def _diffusion_args(tiles: Tiles, part: Script, *, is_img2img: bool, draft: Draft) -> list[JsonValue]:
    args = dict(part.defaults)
    args |= {
        "enabled": True,
        "method": "Mixture of Diffusers" if is_img2img else "MultiDiffusion",
        # Else the canvas takes the init image's size whatever width and height say.
        "keep_input_size": False,
        "tile_width": _latent(tiles.width, "tiled.diffusion.width", draft, (16, 256)),
        "tile_height": _latent(tiles.height, "tiled.diffusion.height", draft, (16, 256)),
        "overlap": _latent(tiles.overlap, "tiled.diffusion.overlap", draft, (0, 256)),
    }
    return list(args.values())


def _vae_args(tiles: Tiles, part: Script, draft: Draft) -> list[JsonValue]:
    if tiles.width != tiles.height:
        message = f"the tiled VAE has square tiles: {tiles.width} pixels both ways"
        draft.lose("tiled.vae.height", "approximated", "note", message)
    if "overlap" in tiles.model_fields_set:
        draft.drop("tiled.vae.overlap", "the tiled VAE chooses the overlap by itself", "note")
    args = dict(part.defaults)
    args |= {
        "enabled": True,
        # The encoder's tile counts in pixels, the decoder's in latent units.
        "encoder_tile_size": max(256, tiles.width),
        "decoder_tile_size": _latent(tiles.width, "tiled.vae.width", draft, (48, 512)),
    }
    return list(args.values())


def _latent(pixels: int, field: str, draft: Draft, bounds: tuple[int, int]) -> int:
    """Return pixels in latent units, within the extension's bounds."""
    units = min(max(pixels // _LATENT_PX, bounds[0]), bounds[1])
    if units * _LATENT_PX != pixels:
        message = f"the extension works with {units * _LATENT_PX} pixels instead of {pixels}"
        draft.lose(field, "approximated", "note", message)
    return units


def put_adetailer(request: Request, draft: Draft, facts: ServerFacts) -> None:
    """Write the detectors, with both switches before them: else each unit would land in the slot of another."""
    if not request.adetailer:
        return
    if not has_script(ADETAILER_TITLE, facts):
        draft.drop("adetailer", "this server has no ADetailer extension; faces stay as they were drawn")
        return
    room = (facts.options or {}).get("ad_max_models", _MAX_DETECTORS)
    if isinstance(room, int) and len(request.adetailer) > room:
        # The rest would be cut off without a word.
        draft.refuse("adetailer", f"this server takes {room} detectors, not {len(request.adetailer)}")
    units: list[JsonValue] = [
        _detector(unit, f"adetailer[{n}]", draft, facts) for n, unit in enumerate(request.adetailer)
    ]
    # Unverified [adetailer-switches]: without the switches units may slip a place; they are always there.
    draft.add_script(ADETAILER_TITLE, [True, False, *units], "adetailer")


def _detector(unit: ADetailer, field: str, draft: Draft, facts: ServerFacts) -> JsonValue:
    given = {name: cast("JsonValue", getattr(unit, name)) for name in unit.model_fields_set}
    given = {name: value for name, value in given.items() if value is not None}
    body: dict[str, JsonValue] = {}
    for name in type(unit).model_fields:
        if name in given:
            if name in _SWITCHES:
                body[_SWITCHES[name]] = True
            body[f"ad_{name}"] = given[name]
    if "scheduler" in given and "sampler" not in given:
        draft.drop(f"{field}.scheduler", "ADetailer looks at the schedule only where a sampler is named, too")
    elif unit.sampler is not None and unit.scheduler is not None and facts.schedulers == ():
        # Versions before 1.9 have one label for both.
        fused = listed(f"{unit.sampler} {schedule_label(unit.scheduler)}", facts.samplers)
        if fused is not None:
            body["ad_sampler"] = fused
            del body["ad_scheduler"]
            unit = unit.replace(sampler=fused, scheduler=None)
    _check_names(unit, field, draft, facts)
    return body


def _check_names(unit: ADetailer, field: str, draft: Draft, facts: ServerFacts) -> None:
    """Refuse names that are not installed: the pass over the finds would take others, or fail and leave the image."""
    # Detectors are in no list of the server's.
    if unit.checkpoint is not None and not unit.checkpoint.casefold().startswith(_SAME):
        spelled_model(unit.checkpoint, f"{field}.checkpoint", draft, facts)
    for name, value in (("sampler_name", unit.sampler), ("scheduler", unit.scheduler)):
        if value is not None and unit.sampler is not None:
            check_native_choice(name, value, f"{field}.{name.removesuffix('_name')}", draft, facts)
    if unit.controlnet_model is not None and unit.controlnet_model.casefold() != _PASSTHROUGH:
        check_control_model(unit.controlnet_model, f"{field}.controlnet_model", draft, facts)


def put_ultimate_upscale(
    part: UltimateUpscale, known: Script, request: Img2Img, draft: Draft, facts: ServerFacts
) -> None:
    """Write Ultimate SD upscale with all its arguments: one too few would shift those of every other script."""
    if not _can_run(known.title, "ultimate_upscale", request, draft, facts):
        return
    index = _upscaler_index(part.upscaler, draft, facts)
    args = dict(known.defaults)
    wanted: dict[str, JsonValue] = {
        "tile_width": part.tile_width,
        "tile_height": part.tile_height,
        "mask_blur": part.mask_blur,
        "padding": part.padding,
        "seams_fix_width": part.seams_width,
        "seams_fix_denoise": part.seams_strength,
        "seams_fix_padding": part.seams_padding,
        "seams_fix_mask_blur": part.seams_mask_blur,
        "seams_fix_type": _SEAMS.index(part.seams),
        "upscaler_index": index,
        "redraw_mode": _REDRAW.index(part.redraw),
        "target_size_type": _BY_REQUEST if part.scale is None else _BY_SCALE,
        "custom_scale": args["custom_scale"] if part.scale is None else part.scale,
        # Copies on the server's disk that nobody asked for.
        "save_upscaled_image": False,
        "save_seams_fix_image": False,
    }
    args |= {name: value for name, value in wanted.items() if name in args}
    draft.put("script_name", known.title, "ultimate_upscale")
    draft.put("script_args", list(args.values()), "ultimate_upscale")


def put_sd_upscale(part: SDUpscale, request: Img2Img, draft: Draft, facts: ServerFacts) -> None:
    """Write A1111's own upscale script."""
    known = script("sd_upscale")
    if not _can_run(known.title, "sd_upscale", request, draft, facts):
        return
    if facts.upscalers is not None and part.upscaler not in facts.upscalers:
        message = f"this server has no upscaler {shown(part.upscaler)}{close_names(part.upscaler, facts.upscalers)}"
        draft.refuse("sd_upscale.upscaler", message)
    wanted: dict[str, JsonValue] = {
        "overlap": part.overlap,
        "upscaler_index": part.upscaler,
        "scale_factor": part.scale,
    }
    args = {**known.defaults, **wanted}
    draft.put("script_name", known.title, "sd_upscale")
    draft.put("script_args", list(args.values()), "sd_upscale")


def _can_run(title: str, field: str, request: Img2Img, draft: Draft, facts: ServerFacts) -> bool:
    if not has_script(title, facts):
        message = f"this server has no script {title}, and the image would not be enlarged; install it, or use enlarge"
        draft.refuse(field, message)
        return False
    if request.image_count > 1:
        draft.refuse(field, f"{title} makes one image a call, not {request.image_count}")
    return True


def _upscaler_index(name: str, draft: Draft, facts: ServerFacts) -> int:
    """Return an upscaler's place in the server's list, which is how the script names it."""
    if facts.upscalers is None:
        # The first three places are the same everywhere.
        first = ("None", "Lanczos", "Nearest")
        if name in first:
            return first.index(name)
        message = f"the script names {shown(name)} by its place in the server's list, which is not known here"
        draft.refuse("ultimate_upscale.upscaler", message)
        return 0
    if name not in facts.upscalers:
        hint = close_names(name, facts.upscalers) or f"; it has {few_names(facts.upscalers)}"
        draft.refuse("ultimate_upscale.upscaler", f"this server has no upscaler {shown(name)}{hint}")
        return 0
    return facts.upscalers.index(name)


def script_expected(request: Img2Img) -> Expected:
    """Return what a script that enlarges by redrawing gives back."""
    part = request.ultimate_upscale
    if part is None:
        # What the built-in script makes of sizes is not told.
        return Expected()
    if part.scale is None:
        return Expected(images=1, size=request.size)
    if request.init_image is None:
        return Expected(images=1)
    width, height = (
        math.ceil(round(side * part.scale, 6) / _SIZE_STEP_PX) * _SIZE_STEP_PX for side in init_size(request.init_image)
    )
    return Expected(images=1, size=(width, height))
