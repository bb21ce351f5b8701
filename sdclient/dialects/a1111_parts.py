"""The parts of a request in A1111's words: hires fix, refiner, LoRA tags, enlarging, ControlNet units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.a1111_names import check_control_model, check_upscaler, spelled_model
from sdclient.dialects.base import FollowUp, Route, ServerFacts
from sdclient.dialects.draft import Draft, check_down_sampling, shown
from sdclient.dialects.facts import latent_modes
from sdclient.dialects.lora_tags import lora_stem
from sdclient.images import encode_base64
from sdclient.schemas.generation import Img2Img, Request, Txt2Img
from sdclient.schemas.parts import ControlNet, HiresFix, Lora

__all__ = [
    "CONTROL_TITLE",
    "PIXEL_UPSCALER",
    "check_controls",
    "control_unit",
    "follow_ups",
    "has_option",
    "named_sides",
    "put_hires",
    "put_loras",
    "put_refiner",
]

PIXEL_UPSCALER = "Lanczos"
"""What enlarges between the passes unless asked otherwise: a plain pixel resize, as other servers do."""
CONTROL_TITLE = "ControlNet"
"""The title of the always-on script, in the extension and in Forge."""

_CONTROL_OPTIONAL = (
    "resize_mode",
    "processor_res",
    "threshold_a",
    "threshold_b",
    "pixel_perfect",
    "hr_option",
    "union_control_type",
)
_EXTRA_SINGLE_IMAGE = Route("POST", "/sdapi/v1/extra-single-image")


def has_option(option: str, facts: ServerFacts) -> bool | None:
    """Tell whether the server has an option; None where nothing of it is known."""
    if facts.options is not None:
        return option in facts.options
    # Key sets name a version and no options: all that are used here are in every version that is spoken.
    return True if facts.version is not None else None


def put_refiner(request: Request, draft: Draft, facts: ServerFacts) -> None:
    """Write the refiner; with a hires fix it must be told to work in both passes."""
    refiner = request.refiner
    if refiner is None:
        return
    model = spelled_model(refiner.model, "refiner.model", draft, facts)
    draft.put("refiner_checkpoint", model, "refiner.model")
    draft.put("refiner_switch_at", refiner.switch_at, "refiner.switch_at")
    if not isinstance(request, Txt2Img) or request.hires is None:
        return
    # An option that an old version does not know would end the request in a 500, so it must be seen first.
    known = has_option("hires_fix_refiner_pass", facts)
    if known:
        draft.override("hires_fix_refiner_pass", "both passes", "refiner")
    elif known is False:
        message = "this version cannot say in which pass of the hires fix the refiner works"
        draft.lose("refiner", "approximated", "note", message)
    else:
        message = "the server's options are not known here: it may run the refiner in the second pass only"
        draft.lose("refiner", "approximated", "note", message)


def put_hires(
    hires: HiresFix,
    request: Txt2Img,
    draft: Draft,
    facts: ServerFacts,
    *,
    steps_key: str = "hr_second_pass_steps",
    latent: Sequence[str] | None = None,
) -> None:
    """Write the hires fix: ``width`` and ``height`` are the first pass there, ``hr_resize_*`` the image.

    Args:
        hires: The hires fix.
        request: The request, for the size of the image.
        draft: The body.
        facts: The server, for its upscalers.
        steps_key: The key of the second pass's steps.
        latent: What is taken beside the names of upscalers; None takes A1111's modes.
    """
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
        check_upscaler(
            hires.upscaler, "hires.upscaler", draft, facts, also=latent_modes() if latent is None else latent
        )
    if hires.steps is not None:
        draft.put(steps_key, hires.steps, "hires.steps")


def named_sides(request: Request) -> Iterator[tuple[str, int]]:
    """Give every side in pixels that a request names, with its field: of the image, and of a hires fix's first pass."""
    hires = request.hires if isinstance(request, Txt2Img) else None
    for name in ("width", "height"):
        side = cast("int | None", getattr(request, name))
        if side is not None:
            yield name, side
        if hires is not None:
            yield f"hires.first_{name}", cast("int", getattr(hires, f"first_{name}"))


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
        message = f"{draft.program} cannot give a LoRA to the {lora.mode} model alone; it is applied to all"
        draft.lose(f"{field}.mode", "approximated", "warning", message)
    stem = lora_stem(lora.model)
    if any(character in stem for character in ":<>"):
        message = f"{draft.program} names a LoRA in the prompt, where {shown(stem)} cannot be written"
        draft.refuse(f"{field}.model", message)
    return f"<lora:{stem}:{lora.weight:g}>"


def check_controls(request: Request, draft: Draft, facts: ServerFacts) -> bool:
    """Tell whether the server takes ControlNet units at all, and refuse those that it would not use."""
    if not request.controls:
        return False
    if facts.scripts is not None and CONTROL_TITLE.casefold() not in facts.scripts:
        draft.refuse("controls", "this server has no ControlNet extension; install it, or leave controls out")
        return False
    room = (facts.options or {}).get("control_net_unit_count", 3)
    if isinstance(room, int) and len(request.controls) > room:
        draft.refuse("controls", f"this server takes {room} ControlNet units, not {len(request.controls)}")
    for number, unit in enumerate(request.controls):
        check_control_model(unit.model, f"controls[{number}].model", draft, facts)
        if unit.image is None and not isinstance(request, Img2Img):
            draft.refuse(f"controls[{number}].image", "txt2img has no init image to steer by; give the unit an image")
    return True


def control_unit(unit: ControlNet, field: str, draft: Draft) -> dict[str, JsonValue]:
    """Return a unit by the extension's keys, its detected map switched off."""
    body: dict[str, JsonValue] = {
        # Off by default in the extension.
        "enabled": True,
        "module": unit.module,
        "model": unit.model,
        "weight": unit.weight,
        "guidance_start": unit.guidance_start,
        "guidance_end": unit.guidance_end,
        "control_mode": unit.control_mode,
        # Unverified [map-of-no-module]: even without a preprocessor.
        # Else the detected map comes back among the images.
        "save_detected_map": False,
    }
    for name in _CONTROL_OPTIONAL:
        value = cast("JsonValue", getattr(unit, name))
        if value is not None:
            body[name] = value
    if unit.image is not None:
        body["image"] = encode_base64(unit.image)
    if unit.mask is not None:
        body["mask"] = encode_base64(unit.mask)
    if unit.module == "tile_resample" and unit.threshold_a is not None:
        # Out of range, the extension would take its default instead, without a word.
        check_down_sampling(unit.threshold_a, field, draft)
    return body
