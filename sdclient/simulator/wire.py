"""Answers that go wrong on the wire: connections reset, cut, silent, slow, or without an end."""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Callable
from http import HTTPStatus

from sdclient.simulator.dialect import Reply
from sdclient.simulator.faultplan import Fault

__all__ = ["DELIVERIES", "Delivery", "Wire", "head"]

SERVER_NAME = "sdclient-simulator"
_FLOOD_BYTES = 64 * 1024
_DRIP_S = 0.3
_FLOOD_MB = 1024.0
_HANG_S = 24 * 3600.0


class Wire:
    """One connection in the hands of a fault.

    Args:
        connection: The socket; after `reset` it is gone.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes) -> None:
        """Send everything.

        Raises:
            OSError: If the client has left.
        """
        self._connection.sendall(data)

    def reset(self) -> None:
        """Close so that the client sees a reset rather than an end."""
        pattern = "hh" if sys.platform == "win32" else "ii"
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(pattern, 1, 0))
        # Detached: files made of a socket keep it open beyond its own close().
        socket.close(self._connection.detach())

    def pause(self, seconds: float) -> bool:
        """Wait, at most until the client leaves.

        Returns:
            Whether the client is still there.
        """
        ends_s = time.monotonic() + seconds
        while (left_s := ends_s - time.monotonic()) > 0:
            self._connection.settimeout(left_s)
            try:
                if not self._connection.recv(1, socket.MSG_PEEK):
                    return False
            except TimeoutError:
                break
            except OSError:
                return False
            # It has sent more, which nobody reads: only the time is left to wait for.
            time.sleep(min(left_s, 0.05))
        self._connection.settimeout(None)
        return True


def head(reply: Reply, framing: str) -> bytes:
    """Write status line and headers.

    Args:
        reply: What is answered.
        framing: The header that says where the body ends, or "" for none.
    """
    lines = [
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
        f"Server: {SERVER_NAME}",
        f"Content-Type: {reply.content_type}",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
        *([framing] if framing else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


Delivery = Callable[[Wire, Reply, Fault], None]


def _length(reply: Reply) -> str:
    return f"Content-Length: {len(reply.payload)}"


def _half(reply: Reply) -> bytes:
    return reply.payload[: len(reply.payload) // 2]


def _reset(wire: Wire, reply: Reply, fault: Fault) -> None:  # noqa: ARG001 - all deliveries are called alike
    wire.reset()


def _close(wire: Wire, reply: Reply, fault: Fault) -> None:
    """Do nothing: the connection ends when a delivery returns."""


def _hang(wire: Wire, reply: Reply, fault: Fault) -> None:  # noqa: ARG001 - all deliveries are called alike
    wire.pause(_HANG_S if fault.seconds is None else fault.seconds)


def _short_body(wire: Wire, reply: Reply, fault: Fault) -> None:  # noqa: ARG001 - all deliveries are called alike
    wire.send(head(reply, _length(reply)) + _half(reply))


def _reset_body(wire: Wire, reply: Reply, fault: Fault) -> None:  # noqa: ARG001 - all deliveries are called alike
    wire.send(head(reply, _length(reply)) + _half(reply))
    # A reset throws away what the client has not read yet; without a moment it might not even see the headers.
    if wire.pause(0.05):
        wire.reset()


def _cut_chunked(wire: Wire, reply: Reply, fault: Fault) -> None:  # noqa: ARG001 - all deliveries are called alike
    piece = _half(reply)
    wire.send(head(reply, "Transfer-Encoding: chunked") + f"{len(piece):x}\r\n".encode() + piece + b"\r\n")


def _cut_unsized(wire: Wire, reply: Reply, fault: Fault) -> None:  # noqa: ARG001 - all deliveries are called alike
    wire.send(head(reply, "Connection: close") + _half(reply))


def _drip_header(wire: Wire, reply: Reply, fault: Fault) -> None:
    _drip(wire, head(reply, _length(reply)) + reply.payload, fault)


def _drip_body(wire: Wire, reply: Reply, fault: Fault) -> None:
    wire.send(head(reply, _length(reply)))
    _drip(wire, reply.payload, fault)


def _drip(wire: Wire, data: bytes, fault: Fault) -> None:
    for value in data:
        wire.send(bytes([value]))
        if not wire.pause(_DRIP_S if fault.seconds is None else fault.seconds):
            return


def _endless_headers(wire: Wire, reply: Reply, fault: Fault) -> None:
    wire.send(head(reply, "X-Endless: yes")[:-2])
    line = b"X-Filler: " + b"a" * 1000 + b"\r\n"
    _flood(wire, line * (_FLOOD_BYTES // len(line)), fault)


def _gigabyte(wire: Wire, reply: Reply, fault: Fault) -> None:
    start, end = b'{"images": ["', b'"]}'
    size_bytes = int((fault.megabytes or _FLOOD_MB) * 1024 * 1024) // _FLOOD_BYTES * _FLOOD_BYTES
    wire.send(head(reply, f"Content-Length: {len(start) + size_bytes + len(end)}") + start)
    _flood(wire, b"A" * _FLOOD_BYTES, fault)
    wire.send(end)


def _flood(wire: Wire, piece: bytes, fault: Fault) -> None:
    for _ in range(int((fault.megabytes or _FLOOD_MB) * 1024 * 1024) // _FLOOD_BYTES):
        wire.send(piece)


def _close_idle(wire: Wire, reply: Reply, fault: Fault) -> None:  # noqa: ARG001 - all deliveries are called alike
    wire.send(head(reply, _length(reply)) + reply.payload)


DELIVERIES: dict[str, Delivery] = {
    "reset": _reset,
    "close": _close,
    "hang": _hang,
    "short-body": _short_body,
    "reset-body": _reset_body,
    "cut-chunked": _cut_chunked,
    "cut-unsized": _cut_unsized,
    "drip-header": _drip_header,
    "drip-body": _drip_body,
    "endless-headers": _endless_headers,
    "gigabyte": _gigabyte,
    "close-idle": _close_idle,
    "restart": _close,
}
