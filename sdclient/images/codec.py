"""Base64 and the limits of what is taken for an image."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from sdclient.errors import CodecError

__all__ = ["DEFAULT_LIMITS", "ImageLimits", "decode_base64", "encode_base64"]


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How large an image may be. Checked before anything is decoded.

    Attributes:
        max_bytes: Size of the file, in bytes.
        max_pixels: Width times height. Decoding takes up to four bytes of memory for each.
    """

    max_bytes: int = 256 * 1024 * 1024
    max_pixels: int = 16_384 * 16_384


DEFAULT_LIMITS = ImageLimits()

_DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_FOREIGN = re.compile(r"[^A-Za-z0-9+/=]")
_QUANTUM_CHARS = 4


def encode_base64(data: bytes) -> str:
    """Encode `data` as standard base64 on one line, without a prefix."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str, *, what: str = "image") -> bytes:
    """Decode standard base64, with or without a `data:...;base64,` prefix.

    Only what an encoder would write is taken: no line breaks, exact padding, no stray bits in the last character.
    So each content has one text, and a damaged text is noticed rather than decoded to other bytes.

    Args:
        text: Base64 in the standard alphabet.
        what: What it is, for messages.

    Returns:
        The decoded bytes, never empty.

    Raises:
        CodecError: If `text` is empty, badly padded, or holds any other character.
    """
    start = match.end() if (match := _DATA_URL.match(text)) else 0
    payload = text[start:] if start else text
    if not payload:
        raise CodecError(f"{what}: empty base64; the sender gave no data")
    if len(payload) % _QUANTUM_CHARS:
        raise CodecError(
            f"{what}: {_fault(payload)}; {len(payload)} characters; the text was cut or changed on its way"
        )
    try:
        # validate=True: without it the standard library drops unknown characters.
        data = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise CodecError(f"{what}: {_fault(payload)}; the text was cut or changed on its way") from exc
    # Encoding the last few bytes again shows whether padding and stray bits are as they must be.
    if not data or base64.b64encode(data[-(len(data) % 3 or 3) :]) != payload[-_QUANTUM_CHARS:].encode():
        raise CodecError(f"{what}: base64 does not end as it must ({payload[-_QUANTUM_CHARS:]!r}); send it again")
    return data


def _fault(payload: str) -> str:
    """Say what is wrong with a text that is no base64."""
    foreign = _FOREIGN.search(payload)
    if foreign is None:
        return "base64 is badly padded"
    return f"base64 holds {foreign[0]!r} at character {foreign.start()} ({payload[:24]!r}...)"
