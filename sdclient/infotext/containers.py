"""The parts an image file is made of: chunks of PNG, segments of JPEG, chunks of WebP. Walks them, decodes nothing."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from sdclient.errors import CodecError

__all__ = ["PNG_SIGNATURE", "Part", "image_container", "is_crc_right", "jpeg_segments", "png_chunks", "webp_chunks"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_JPEG_START = b"\xff\xd8\xff"
_JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_END_OF_IMAGE = 0xD9
_JPEG_START_OF_SCAN = 0xDA
_PNG_CHUNK_OVERHEAD = 12
_RIFF_HEADER_BYTES = 8
# A file of nothing but empty chunks would keep a walker busy for minutes; honest ones have a few thousand.
_MAX_PARTS = 500_000


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an image file, by its place in the bytes.

    Attributes:
        kind: The chunk's type (`b"IHDR"`, `b"VP8X"`), or the segment's marker byte, as in `bytes([0xE1])`.
        start: Offset of the part's first byte, its length and type included.
        body_start: Offset of its content.
        body_end: Offset just after its content.
        end: Offset just after the part, check sum and padding included.
    """

    kind: bytes
    start: int
    body_start: int
    body_end: int
    end: int

    def body(self, data: bytes) -> bytes:
        """Cut the part's content out of `data`."""
        return data[self.body_start : self.body_end]


def image_container(data: bytes) -> str:
    """Name the container by its first bytes: `PNG`, `JPEG` or `WEBP`; empty for anything else."""
    if data.startswith(PNG_SIGNATURE):
        return "PNG"
    if data.startswith(_JPEG_START):
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return ""


def png_chunks(data: bytes) -> Iterator[Part]:
    """Walk the chunks of a PNG file, up to and including IEND.

    Raises:
        CodecError: The file ends too early.
    """
    position = len(PNG_SIGNATURE)
    for _ in range(_MAX_PARTS):
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + _PNG_CHUNK_OVERHEAD + length
        if end > len(data):
            break
        part = Part(data[position + 4 : position + 8], position, position + 8, position + 8 + length, end)
        yield part
        if part.kind == b"IEND":
            return
        position = end
    raise CodecError(f"PNG: cut off after {len(data)} bytes (no IEND chunk where the chunks lead)")


def is_crc_right(data: bytes, chunk: Part) -> bool:
    """Tell whether the check sum of a PNG chunk fits its type and content."""
    stored = int.from_bytes(data[chunk.body_end : chunk.end], "big")
    return zlib.crc32(memoryview(data)[chunk.start + 4 : chunk.body_end]) == stored


def jpeg_segments(data: bytes) -> Iterator[Part]:
    """Walk the segments of a JPEG file that carry content, up to and including the first start of scan (0xDA).

    Raises:
        CodecError: The file ends too early, or something else stands where a marker must be.
    """
    position = 2
    for _ in range(_MAX_PARTS):
        start = position
        while data[position : position + 2] == b"\xff\xff":  # any number of fill bytes may lead
            position += 1
        if data[position : position + 1] != b"\xff" or position + 2 > len(data):
            break
        marker = data[position + 1]
        position += 2
        if marker == _JPEG_END_OF_IMAGE:
            break
        if marker in _JPEG_STANDALONE:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        end = position + length
        if length < 2 or end > len(data):  # noqa: PLR2004 - the length counts its own two bytes
            break
        yield Part(bytes([marker]), start, position + 2, end, end)
        if marker == _JPEG_START_OF_SCAN:
            return
        position = end
    raise CodecError(f"JPEG: no image data; broken or cut off near byte {position} of {len(data)}")


def webp_chunks(data: bytes) -> Iterator[Part]:
    """Walk the chunks of a WebP file.

    Raises:
        CodecError: The file ends too early.
    """
    file_end = _RIFF_HEADER_BYTES + int.from_bytes(data[4:8], "little")
    if file_end > len(data):
        raise CodecError(f"WEBP: cut off; has {len(data)} of {file_end} bytes")
    position = 12
    for _ in range(_MAX_PARTS):
        if position + 8 > file_end:
            return
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        body_end = position + 8 + length
        if body_end > file_end:
            break
        # Content of odd length is padded; some writers forget that at the very end.
        end = min(body_end + length % 2, file_end)
        yield Part(data[position : position + 4], position, position + 8, body_end, end)
        position = end
    raise CodecError(f"WEBP: the chunk at byte {position} leads beyond the file's end")
