"""The connections of one call: captured, watched, kept alive, and never used twice."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from sdclient.transport.call import CURRENT_CALL, WatchedReply

__all__ = ["POOL_CLASSES", "SOCKET_OPTIONS"]

_KEEP_ALIVE_IDLE_S = 60
_KEEP_ALIVE_INTERVAL_S = 60
_KEEP_ALIVE_COUNT = 5


def _socket_options() -> Iterable[tuple[int, int, int]]:
    """Name the options of every socket: no delay for small pieces, and keep-alive where the system has it."""
    yield socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
    yield socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1
    wanted = {
        "TCP_KEEPIDLE": _KEEP_ALIVE_IDLE_S,
        "TCP_KEEPALIVE": _KEEP_ALIVE_IDLE_S,  # what macOS calls TCP_KEEPIDLE
        "TCP_KEEPINTVL": _KEEP_ALIVE_INTERVAL_S,
        "TCP_KEEPCNT": _KEEP_ALIVE_COUNT,
    }
    for name, value in wanted.items():
        if hasattr(socket, name):
            yield socket.IPPROTO_TCP, getattr(socket, name), value


SOCKET_OPTIONS = tuple(_socket_options())
"""Triples of level, option and value, for `setsockopt`."""


class _WatchedConnection(HTTPConnection):
    """A connection that tells the current call how far it has come."""

    response_class = WatchedReply

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        CURRENT_CALL.get().capture(sock)
        return sock

    def connect(self) -> None:
        super().connect()
        # urllib3 would keep the connect timeout on while sending, and a large image on a slow network, or
        # a busy server, takes longer than that.
        self.timeout = None
        CURRENT_CALL.get().connected(self.sock)

    # The standard library's signature, not narrowed: it sends headers and body through here.
    def send(self, data: object) -> None:
        try:
            super().send(data)  # type: ignore[arg-type]  # the type it takes is private to typeshed
        except OSError:
            # urllib3 drops some of these on the floor to read an early answer, if there is one.
            CURRENT_CALL.get().sent_whole = False
            raise

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # urllib3 breaks with its own base here
        CURRENT_CALL.get().sent()
        return super().getresponse()


class _WatchedTlsConnection(_WatchedConnection, HTTPSConnection):
    """The same, over TLS."""


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _WatchedConnection  # pyright: ignore[reportAssignmentType] - as with urllib3's own class


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _WatchedTlsConnection  # pyright: ignore[reportAssignmentType] - as with urllib3's own class


POOL_CLASSES: dict[str, type[urllib3.HTTPConnectionPool]] = {"http": _HttpPool, "https": _HttpsPool}
"""What a pool manager of urllib3 builds its pools from."""
