"""Putting a text into an image file without touching its pixels."""

from __future__ import annotations

import struct
import zlib

from sdclient.errors import CodecError
from sdclient.infotext import INFOTEXT_KEY
from sdclient.infotext.containers import (
    PNG_SIGNATURE,
    Part,
    image_container,
    jpeg_segments,
    png_chunks,
    webp_chunks,
)
from sdclient.infotext.exif import EXIF_PREFIX, encode_user_comment

__all__ = ["splice_png_text", "splice_text"]

_MAX_KEY_BYTES = 79
_MAX_SEGMENT_BYTES = 65_533
_APP0, _APP1 = b"\xe0", b"\xe1"
_VP8X_EXIF, _VP8X_ALPHA = 0x08, 0x10
_VP8_START_CODE = b"\x9d\x01\x2a"
_VP8L_SIGNATURE = b"\x2f"


def splice_text(data: bytes, text: str) -> bytes:
    """Put a `parameters` text into a PNG, JPEG or WebP file; the coded pixels stay as they are, byte for byte.

    PNG files get a text chunk; JPEG and WebP files an EXIF user comment. A JPEG or WebP file that has an EXIF
    block already is returned as it is, because that block is somebody's.

    Args:
        data: A whole file.
        text: The text, without NUL characters.

    Raises:
        CodecError: Another format, a broken file, or a text that does not fit (JPEG: about 32,000 characters).
    """
    match image_container(data):
        case "PNG":
            return splice_png_text(data, INFOTEXT_KEY, text)
        case "JPEG":
            return _splice_jpeg(data, text)
        case "WEBP":
            return _splice_webp(data, text)
        case _:
            raise CodecError(f"cannot put text into this file: neither PNG, JPEG nor WebP (starts with {data[:12]!r})")


def splice_png_text(data: bytes, key: str, text: str) -> bytes:
    """Insert a text chunk right after the header of a PNG file; all other bytes stay as they are.

    ASCII becomes a tEXt chunk. Anything else becomes iTXt, which alone says its encoding: writers disagree about
    what the bytes of tEXt mean. A chunk of the same key is not replaced.

    Args:
        data: A whole PNG file.
        key: The keyword, 1 to 79 characters of printable Latin-1 without spaces at its ends or two in a row.
        text: The text, without NUL characters.

    Raises:
        CodecError: Not a PNG file, or the keyword or text cannot be stored.
    """
    if not data.startswith(PNG_SIGNATURE):
        raise CodecError(f"cannot put a text chunk into this file: not a PNG file (starts with {data[:12]!r})")
    header = next(png_chunks(data))
    if header.kind != b"IHDR":
        raise CodecError(f"cannot put a text chunk into this PNG file: it starts with {header.kind!r} instead of IHDR")
    keyword = _keyword(key)
    if "\x00" in text:
        raise CodecError("cannot store this text: it holds a NUL character, take that out")
    if text.isascii():
        chunk = _png_chunk(b"tEXt", keyword + b"\x00" + text.encode())
    else:
        # No compression, no language, no translated keyword.
        chunk = _png_chunk(b"iTXt", keyword + b"\x00" * 5 + _utf8(text))
    return data[: header.end] + chunk + data[header.end :]


def _keyword(key: str) -> bytes:
    raw = key.encode("latin-1", "ignore")
    printable = all(0x20 <= byte <= 0x7E or byte >= 0xA1 for byte in raw)  # noqa: PLR2004 - as the format says
    spaced = key != key.strip(" ") or "  " in key
    if len(raw) != len(key) or not 1 <= len(raw) <= _MAX_KEY_BYTES or not printable or spaced:
        raise CodecError(
            f"cannot store a text under {key[:40]!r}: a PNG keyword has 1 to 79 printable Latin-1 characters"
        )
    return raw


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise CodecError(f"cannot store this text: {exc.reason} at character {exc.start}") from exc


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _splice_jpeg(data: bytes, text: str) -> bytes:
    segments = list(jpeg_segments(data))
    if any(part.kind == _APP1 and data.startswith(EXIF_PREFIX, part.body_start) for part in segments):
        return data
    body = EXIF_PREFIX + encode_user_comment(text)
    if len(body) > _MAX_SEGMENT_BYTES:
        raise CodecError(f"cannot store this text in a JPEG file: {len(text)} characters, at most about 32,000 fit")
    # JFIF wants its own segment to be the very first, EXIF too; readers know the order JFIF, EXIF.
    first = segments[0]
    place = first.end if first.kind == _APP0 else first.start
    return data[:place] + b"\xff" + _APP1 + struct.pack(">H", len(body) + 2) + body + data[place:]


def _splice_webp(data: bytes, text: str) -> bytes:
    chunks = list(webp_chunks(data))
    if any(chunk.kind == b"EXIF" for chunk in chunks):
        return data
    if not chunks:
        raise CodecError("cannot put text into this WebP file: it has no chunks")
    if chunks[0].kind == b"VP8X":
        header = bytearray(chunks.pop(0).body(data))
        header[0] |= _VP8X_EXIF
    else:
        header = bytearray(_extended_header(data, chunks[0]))
    # EXIF comes after the image and before XMP.
    xmp_at = next((index for index, chunk in enumerate(chunks) if chunk.kind == b"XMP "), len(chunks))
    pieces = [_riff_chunk(chunk.kind, chunk.body(data)) for chunk in chunks]
    pieces.insert(xmp_at, _riff_chunk(b"EXIF", encode_user_comment(text)))
    body = b"WEBP" + _riff_chunk(b"VP8X", bytes(header)) + b"".join(pieces)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _extended_header(data: bytes, image: Part) -> bytes:
    """Build the header that a simple WebP file lacks, out of its image chunk: flags, then width and height less one."""
    body = image.body(data)
    flags, width, height = _VP8X_EXIF, 0, 0
    if image.kind == b"VP8 " and body[3:6] == _VP8_START_CODE and len(body) >= 10:  # noqa: PLR2004 - its header
        width = int.from_bytes(body[6:8], "little") & 0x3FFF
        height = int.from_bytes(body[8:10], "little") & 0x3FFF
    elif image.kind == b"VP8L" and body[:1] == _VP8L_SIGNATURE and len(body) >= 5:  # noqa: PLR2004 - likewise
        bits = int.from_bytes(body[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        if bits >> 28 & 1:
            flags |= _VP8X_ALPHA
    if not width or not height:
        raise CodecError(f"cannot put text into this WebP file: its image chunk {image.kind!r} is broken")
    return struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\x00" * (len(body) % 2)
