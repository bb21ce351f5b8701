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
from sdclient.dialects.base import Call
from sdclient.errors import CodecError
from sdclient.images import GeneratedImage, splice_text
from sdclient.infotext import Infotext, format_infotext, read_infotext
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.schemas.parts import ControlNet, Lora

log = logging.getLogger(__name__)

_FOLDERS = re.compile(r"^.*[/\\]")


def describe(request: Txt2Img | Img2Img, seed: int | None, call: Call, *, program: str = "") -> Infotext:
    """Return what is known of an image as a ``parameters`` text: settings only, never a host, address or path.

    Settings are taken from what was sent, so that a value the request left open is named, too.

    Args:
        request: The request, seed drawn and overlays merged.
        seed: The image's seed; None where it is not known.
        call: What was sent.
        program: Name of the server's program.
    """
    sent = call.body
    fields: dict[str, object] = {
        "Steps": _first(sent, "steps") or request.steps,
        "Sampler": _first(sent, "sampler", "sampler_name") or request.sampler_name,
        "Schedule type": _first(sent, "scheduler"),
        "CFG scale": _first(sent, "guidance_scale", "cfg_scale"),
        "Seed": seed,
        "Size": _size(_first(sent, "width") or request.width, _first(sent, "height") or request.height),
        "Model": _name(_first(sent, "model") or request.model),
        "Denoising strength": _strength(request, sent),
        "Clip skip": request.clip_skip,
        "Shift": request.shift,
        **_parts(request),
        "Version": " via ".join(filter(None, (program, f"sdclient {__version__}"))),
    }
    known = {name: _plain(value) for name, value in fields.items() if value is not None}
    return Infotext(request.prompt, request.negative_prompt, known)


def described_text(request: Txt2Img | Img2Img, seed: int | None, call: Call, *, program: str = "") -> str:
    """Return `describe` as text."""
    return format_infotext(describe(request, seed, call, program=program))


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


def _parts(request: Txt2Img | Img2Img) -> dict[str, object]:
    hires = request.hires if isinstance(request, Txt2Img) else None
    refiner, enlarge, tiles = request.refiner, request.enlarge, request.tiled
    return {
        "Hires first pass": _size(hires.first_width, hires.first_height) if hires else None,
        "Hires strength": hires.strength if hires else None,
        "Refiner": _name(refiner.model) if refiner else None,
        "Refiner switch at": refiner.switch_at if refiner else None,
        "Lora": _weights(request.loras),
        "ControlNet": _weights(request.controls),
        "Tile size": _size(tiles.diffusion.width, tiles.diffusion.height) if tiles and tiles.diffusion else None,
        "Upscaler": _name(enlarge.model) if enlarge else None,
        "Upscale factor": enlarge.scale if enlarge else None,
    }


def _weights(parts: Sequence[Lora | ControlNet]) -> str | None:
    return ", ".join(f"{_name(part.model)}: {part.weight:g}" for part in parts) or None


def _size(width: object, height: object) -> str | None:
    return f"{width}x{height}" if isinstance(width, int) and isinstance(height, int) else None


def _name(model: object) -> str | None:
    """Return a model's name without the folders before it, which say something about somebody's disk."""
    return _FOLDERS.sub("", model) if isinstance(model, str) else None


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and math.isfinite(value) else str(value)
