"""PNG files that are empty but for one box, written without compressing the emptiness again and again.

A cut-out of a 2048 x 2048 image is 16 MB of mostly zeros. A deflate stream may be put together from pieces that end on
a byte boundary, so runs of empty rows are compressed once and then repeated by their bytes; only the rows that hold the
object are filtered and compressed. The result is an ordinary PNG: one IDAT chunk, no interlacing; 8-bit RGB or RGBA for
pixels, 1-bit grey for masks.
"""

from __future__ import annotations

import functools
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from sdclient.errors import SegmentationError

__all__ = ["encode_mask_in_box", "encode_pixels", "encode_rgba_in_box"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_SIDE_PX = 2**31 - 1
_CHANNELS = 4

# PNG's colour types, by the number of channels; an offset chunk counts in pixels.
_COLOUR_TYPES = {3: 2, 4: 6}
_GREY = 0
_UNIT_PIXEL = 0

# zlib's header for a 32 KiB window and the fastest method, and an empty last block that ends the stream.
_ZLIB_HEADER = b"\x78\x01"
_LAST_BLOCK = b"\x03\x00"
_ADLER_MODULUS = 65521

# PNG's filter types: a row as it is, and a row as its difference from the one above.
_FILTER_NONE = 0
_FILTER_UP = 2


def encode_rgba_in_box(box_rgba: NDArray[np.uint8], *, canvas_hw: tuple[int, int], corner_xy: tuple[int, int]) -> bytes:
    """Encode a PNG of a whole canvas that is transparent black outside one box.

    Args:
        box_rgba: uint8, shape (h, w, 4), RGBA, the content of the box; at least one pixel.
        canvas_hw: Height and width of the canvas, in pixels.
        corner_xy: Where the box's top left pixel lies in the canvas, in pixels from the canvas's top left.

    Returns:
        A whole PNG file.

    Raises:
        SegmentationError: If the box is no such array or does not lie inside the canvas.
    """
    _check(box_rgba, canvas_hw, corner_xy)
    (height_px, width_px), (left, top) = canvas_hw, corner_xy
    stride = 1 + width_px * _CHANNELS
    pieces = _stream(_filter_rows(box_rgba, stride, left), stride, top, height_px - top - box_rgba.shape[0])
    return _file(_header(canvas_hw, 8, _COLOUR_TYPES[_CHANNELS]), pieces)


def encode_pixels(pixels: NDArray[np.uint8], *, offset_xy: tuple[int, int] | None = None) -> bytes:
    """Encode a PNG of just these pixels.

    Args:
        pixels: uint8, shape (h, w, 3), RGB, or (h, w, 4), RGBA; at least one pixel.
        offset_xy: Where the top left pixel lies in a larger image, in pixels; written into the oFFs chunk.

    Returns:
        A whole PNG file.

    Raises:
        SegmentationError: If `pixels` is no such array.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != len("hwc") or pixels.shape[2] not in _COLOUR_TYPES or not pixels.size:
        raise SegmentationError(
            f"pixels must be a uint8 array of shape (h, w, 3) or (h, w, 4), not {pixels.dtype} {pixels.shape}"
        )
    height_px, width_px, channels = pixels.shape
    stride = 1 + width_px * channels
    offset = [] if offset_xy is None else _chunk(b"oFFs", [struct.pack(">iiB", *offset_xy, _UNIT_PIXEL)])
    pieces = _stream(_filter_rows(pixels, stride, 0), stride, 0, 0)
    return _file(_header((height_px, width_px), 8, _COLOUR_TYPES[channels]), pieces, offset)


def encode_mask_in_box(box_mask: NDArray[np.bool_], *, canvas_hw: tuple[int, int], corner_xy: tuple[int, int]) -> bytes:
    """Encode a 1-bit PNG of a whole canvas: white where the mask is, black elsewhere.

    Args:
        box_mask: bool, shape (h, w), the content of one box; at least one pixel.
        canvas_hw: Height and width of the canvas, in pixels.
        corner_xy: Where the box's top left pixel lies in the canvas, in pixels from the canvas's top left.

    Returns:
        A whole PNG file.
    """
    (height_px, width_px), (left, top) = canvas_hw, corner_xy
    # Eight pixels share a byte, so the box is widened to where a byte begins.
    byte = left // 8
    bits = np.packbits(np.pad(box_mask, ((0, 0), (left - 8 * byte, 0))), axis=1)
    stride = 1 + (width_px + 7) // 8
    rows = np.zeros((bits.shape[0], stride), dtype=np.uint8)
    rows[:, 1 + byte : 1 + byte + bits.shape[1]] = bits
    pieces = _stream(rows.tobytes(), stride, top, height_px - top - bits.shape[0])
    return _file(_header(canvas_hw, 1, _GREY), pieces)


def _header(size_hw: tuple[int, int], depth: int, colour_type: int) -> bytes:
    return struct.pack(">IIBBBBB", size_hw[1], size_hw[0], depth, colour_type, 0, 0, 0)


def _stream(rows: bytes, stride: int, above: int, below: int) -> list[bytes]:
    """Return the zlib stream of some rows with empty ones above and below, in pieces."""
    checksum = _adler32_zeros(zlib.adler32(rows, _adler32_zeros(1, stride * above)), stride * below)
    middle = [*_empty_rows(stride, above), _deflate(rows), *_empty_rows(stride, below)]
    return [_ZLIB_HEADER, *middle, _LAST_BLOCK, struct.pack(">I", checksum)]


def _file(header: bytes, pieces: list[bytes], extra: list[bytes] | None = None) -> bytes:
    chunks = [*_chunk(b"IHDR", [header]), *(extra or []), *_chunk(b"IDAT", pieces), *_chunk(b"IEND", [])]
    return b"".join([_SIGNATURE, *chunks])


def _check(box_rgba: NDArray[np.uint8], canvas_hw: tuple[int, int], corner_xy: tuple[int, int]) -> None:
    shape = box_rgba.shape
    if box_rgba.dtype != np.uint8 or len(shape) != len("hwc") or shape[2] != _CHANNELS or box_rgba.size == 0:
        raise SegmentationError(f"a cut-out must be a uint8 array of shape (h, w, 4), not {box_rgba.dtype} {shape}")
    x, y = corner_xy
    fits = 0 <= x <= canvas_hw[1] - shape[1] and 0 <= y <= canvas_hw[0] - shape[0]
    if not fits or max(canvas_hw) > _MAX_SIDE_PX:
        raise SegmentationError(
            f"a cut-out of {shape[1]} x {shape[0]} px at ({x}, {y}) does not lie inside a canvas of "
            f"{canvas_hw[1]} x {canvas_hw[0]} px"
        )


def _filter_rows(box: NDArray[np.uint8], stride: int, left: int) -> bytes:
    """Return the box's rows as PNG wants them, each the difference from the row above, with its filter type in front."""
    height_px, width_px, channels = box.shape
    flat = np.reshape(np.ascontiguousarray(box), (height_px, width_px * channels))
    rows = np.zeros((height_px, stride), dtype=np.uint8)
    rows[:, 0] = _FILTER_UP
    inside = slice(1 + left * channels, 1 + (left + width_px) * channels)
    # The row above the box is empty, or there is none, which PNG counts as zeros: either way it is left as it is.
    rows[0, inside] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, inside])
    return rows.tobytes()


def _deflate(data: bytes) -> bytes:
    # On rows that are differences, looking for runs alone is faster than zlib's usual search and packs as well or better.
    compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    # Raw deflate ended by a full flush: byte-aligned, and no later piece looks back into it.
    return compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)


def _empty_rows(stride: int, count: int) -> list[bytes]:
    """Return `count` empty rows, compressed: one piece for each binary digit of `count`."""
    return [_empty_block(stride << bit) for bit in range(count.bit_length()) if count >> bit & 1]


@functools.lru_cache(maxsize=64)
def _empty_block(size_bytes: int) -> bytes:
    # Zeros with filter type "none" in front of each row are zeros throughout.
    return _deflate(bytes([_FILTER_NONE]) * size_bytes)


def _adler32_zeros(checksum: int, count: int) -> int:
    """Return zlib's checksum after `count` more zero bytes: the first sum stays, the second grows by it each time."""
    low, high = checksum & 0xFFFF, checksum >> 16
    return (high + count * low) % _ADLER_MODULUS << 16 | low


def _chunk(kind: bytes, pieces: list[bytes]) -> list[bytes]:
    crc = zlib.crc32(kind)
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return [struct.pack(">I", sum(map(len, pieces))), kind, *pieces, struct.pack(">I", crc)]
