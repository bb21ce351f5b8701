"""The parts of a request in A1111's words: hires fix, refiner, LoRA tags, ControlNet units, tiling scripts."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.a1111_names import check_control_model, check_model, check_upscaler
from sdclient.dialects.base import FollowUp, Route, ServerFacts
from sdclient.dialects.draft import Draft, check_down_sampling, shown
from sdclient.dialects.facts import ScriptName, latent_modes, script_args, script_title
from sdclient.images import encode_base64
from sdclient.schemas.generation import Img2Img, Request, Txt2Img
from sdclient.schemas.parts import ControlNet, HiresFix, Lora, Tiles

__all__ = ["follow_ups", "override", "put_controls", "put_hires", "put_loras", "put_refiner", "put_tiled"]

PIXEL_UPSCALER = "Lanczos"
"""What enlarges between the passes unless asked otherwise: a plain pixel resize, as other servers do."""

_LATENT_PX = 8
_CONTROL_TITLE = "ControlNet"
_CONTROL_OPTIONAL = ("resize_mode", "processor_res", "threshold_a", "threshold_b", "pixel_perfect", "hr_option")
_EXTRA_SINGLE_IMAGE = Route("POST", "/sdapi/v1/extra-single-image")


def put_refiner(request: Request, draft: Draft, facts: ServerFacts) -> None:
    """Write the refiner; with a hires fix it must be told to work in both passes."""
    refiner = request.refiner
    if refiner is None:
        return
    draft.put("refiner_checkpoint", refiner.model, "refiner.model")
    draft.put("refiner_switch_at", refiner.switch_at, "refiner.switch_at")
    check_model(refiner.model, "refiner.model", draft, facts)
    if not isinstance(request, Txt2Img) or request.hires is None:
        return
    # An option that an old version does not know would end the request in a 500, so it must be seen first.
    if facts.options is not None and "hires_fix_refiner_pass" in facts.options:
        override(draft, "hires_fix_refiner_pass", "both passes", "refiner")
    elif facts.options is not None:
        message = "this version cannot say in which pass of the hires fix the refiner works"
        draft.lose("refiner", "approximated", "note", message)
    else:
        message = "the server's options are not known here: it may run the refiner in the second pass only"
        draft.lose("refiner", "approximated", "note", message)


def put_hires(hires: HiresFix, request: Txt2Img, draft: Draft, facts: ServerFacts) -> None:
    """Write the hires fix: ``width`` and ``height`` are the first pass there, ``hr_resize_*`` the image."""
    if request.width is None or request.height is None:
        draft.refuse("hires", "the size of the image is not known; set width and height")
        return
    draft.put("enable_hr", value=True, field="hires")
    draft.put("width", hires.first_width, "hires.first_width")
    draft.put("height", hires.first_height, "hires.first_height")
    draft.put("hr_resize_x", request.width, "width")
    draft.put("hr_resize_y", request.height, "height")
    draft.put("denoising_strength", hires.strength, "hires.strength")
    if hires.upscaler is None:
        draft.values["hr_upscaler"] = PIXEL_UPSCALER
    else:
        draft.put("hr_upscaler", hires.upscaler, "hires.upscaler")
        check_upscaler(hires.upscaler, "hires.upscaler", draft, facts, also=latent_modes())
    if hires.steps is not None:
        draft.put("hr_second_pass_steps", hires.steps, "hires.steps")


def follow_ups(request: Request, draft: Draft, facts: ServerFacts) -> tuple[FollowUp, ...]:
    """Return the call that enlarges each finished image."""
    enlarge = request.enlarge
    if enlarge is None:
        return ()
    check_upscaler(enlarge.model, "enlarge.model", draft, facts)
    body: dict[str, JsonValue] = {
        "resize_mode": 0,
        "upscaling_resize": enlarge.scale,
        "upscaler_1": enlarge.model,
    }
    return (FollowUp("enlarge", _EXTRA_SINGLE_IMAGE, body, image_key="image", reply_key="image", scale=enlarge.scale),)


def put_loras(request: Request, draft: Draft) -> None:
    """Write the LoRAs as tags behind the prompt, the only place A1111 has for them."""
    if not request.loras:
        return
    tags = [_lora_tag(lora, f"loras[{number}]", draft) for number, lora in enumerate(request.loras)]
    words = [request.prompt, *tags] if request.prompt else tags
    draft.put("prompt", " ".join(words), "loras")


def _lora_tag(lora: Lora, field: str, draft: Draft) -> str:
    if lora.mode != "all":
        message = f"A1111 cannot give a LoRA to the {lora.mode} model alone; it is applied to all"
        draft.lose(f"{field}.mode", "approximated", "warning", message)
    name = PurePosixPath(lora.model.replace("\\", "/")).name
    stem = name.removesuffix(".safetensors").removesuffix(".pt").removesuffix(".ckpt")
    if any(character in stem for character in ":<>"):
        draft.refuse(f"{field}.model", f"A1111 names a LoRA in the prompt, where {shown(stem)} cannot be written")
    return f"<lora:{stem}:{lora.weight:g}>"


def put_controls(request: Request, draft: Draft, facts: ServerFacts) -> None:
    """Write the ControlNet units, their detected maps switched off."""
    if not request.controls:
        return
    if facts.scripts is not None and _CONTROL_TITLE.casefold() not in facts.scripts:
        draft.refuse("controls", "this server has no ControlNet extension; install it, or leave controls out")
        return
    room = (facts.options or {}).get("control_net_unit_count", 3)
    if isinstance(room, int) and len(request.controls) > room:
        draft.refuse("controls", f"this server takes {room} ControlNet units, not {len(request.controls)}")
    units: list[JsonValue] = [_unit(unit, f"controls[{n}]", draft) for n, unit in enumerate(request.controls)]
    for number, unit in enumerate(request.controls):
        check_control_model(unit.model, f"controls[{number}].model", draft, facts)
        if unit.image is None and not isinstance(request, Img2Img):
            draft.refuse(f"controls[{number}].image", "txt2img has no init image to steer by; give the unit an image")
    add_script(draft, _CONTROL_TITLE, units, "controls")


def _unit(unit: ControlNet, field: str, draft: Draft) -> JsonValue:
    body: dict[str, JsonValue] = {
        # Off by default in the extension.
        "enabled": True,
        "module": unit.module,
        "model": unit.model,
        "weight": unit.weight,
        "guidance_start": unit.guidance_start,
        "guidance_end": unit.guidance_end,
        "control_mode": unit.control_mode,
        # Else the detected map comes back among the images.
        "save_detected_map": False,
    }
    for name in _CONTROL_OPTIONAL:
        value = cast("JsonValue", getattr(unit, name))
        if value is not None:
            body[name] = value
    if unit.image is not None:
        body["image"] = encode_base64(unit.image)
    if unit.module == "tile_resample" and unit.threshold_a is not None:
        # Out of range, the extension would take its default instead, without a word.
        check_down_sampling(unit.threshold_a, field, draft)
    return body


def put_tiled(request: Request, draft: Draft, facts: ServerFacts) -> None:
    """Write tiled diffusion and the tiled VAE as the always-on scripts of one extension."""
    tiled = request.tiled
    if tiled is None:
        return
    if tiled.diffusion is not None and _has_script("tiled_diffusion", "tiled.diffusion", draft, facts):
        args = _diffusion_args(tiled.diffusion, is_img2img=isinstance(request, Img2Img), draft=draft)
        add_script(draft, script_title("tiled_diffusion"), args, "tiled.diffusion")
    if tiled.vae is not None and _has_script("tiled_vae", "tiled.vae", draft, facts):
        add_script(draft, script_title("tiled_vae"), _vae_args(tiled.vae, draft), "tiled.vae")


def _has_script(name: ScriptName, field: str, draft: Draft, facts: ServerFacts) -> bool:
    title = script_title(name)
    if facts.scripts is not None and title.casefold() not in facts.scripts:
        # Naming a script that is not installed would end the whole request in a 422.
        draft.drop(field, f"this server has no {title} extension; it works without tiles, and may run out of memory")
        return False
    return True


def _diffusion_args(tiles: Tiles, *, is_img2img: bool, draft: Draft) -> list[JsonValue]:
    args = dict(script_args("tiled_diffusion"))
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


def _vae_args(tiles: Tiles, draft: Draft) -> list[JsonValue]:
    if tiles.width != tiles.height:
        message = f"the tiled VAE has square tiles: {tiles.width} pixels both ways"
        draft.lose("tiled.vae.height", "approximated", "note", message)
    if "overlap" in tiles.model_fields_set:
        draft.drop("tiled.vae.overlap", "the tiled VAE chooses the overlap by itself", "note")
    args = dict(script_args("tiled_vae"))
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


def add_script(draft: Draft, title: str, args: list[JsonValue], field: str) -> None:
    """Add an always-on script with its arguments."""
    scripts = cast("dict[str, JsonValue]", draft.values.setdefault("alwayson_scripts", {}))
    scripts[title] = {"args": args}
    draft.asked[f"alwayson_scripts.{title.casefold()}"] = field


def override(draft: Draft, option: str, value: JsonValue, field: str) -> None:
    """Set a server option for this request alone."""
    options = cast("dict[str, JsonValue]", draft.values.setdefault("override_settings", {}))
    options[option] = value
    draft.asked[f"override_settings.{option}"] = field
