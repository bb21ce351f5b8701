"""The size of an init image, read from its header without decoding a pixel."""

from __future__ import annotations

import struct

from sdclient.errors import CodecError, PayloadError

__all__ = ["init_size"]

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_SIZE = 24
_JPEG_MARK = 0xFF
# Start-of-frame markers of JPEG; C4, C8 and CC in their midst are other things.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers of JPEG that stand alone, without a length.
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})


def init_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels of an image file, as stored (EXIF orientation not applied).

    Raises:
        PayloadError: If the bytes are no image.
    """
    size = _png_size(data) or _jpeg_size(data)
    if size is not None:
        return size
    from sdclient.images import inspect_image

    try:
        facts = inspect_image(data, what="init_image")
    except CodecError as exc:
        raise PayloadError(f"init_image: {exc}") from exc
    return facts.width_px, facts.height_px


def _png_size(data: bytes) -> tuple[int, int] | None:
    if not data.startswith(_PNG_SIGNATURE) or data[12:16] != b"IHDR" or len(data) < _PNG_HEADER_SIZE:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return int(width), int(height)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == _JPEG_MARK:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return int(width), int(height)
        # A marker may be padded with any number of 0xFF before it.
        at += (
            1
            if marker == _JPEG_MARK
            else 2
            if marker in _JPEG_ALONE
            else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        )
    return None
