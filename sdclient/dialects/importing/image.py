"""An image's own words made into a request: the ``parameters`` text, or what Draw Things writes."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.importing.door import import_payload
from sdclient.dialects.importing.fitting import fitting_request
from sdclient.dialects.importing.result import Imported
from sdclient.dialects.importing.units import take_parts
from sdclient.dialects.lora_tags import LoraTag, lora_tags, take_tags
from sdclient.dialects.samplers import split_native, split_sampler
from sdclient.dialects.tables import small_samplers, small_schedulers
from sdclient.errors import PayloadError
from sdclient.infotext import MAX_INFOTEXT_BYTES, Infotext, has_long_infotext, parse_infotext, read_infotext
from sdclient.schemas.generation import Img2Img, Txt2Img
from sdclient.schemas.parts import Lora

__all__ = ["import_image", "import_infotext", "import_settings"]

_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
# XMP of Draw Things: the comment holds JSON, with quotes written as entities or not.
_XMP_COMMENT = re.compile(rb"<exif:UserComment>(.{0,1048576}?)</exif:UserComment>", re.DOTALL)
_MODULE = re.compile(r"Module [0-9]{1,3}")
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)
_LARGEST_SCALE = 10_000.0

_WORDS: Mapping[str, str] = {
    "Model": "model",
    "VAE": "vae",
}
# How a mask was used, by A1111's words for it.
_MASK_WORDS: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "Inpaint area": {"only masked": {"inpaint_full_res": True}, "whole picture": {"inpaint_full_res": False}},
    "Mask mode": {
        "inpaint not masked": {"inpainting_mask_invert": True},
        "inpaint masked": {"inpainting_mask_invert": False},
    },
    "Masked content": {
        name: {"inpainting_fill": number}
        for number, name in enumerate(("fill", "original", "latent noise", "latent nothing"))
    },
}
# Programs for which sdclient writes the text, and to which a LoRA's tag in a prompt is words.
_WORDS_ONLY = re.compile(r"(KoboldCpp|Draw Things) via sdclient\b")
_LEFT_OPEN = "default"
_SWITCHED = {"true": True, "false": False}
_INTS: Mapping[str, str] = {
    "Steps": "steps",
    "Seed": "seed",
    "Variation seed": "subseed",
    "Clip skip": "clip_skip",
    "Mask blur": "mask_blur",
}
_FLOATS: Mapping[str, str] = {
    "CFG scale": "cfg_scale",
    "Distilled CFG Scale": "distilled_cfg_scale",
    "Variation seed strength": "subseed_strength",
    "Eta": "eta",
    "Shift": "shift",
}
# The labels that tell of a field; of several the first one in the text.
_LABELS: Mapping[str, tuple[str, ...]] = {
    **{field: (label,) for label, field in {**_WORDS, **_INTS, **_FLOATS}.items()},
    "sampler_name": ("Sampler",),
    "scheduler": ("Schedule type", "Sampler"),
    "width": ("Size",),
    "height": ("Size",),
    "denoising_strength": ("Denoising strength",),
    "inpaint_full_res_padding": ("Masked area padding",),
    "refiner": ("Refiner",),
    "refiner.switch_at": ("Refiner switch at",),
    "enlarge": ("Upscaler", "Postprocess upscaler"),
    "enlarge.scale": ("Upscale factor", "Postprocess upscale by"),
    "hires": ("Hires upscale", "Hires resize", "Hires first pass"),
    "hires.strength": ("Hires strength", "Denoising strength"),
    "hires.upscaler": ("Hires upscaler",),
    "hires.steps": ("Hires steps",),
}
# Settings that say who drew it, or repeat others.
_TELLING = frozenset(
    {
        *("Version", "Model hash", "VAE hash", "Lora hashes", "TI hashes", "Hashes", "Hires first pass", "Sampler"),
        *("Size", "Schedule type", "User", "Created Date"),
    }
)

UNWRITTEN = ("LoRAs", "hires fix")
"""Parts of an image that stable-diffusion.cpp does not write into it."""


def import_image(data: bytes, *, what: str = "image") -> Imported:
    """Make a request out of what an image file says of itself.

    Args:
        data: The file.
        what: What to call it in an error.

    Raises:
        PayloadError: If it says nothing, or too much to be read.
    """
    text = read_infotext(data)
    if text is not None:
        if text.lstrip().startswith("{") and (found := _object(text)) is not None:
            return import_payload(found)
        return import_infotext(text)
    found = _drawthings_object(data)
    if found is not None:
        return import_payload(found, form="drawthings-image")
    if has_long_infotext(data):
        limit_mib = MAX_INFOTEXT_BYTES // 1024**2
        raise PayloadError(f"{what}: its `parameters` text is too large to be read: more than {limit_mib} MiB")
    raise PayloadError(f"{what}: holds no settings: no `parameters` text, and nothing of Draw Things")


def import_infotext(text: str) -> Imported:
    """Make a request out of a ``parameters`` text; what it tells of most extensions, and what no request takes, stays out.

    Raises:
        PayloadError: If its prompt is none that a request takes.
    """
    return import_settings(parse_infotext(text))


def import_settings(info: Infotext) -> Imported:
    """Make a request out of a ``parameters`` text that was parsed; see `import_infotext`."""
    prompt, loras = _without_loras(info)
    fields: dict[str, object] = {"prompt": prompt, "negative_prompt": info.negative_prompt}
    fields |= {field: info.fields[label] for label, field in _WORDS.items() if info.fields.get(label)}
    fields |= _numbers(_INTS, info.get_int) | _numbers(_FLOATS, info.get_float)
    if loras:
        fields["loras"] = loras
    fields |= _told_sampler(info)
    if info.size is not None:
        fields |= {"width": info.size[0], "height": info.size[1]}
    used = _take_refiner(info, fields) | _take_upscaler(info, fields) | _take_hires(info, fields)
    strength = info.get_float("Denoising strength")
    is_img2img = strength is not None and "hires" not in fields
    if is_img2img:
        fields["denoising_strength"] = strength
        used |= _take_inpainting(info, fields)
    elif "mask_blur" in fields:
        del fields["mask_blur"]
    if (tiling := info.fields.get("Tiling", "").casefold()) in _SWITCHED:
        fields["tiling"] = _SWITCHED[tiling]
        used.add("Tiling")
    if info.fields.get("Face restoration"):
        # Which restorer it was is an option of the server's own.
        fields["restore_faces"] = True
        used.add("Face restoration")
    told, parts_left = take_parts(info, fields, is_img2img=is_img2img)
    known = {*_WORDS, *_INTS, *_FLOATS, *_TELLING, *used, *told, "Denoising strength"}
    left = {label: _why_left(label) for label in info.fields if label not in known} | parts_left
    left |= _no_numbers(_INTS, info, info.get_int) | _no_numbers(_FLOATS, info, info.get_float)
    request, wrong = fitting_request(Img2Img if is_img2img else Txt2Img, fields, _LABELS, info.fields)
    if info.fields.get("Version", "").startswith("stable-diffusion.cpp"):
        # It is told how to draw noise when it is started.
        left.pop("RNG", None)
        # What it is given as a list, and another pass, it does not write down.
        has = (bool(request.loras), isinstance(request, Txt2Img) and request.hires is not None)
        words = "stable-diffusion.cpp writes none into an image; if there was any, it is missing here"
        wrong |= {part: words for part, is_there in zip(UNWRITTEN, has, strict=True) if not is_there}
    return Imported(request, "", left | wrong)


def _why_left(label: str) -> str:
    if label.startswith("ADetailer"):
        return "is not read back; set adetailer by hand"
    if _MODULE.fullmatch(label):
        return "a VAE or text encoder of Forge's; name them in native forge override_settings.forge_additional_modules"
    if label == "RNG":
        return "an option of the server's that seeds depend on; set native a1111 override_settings.randn_source"
    if label == "Styles":
        return "their words are in the prompt already; in styles they would be added once more"
    return "no field says it; set it by hand"


def _told_sampler(info: Infotext) -> dict[str, str]:
    """Return sampler and schedule by the request's fields; one left to the server (``Default``) is left to it again."""
    sampler, schedule = (
        "" if (told := info.fields.get(label, "")).casefold() == _LEFT_OPEN else told
        for label in ("Sampler", "Schedule type")
    )
    if not sampler:
        return {"scheduler": schedule} if schedule else {}
    # stable-diffusion.cpp names both in one, by its own names.
    native = split_native(sampler, small_samplers("sdcpp"), small_schedulers())
    choice = split_sampler(sampler, schedule or None) if native is None or schedule else native
    return {"sampler_name": choice.sampler, **({"scheduler": choice.schedule} if choice.schedule else {})}


def _numbers(labels: Mapping[str, str], read: Callable[[str], float | None]) -> dict[str, object]:
    return {field: value for label, field in labels.items() if (value := read(label)) is not None}


def _no_numbers(labels: Mapping[str, str], info: Infotext, read: Callable[[str], float | None]) -> dict[str, str]:
    return {
        label: f"no such number: {info.fields[label][:60]!r}"
        for label in labels
        if label in info.fields and read(label) is None
    }


def _without_loras(info: Infotext) -> tuple[str, list[dict[str, object]]]:
    """Take LoRA tags out of a prompt: on most servers they would be words, as they were where the image came from.

    One that no field says stays: with more than a single weight, or with one out of range.
    """
    if _WORDS_ONLY.match(info.fields.get("Version", "")):
        return info.prompt, []
    loras: list[dict[str, object]] = [
        {"model": tag.name, "weight": tag.weight} for tag in lora_tags(info.prompt) if _is_lora(tag)
    ]
    return (take_tags(info.prompt, _is_lora), loras) if loras else (info.prompt, [])


def _is_lora(tag: LoraTag) -> bool:
    try:
        return tag.weight is not None and bool(Lora(model=tag.name, weight=tag.weight))
    except PayloadError:
        return False


def _take_inpainting(info: Infotext, fields: dict[str, object]) -> set[str]:
    """Read how a mask was used; the mask itself is in no text. Returns the labels that were understood."""
    used: set[str] = set()
    for label, meanings in _MASK_WORDS.items():
        told = info.fields.get(label, "").casefold()
        if told in meanings:
            fields |= meanings[told]
            used.add(label)
    padding = info.get_int("Masked area padding")
    if padding is not None:
        fields["inpaint_full_res_padding"] = padding
        used.add("Masked area padding")
    return used


def _take_refiner(info: Infotext, fields: dict[str, object]) -> set[str]:
    model, switch_at = info.fields.get("Refiner"), info.get_float("Refiner switch at")
    if model:
        # A1111 names the refiner with its hash.
        model = re.sub(r" \[[0-9a-f]{8,10}\]$", "", model)
        fields["refiner"] = {"model": model, **({} if switch_at is None else {"switch_at": switch_at})}
    return {"Refiner", "Refiner switch at"}


def _take_upscaler(info: Infotext, fields: dict[str, object]) -> set[str]:
    model = info.fields.get("Upscaler") or info.fields.get("Postprocess upscaler")
    scale = info.get_float("Upscale factor") or info.get_float("Postprocess upscale by")
    if model and scale is None:
        # By the network's own factor, or to a size: no other is guessed, and what is not used is told.
        return set()
    if model:
        fields["enlarge"] = {"model": model, "scale": scale}
    return {"Upscaler", "Upscale factor", "Postprocess upscaler", "Postprocess upscale by"}


def _take_hires(info: Infotext, fields: dict[str, object]) -> set[str]:
    """Read a hires fix: ``Size`` is the first pass where A1111 tells it, the image where sdclient does."""
    labels = {"Hires upscale", "Hires resize", "Hires upscaler", "Hires steps", "Hires first pass", "Hires strength"}
    first = _SIZE.fullmatch(info.fields.get("Hires first pass", ""))
    final = _SIZE.fullmatch(info.fields.get("Hires resize", ""))
    # More than any server enlarges is refused as a size, and must not become infinite on the way there.
    scale = min(max(info.get_float("Hires upscale") or 0.0, 0.0), _LARGEST_SCALE)
    hires: dict[str, object] = {}
    if first:
        hires = {"first_width": int(first[1]), "first_height": int(first[2])}
    elif info.size is not None and (final or scale):
        hires = {"first_width": info.size[0], "first_height": info.size[1]}
        width, height = (int(final[1]), int(final[2])) if final else (0, 0)
        # One side of a resize may be 0: the other sets it.
        ratio = scale or max(width / info.size[0], height / info.size[1])
        fields |= {"width": width or round(info.size[0] * ratio), "height": height or round(info.size[1] * ratio)}
    if not hires:
        return set()
    told = info.get_float("Hires strength")
    strength = told if told is not None else info.get_float("Denoising strength")
    more = {"strength": strength, "upscaler": info.fields.get("Hires upscaler"), "steps": info.get_int("Hires steps")}
    fields["hires"] = {**hires, **{name: value for name, value in more.items() if value}}
    return labels


def _drawthings_object(data: bytes) -> dict[str, JsonValue] | None:
    for match in _XMP_COMMENT.finditer(data[: 2 * MAX_INFOTEXT_BYTES]):
        text = html.unescape(match[1].decode("utf-8", "replace"))
        inner = _OBJECT.search(text)
        if inner and (found := _object(inner[0])) is not None:
            return found
    return None


def _object(text: str) -> dict[str, JsonValue] | None:
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, JsonValue]", value) if isinstance(value, dict) else None
