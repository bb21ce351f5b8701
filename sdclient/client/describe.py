"""The ``parameters`` text of an image whose server wrote none, and putting it into the file."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from sdclient._version import __version__
from sdclient.dialects.base import Call, Loss
from sdclient.dialects.losses import is_lost
from sdclient.errors import CodecError
from sdclient.images import GeneratedImage, splice_text
from sdclient.infotext import Infotext, format_infotext, read_infotext
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.schemas.parts import ControlNet, Lora, Tiled

log = logging.getLogger(__name__)

_LEFT_OPEN = "Default"
_FOLDERS = re.compile(r"^.*[/\\]")


def describe(
    request: Txt2Img | Img2Img, seed: int | None, call: Call, *, program: str = "", losses: Sequence[Loss] = ()
) -> Infotext:
    """Return what is known of an image as a ``parameters`` text: settings only, never a host, address or path.

    Settings are taken from what was sent, so that a value the request left open is named, too. What the server left
    out, or does not tell apart from what it has loaded, is not claimed.

    Args:
        request: The request, seed drawn and overlays merged.
        seed: The image's seed; None where it is not known.
        call: What was sent.
        program: Name of the server's program.
        losses: What the server did not do as asked.
    """
    sent = call.body
    # A model that nobody saw is not the model that drew.
    is_model_known = not any(loss.field == "model" and loss.kind == "inherited" for loss in losses)
    fields: dict[str, object] = {
        "Steps": _first(sent, "steps") or request.steps,
        # Other programs look for a sampler to know such a text at all, and this is what it is called where none is named.
        "Sampler": _first(sent, "sampler", "sampler_name") or _LEFT_OPEN,
        "Schedule type": _first(sent, "scheduler") or (None if "steps" in sent else _LEFT_OPEN),
        "CFG scale": _first(sent, "guidance_scale", "cfg_scale"),
        "Seed": seed,
        "Size": _size(_first(sent, "width") or request.width, _first(sent, "height") or request.height),
        "Model": _name(_first(sent, "model") or request.model) if is_model_known else None,
        "Denoising strength": _strength(request, sent),
        "Clip skip": None if is_lost("clip_skip", losses) else request.clip_skip,
        "Shift": None if is_lost("shift", losses) else request.shift,
        **_parts(request, sent, losses),
        "Version": " via ".join(filter(None, (program, f"sdclient {__version__}"))),
    }
    known = {name: _plain(value) for name, value in fields.items() if value is not None}
    return Infotext(request.prompt, request.negative_prompt, known)


def described_text(
    request: Txt2Img | Img2Img, seed: int | None, call: Call, *, program: str = "", losses: Sequence[Loss] = ()
) -> str:
    """Return `describe` as text."""
    return format_infotext(describe(request, seed, call, program=program, losses=losses))


def with_metadata(image: GeneratedImage) -> GeneratedImage:
    """Return the image with its ``parameters`` text inside the file; the coded pixels stay byte for byte.

    An image that carries a text already, and a format that takes none, is returned as it is.
    """
    if image.infotext is None or read_infotext(image.data) is not None:
        return image
    try:
        data = splice_text(image.data, image.infotext.replace("\0", ""))
    except CodecError as exc:
        log.info("image kept without metadata: %s", exc)
        return image
    facts = replace(image.facts, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    return replace(image, data=data, facts=facts)


def _first(sent: Mapping[str, JsonValue], *names: str) -> JsonValue:
    return next((sent[name] for name in names if sent.get(name) is not None), None)


def _strength(request: Txt2Img | Img2Img, sent: Mapping[str, JsonValue]) -> object:
    return _first(sent, "strength", "denoising_strength") if isinstance(request, Img2Img) else None


def _parts(request: Txt2Img | Img2Img, sent: Mapping[str, JsonValue], losses: Sequence[Loss]) -> dict[str, object]:
    hires = request.hires if isinstance(request, Txt2Img) else None
    parts: dict[str, dict[str, object]] = {
        "hires": {
            "Hires first pass": _size(hires.first_width, hires.first_height) if hires else None,
            "Hires strength": hires.strength if hires else None,
        },
        "refiner.model": {
            "Refiner": _name(request.refiner.model) if request.refiner else None,
            "Refiner switch at": request.refiner.switch_at if request.refiner else None,
        },
        "loras": {"Lora": _weights("loras", request.loras, losses)},
        "controls": {"ControlNet": _weights("controls", request.controls, losses)},
        "tiled.diffusion": {"Tile size": _tile_size(request.tiled)},
        "enlarge": {
            "Upscaler": _name(request.enlarge.model if request.enlarge else sent.get("upscaler")),
            # 0 is the network's own factor, which is not known here.
            "Upscale factor": request.enlarge.scale if request.enlarge else sent.get("upscaler_scale") or None,
        },
    }
    return {name: value for field, told in parts.items() if not is_lost(field, losses) for name, value in told.items()}


def _tile_size(tiled: Tiled | None) -> str | None:
    tiles = tiled.diffusion if tiled else None
    return _size(tiles.width, tiles.height) if tiles else None


def _weights(field: str, parts: Sequence[Lora | ControlNet], losses: Sequence[Loss]) -> str | None:
    used = [part for number, part in enumerate(parts) if not is_lost(f"{field}[{number}].model", losses)]
    return ", ".join(f"{_name(part.model)}: {part.weight:g}" for part in used) or None


def _size(width: object, height: object) -> str | None:
    return f"{width}x{height}" if isinstance(width, int) and isinstance(height, int) else None


def _name(model: object) -> str | None:
    """Return a model's name without the folders before it, which say something about somebody's disk."""
    return _FOLDERS.sub("", model) if isinstance(model, str) else None


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and math.isfinite(value) else str(value)
