"""The user comment of an EXIF block: where JPEG and WebP files keep their `parameters` text."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from sdclient.errors import CodecError

__all__ = ["EXIF_PREFIX", "decode_user_comment", "encode_user_comment", "user_comment_bytes"]

EXIF_PREFIX = b"Exif\x00\x00"
"""Stands before the block in a JPEG segment, and in the WebP files of some writers."""

# How a block begins, and the order of the bytes of its numbers.
_ORDERS: Mapping[bytes, str] = {b"II*\x00": "<", b"MM\x00*": ">"}
_EXIF_IFD = 0x8769
_EXIF_VERSION = 0x9000
_USER_COMMENT = 0x9286
_LONG, _UNDEFINED = 4, 7
_ENTRY_BYTES = 12
_CHARSET_BYTES = 8
_UNICODE = b"UNICODE\x00"
_ASCII = b"ASCII\x00\x00\x00"
_UNDECLARED = bytes(_CHARSET_BYTES)


def encode_user_comment(text: str) -> bytes:
    """Build an EXIF block that holds nothing but `text`, without `EXIF_PREFIX`.

    The text is UTF-16, high byte first, in a big-endian block: the one form that all readers of `parameters` take.

    Raises:
        CodecError: `text` has lone surrogates, which no encoding can hold.
    """
    try:
        comment = _UNICODE + text.encode("utf-16-be")
    except UnicodeEncodeError as exc:
        raise CodecError(f"metadata text cannot be encoded: {exc.reason} at character {exc.start}") from exc
    root_at, exif_at, comment_at = 8, 26, 56
    header = struct.pack(">2sHI", b"MM", 42, root_at)
    root = struct.pack(">HHHIII", 1, _EXIF_IFD, _LONG, 1, exif_at, 0)
    exif = struct.pack(">H", 2) + struct.pack(">HHI4s", _EXIF_VERSION, _UNDEFINED, 4, b"0232")
    exif += struct.pack(">HHIII", _USER_COMMENT, _UNDEFINED, len(comment), comment_at, 0)
    return header + root + exif + comment


def decode_user_comment(block: bytes, *, max_bytes: int | None = None) -> str | None:
    """Read the user comment of an EXIF block, with or without `EXIF_PREFIX`.

    Args:
        block: The block.
        max_bytes: A longer comment is not read, in bytes as stored; None reads every one.

    Returns:
        The text; None if there is none, it is broken, or longer than `max_bytes`.
    """
    block = block.removeprefix(EXIF_PREFIX)
    place = _find_comment(block)
    if place is None or (max_bytes is not None and place.stop - place.start > max_bytes):
        return None
    return _decode_comment(block[place], _ORDERS[block[:4]])


def user_comment_bytes(block: bytes) -> int:
    """Return how many bytes the user comment of an EXIF block takes; 0 if there is none or it is broken."""
    place = _find_comment(block.removeprefix(EXIF_PREFIX))
    return 0 if place is None else int(place.stop - place.start)


def _find_comment(block: bytes) -> slice | None:
    order = _ORDERS.get(block[:4])
    if order is None:
        return None
    try:
        (root_at,) = struct.unpack_from(f"{order}I", block, 4)
        exif_entry = _find_entry(block, order, root_at, _EXIF_IFD)
        comment_entry = exif_entry and _find_entry(block, order, exif_entry[1], _USER_COMMENT)
    except struct.error:
        return None
    if not comment_entry:
        return None
    length, start = comment_entry
    if length <= _CHARSET_BYTES or start + length > len(block):
        return None
    return slice(start, start + length)


def _find_entry(block: bytes, order: str, directory_at: int, tag: int) -> tuple[int, int] | None:
    """Find `tag` in the directory at `directory_at`: its count and its value (or the value's offset)."""
    (entries,) = struct.unpack_from(f"{order}H", block, directory_at)
    for index in range(entries):
        place = directory_at + 2 + index * _ENTRY_BYTES
        found, _kind, count, value = struct.unpack_from(f"{order}HHII", block, place)
        if found == tag:
            return count, value
    return None


def _decode_comment(comment: bytes, order: str) -> str | None:
    charset, payload = comment[:_CHARSET_BYTES], comment[_CHARSET_BYTES:]
    try:
        if charset == _UNICODE:
            text = _decode_utf16(payload, order)
        elif charset in {_ASCII, _UNDECLARED}:
            # Writers that know no better put UTF-8 here; for plain ASCII it is the same.
            text = payload.decode("utf-8")
        else:
            return None
    except UnicodeDecodeError:
        return None
    return text.rstrip("\x00") or None


def _decode_utf16(payload: bytes, order: str) -> str:
    """Decode UTF-16 of unknown byte order: the standard says the block's, most writers say high byte first.

    Every `parameters` text has many ASCII characters, and their high byte is zero.
    """
    if payload[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return payload.decode("utf-16")
    if len(payload) % 2:
        payload = payload[:-1]
    zeros_if_big, zeros_if_little = payload[0::2].count(0), payload[1::2].count(0)
    if zeros_if_big == zeros_if_little:
        return payload.decode("utf-16-le" if order == "<" else "utf-16-be")
    return payload.decode("utf-16-be" if zeros_if_big > zeros_if_little else "utf-16-le")
