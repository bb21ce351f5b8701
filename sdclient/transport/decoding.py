"""What a body's bytes mean: decompression within a limit, and strict JSON."""

from __future__ import annotations

import json
import math
import zlib
from typing import Literal

from sdclient.errors import CodecError

__all__ = ["Inflater", "SizeLimitError", "UnusableJsonError", "decode_json"]

_SHOWN_BYTES = 60
_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
_ZLIB_METHOD = 8
# The first two bytes of a zlib stream, as one number, are a multiple of this (RFC 1950).
_ZLIB_CHECK = 31


class SizeLimitError(CodecError):
    """A body that is larger, once decompressed, than the limit in force."""


class UnusableJsonError(CodecError):
    """JSON in form that no program can use: its message says what it holds."""


class Inflater:
    """Decompresses a gzip or deflate body piece by piece, never past its limit.

    Args:
        coding: `gzip` or `deflate`.
        max_bytes: Most bytes that may come out in all.
    """

    def __init__(self, coding: Literal["gzip", "deflate"], max_bytes: int) -> None:
        self._is_gzip = coding == "gzip"
        self._room_bytes = max_bytes
        self._stream = zlib.decompressobj()
        self._has_begun = False

    @property
    def is_whole(self) -> bool:
        """True once the compressed stream has come to its own, checked end."""
        return self._stream.eof

    def feed(self, data: bytes) -> bytes:
        """Decompress the next piece.

        Raises:
            SizeLimitError: If more than `max_bytes` came out in all; what came out is dropped.
            CodecError: If the bytes are no gzip, zlib or raw deflate stream.
        """
        pieces: list[bytes] = []
        try:
            while data:
                data = self._step(data, pieces)
        except zlib.error as exc:
            raise CodecError(f"compressed body: {exc}; the stream is damaged") from exc
        return b"".join(pieces)

    def _step(self, data: bytes, pieces: list[bytes]) -> bytes:
        """Decompress one member's share of `data` and return what is left for the next member."""
        if self._stream.eof:
            # gzip allows several members in a row; padding after the last one is ignored, as gzip(1) does.
            data = data.lstrip(b"\x00")
        if not data:
            return b""
        if self._stream.eof or not self._has_begun:
            self._stream = zlib.decompressobj(_GZIP if self._is_gzip else _deflate_window(data))
            self._has_begun = True
        piece = self._stream.decompress(data, self._room_bytes + 1)
        if len(piece) > self._room_bytes:
            raise SizeLimitError("compressed body: larger than the limit once decompressed")
        self._room_bytes -= len(piece)
        pieces.append(piece)
        return self._stream.unused_data


def _deflate_window(data: bytes) -> int:
    """Choose the window for `deflate` from the stream's first bytes: with zlib's header or raw."""
    # `deflate` means zlib's format on paper and raw deflate in some servers; the header tells which.
    is_zlib = data[0] & 0x0F == _ZLIB_METHOD and int.from_bytes(data[:2], "big") % _ZLIB_CHECK == 0
    return _ZLIB if is_zlib else _RAW


def decode_json(body: bytes) -> object:
    """Decode strict JSON: UTF-8 (or UTF-16/32), finite numbers, no absurd nesting.

    Args:
        body: The bytes of one JSON text.

    Returns:
        None, bool, int, float, str, list or dict; a repeated key keeps its last value.

    Raises:
        UnusableJsonError: If it holds `NaN`, `Infinity` or a number too large for a float, or is nested too deep to
            read.
        CodecError: If it is not JSON.
    """
    try:
        value: object = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite_float)
    except RecursionError as exc:
        raise UnusableJsonError("JSON that is nested too deep to be read") from exc
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise CodecError(f"not JSON: {exc}; it starts {_start(body)}") from exc
    except UnusableJsonError:
        raise
    except ValueError as exc:
        # Python reads no whole number of thousands of digits.
        raise UnusableJsonError("JSON that holds a number without end") from exc
    return value


def _start(body: bytes) -> str:
    return repr(body[:_SHOWN_BYTES])


def _refuse_constant(name: str) -> object:
    raise UnusableJsonError(f"JSON that holds {name}, which is no number")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise UnusableJsonError("JSON that holds a number too large for any program")
    return value
