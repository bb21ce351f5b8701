"""The simulator's own writer and reader of the `parameters` text that A1111 puts into images."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from contextlib import suppress

from PIL import ExifTags, Image, PngImagePlugin

__all__ = ["encode_image", "format_parameters", "parse_parameters", "pasted_fields", "read_parameters"]

_USER_COMMENT = 0x9286
_FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP"}
_PAIR = re.compile(r'\s*([\w][\w /\-]*):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')


def format_parameters(prompt: str, negative_prompt: str, fields: Mapping[str, object]) -> str:
    """Write the text: prompt, negative prompt if any, then one line of `label: value` pairs; None values are left out."""
    pairs = ", ".join(f"{label}: {_quoted(str(value))}" for label, value in fields.items() if value is not None)
    negative = f"\nNegative prompt: {negative_prompt}" if negative_prompt else ""
    return f"{prompt}{negative}\n{pairs}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ",:\n") else text


def parse_parameters(text: str) -> dict[str, str]:
    """Read the last line's pairs as `png-info` answers them; a `Size` becomes `Size-1` and `Size-2` too."""
    *lines, last = text.strip().split("\n")
    result = {"Prompt": "", "Negative prompt": ""}
    target = "Prompt"
    for line in lines:
        found = line.startswith("Negative prompt:")
        target = "Negative prompt" if found else target
        part = line.removeprefix("Negative prompt:").strip() if found else line
        result[target] += ("\n" if result[target] else "") + part
    for label, value in _PAIR.findall(last):
        plain = json.loads(value) if value.startswith('"') else value.strip()
        size = re.fullmatch(r"(\d+)x(\d+)", plain)
        if size:
            result[f"{label}-1"], result[f"{label}-2"] = size.groups()
        else:
            result[label] = plain
    return result


# Labels of the text and the request fields they fill, with the type of each.
_PASTED: tuple[tuple[str, str, type], ...] = (
    ("Prompt", "prompt", str),
    ("Negative prompt", "negative_prompt", str),
    ("Steps", "steps", int),
    ("Sampler", "sampler_name", str),
    ("Schedule type", "scheduler", str),
    ("CFG scale", "cfg_scale", float),
    ("Seed", "seed", int),
    ("Size-1", "width", int),
    ("Size-2", "height", int),
    ("Denoising strength", "denoising_strength", float),
)


def pasted_fields(text: str) -> dict[str, str | int | float]:
    """Read request fields out of a generation text, as the `infotext` key of a request does.

    Values that are no numbers where numbers belong are left out.
    """
    found = parse_parameters(text)
    fields: dict[str, str | int | float] = {}
    for label, name, kind in _PASTED:
        with suppress(KeyError, ValueError):
            fields[name] = kind(found[label])
    return fields


def encode_image(image: Image.Image, text: str | None, extension: str = "png") -> bytes:
    """Encode with the text where the format keeps it: a PNG text chunk, or EXIF UserComment in JPEG and WebP.

    Args:
        image: What to encode.
        text: The `parameters` text, or None to write no metadata at all.
        extension: `png`, `jpg`, `jpeg` or `webp`.

    Raises:
        KeyError: If the extension is another one.
    """
    name = _FORMATS[extension.lower()]
    buffer = io.BytesIO()
    if name == "PNG":
        chunks = PngImagePlugin.PngInfo()
        if text is not None:
            chunks.add_text("parameters", text)
        image.save(buffer, name, pnginfo=chunks, compress_level=1)
        return buffer.getvalue()
    exif = Image.Exif()
    if text is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[_USER_COMMENT] = b"UNICODE\0" + text.encode("utf-16-be")
    image.convert("RGB").save(buffer, name, quality=90, exif=exif)
    return buffer.getvalue()


def read_parameters(image: Image.Image) -> str | None:
    """Find the text in a decoded image, or None."""
    chunk = image.info.get("parameters")
    if isinstance(chunk, str):
        return chunk
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(_USER_COMMENT)
    if isinstance(comment, bytes) and comment.startswith(b"UNICODE\0"):
        return comment[8:].decode("utf-16-be", errors="replace")
    return None
