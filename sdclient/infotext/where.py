"""Where the `parameters` text lives in an image file: found without decoding a pixel."""

from __future__ import annotations

import zlib

from sdclient.errors import CodecError
from sdclient.infotext.containers import (
    Part,
    image_container,
    is_crc_right,
    jpeg_segments,
    png_chunks,
    webp_chunks,
)
from sdclient.infotext.exif import EXIF_PREFIX, decode_user_comment, user_comment_bytes

__all__ = ["INFOTEXT_KEY", "MAX_INFOTEXT_BYTES", "has_long_infotext", "read_infotext"]

INFOTEXT_KEY = "parameters"
"""The keyword of the PNG text chunk."""

MAX_INFOTEXT_BYTES = 1024 * 1024
"""The longest text that is read or inflated, in bytes: a few thousand are usual, and a small chunk can claim much."""

# Two bytes a character, and eight before them.
_MAX_COMMENT_BYTES = 2 * MAX_INFOTEXT_BYTES + 8
_APP1 = b"\xe1"


def read_infotext(data: bytes) -> str | None:
    """Read the `parameters` text out of a PNG, JPEG or WebP file.

    Args:
        data: A whole file. Nothing of its pixels is looked at.

    Returns:
        The text, or None if there is none, it is broken, or longer than `MAX_INFOTEXT_BYTES`. Never raises.
    """
    readers = {"PNG": _from_png, "JPEG": _from_jpeg, "WEBP": _from_webp}
    reader = readers.get(image_container(data))
    try:
        return reader(data) if reader else None
    except CodecError:
        return None


def has_long_infotext(data: bytes) -> bool:
    """Tell whether a PNG or WebP file holds a text too long to be read; in a JPEG there is no room. Never raises.

    Args:
        data: A whole file. Nothing of its pixels is looked at.
    """
    walkers = {"PNG": png_chunks, "WEBP": webp_chunks}
    walk = walkers.get(image_container(data))
    try:
        return walk is not None and any(_is_long(data, chunk) for chunk in walk(data))
    except CodecError:
        return False


def _is_long(data: bytes, chunk: Part) -> bool:
    if chunk.kind in (b"eXIf", b"EXIF"):
        return user_comment_bytes(chunk.body(data)) > _MAX_COMMENT_BYTES
    if chunk.kind not in (b"tEXt", b"zTXt", b"iTXt") or not is_crc_right(data, chunk):
        return False
    keyword, _, rest = chunk.body(data).partition(b"\x00")
    if keyword != INFOTEXT_KEY.encode():
        return False
    is_packed = chunk.kind == b"zTXt" or (chunk.kind == b"iTXt" and rest[:1] == b"\x01")
    text = rest[1:] if chunk.kind == b"zTXt" else rest if chunk.kind == b"tEXt" else rest[2:].split(b"\x00", 2)[-1]
    return len(_inflated(text)[0] if is_packed else text) > MAX_INFOTEXT_BYTES


def _from_png(data: bytes) -> str | None:
    readers = {b"tEXt": _plain, b"zTXt": _packed, b"iTXt": _international}
    comment = None
    for chunk in png_chunks(data):
        if chunk.kind == b"eXIf":
            # A camera's or an editor's, where the file has a text of its own.
            comment = comment or _comment(data, chunk)
        reader = readers.get(chunk.kind)
        if reader is None or not is_crc_right(data, chunk):
            continue
        keyword, _, rest = chunk.body(data).partition(b"\x00")
        if keyword == INFOTEXT_KEY.encode() and (text := reader(rest)) is not None:
            return text
    return comment


def _from_jpeg(data: bytes) -> str | None:
    for segment in jpeg_segments(data):
        if segment.kind == _APP1 and data.startswith(EXIF_PREFIX, segment.body_start):
            return _comment(data, segment)
    return None


def _from_webp(data: bytes) -> str | None:
    return next((_comment(data, chunk) for chunk in webp_chunks(data) if chunk.kind == b"EXIF"), None)


def _comment(data: bytes, part: Part) -> str | None:
    return decode_user_comment(part.body(data), max_bytes=_MAX_COMMENT_BYTES)


def _plain(rest: bytes) -> str | None:
    return None if len(rest) > MAX_INFOTEXT_BYTES else _decode(rest)


def _packed(rest: bytes) -> str | None:
    """Read a zTXt chunk after its keyword: one byte names the method, and 0 is the only one."""
    inflated = _inflate(rest[1:]) if rest[:1] == b"\x00" else None
    return None if inflated is None else _decode(inflated)


def _international(rest: bytes) -> str | None:
    """Read an iTXt chunk after its keyword: two flags, language, translated keyword, text."""
    flag, text = rest[:1], rest[2:].split(b"\x00", 2)
    if len(text) != 3:  # noqa: PLR2004 - language, translated keyword, text
        return None
    body = _inflate(text[2]) if flag == b"\x01" else text[2]
    if body is None or len(body) > MAX_INFOTEXT_BYTES:
        return None
    return body.decode("utf-8", "replace")


def _inflate(packed: bytes) -> bytes | None:
    """Inflate, but never more than the limit; None if broken or longer."""
    text, is_whole = _inflated(packed)
    return text if is_whole and len(text) <= MAX_INFOTEXT_BYTES else None


def _inflated(packed: bytes) -> tuple[bytes, bool]:
    """Return what comes out, one byte more than the limit at most, and whether that is all; nothing if broken."""
    unpacker = zlib.decompressobj()
    try:
        return unpacker.decompress(packed, MAX_INFOTEXT_BYTES + 1), unpacker.eof
    except zlib.error:
        return b"", False


def _decode(raw: bytes) -> str:
    """Decode text that the standard calls Latin-1 and some writers make UTF-8.

    Latin-1 text with an accent is practically never valid UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
