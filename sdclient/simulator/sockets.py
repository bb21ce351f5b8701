"""Sockets: threads per connection, reading requests, writing replies, and dropping everybody at once."""

from __future__ import annotations

import json
import logging
import os
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from sdclient.simulator.dialect import Call, Reply
from sdclient.simulator.faultplan import Fault
from sdclient.simulator.wire import DELIVERIES, SERVER_NAME, Wire

__all__ = ["Answer", "SocketServer"]

_log = logging.getLogger(__name__)
_BODY_LIMIT_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What happens to one request.

    Attributes:
        reply: The reply, or None to drop the connection without one.
        fault: How it goes wrong on the wire, or None.
        on_handed: Called when the last byte of a good delivery has been handed over.
    """

    reply: Reply | None
    fault: Fault | None = None
    on_handed: Callable[[], None] | None = None


class SocketServer(ThreadingHTTPServer):
    """Threads per connection, and a list of connections so that stopping really ends them."""

    daemon_threads = True
    # On Windows that would let two programs listen at one port, and tell neither.
    allow_reuse_address = os.name == "posix"
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], answer: Callable[[Call], Answer], ignore: Callable[[Call], None]
    ) -> None:
        self.answer = answer
        self.ignore = ignore
        self._open: set[socket.socket | tuple[bytes, socket.socket]] = set()
        self._lock = threading.Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without asking for the machine's name."""
        # http.server asks the resolver for the machine's name here, which can take seconds; nobody needs it.
        socketserver.TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Note the connection and give it a thread."""
        # Noted before its thread starts: a connection that nobody has looked at yet must be dropped too.
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Forget the connection and close it."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        with self._lock:
            return len(self._open)

    def drop_connections(self) -> None:
        """End every open connection, so that no thread goes on answering for a stopped server."""
        with self._lock:
            for connection in self._open:
                if isinstance(connection, socket.socket):
                    with suppress(OSError):  # already closed by the other side
                        connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class names them
        """Clients that go away are everyday life; anything else is logged, never printed."""
        _log.debug("simulator: a connection ended early", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Reads one request after the other from a connection and writes the answers."""

    protocol_version = "HTTP/1.1"
    # Without this, headers and body leave in two packets and the second waits for a delayed acknowledgement.
    disable_nagle_algorithm = True
    _cut_next = False
    server: SocketServer  # pyright: ignore[reportIncompatibleVariableOverride] - only this server makes this handler

    def version_string(self) -> str:
        return SERVER_NAME

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class named it
        _log.debug(format, *args)

    def _serve(self) -> None:
        raw = self._read_body()
        if raw is None:
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.command, parts.path, query, headers, raw)
        if self._cut_next:
            # It has arrived and is not taken in, which the client cannot tell from an answer that was lost.
            self.close_connection = True
            self.server.ignore(call)
            return
        answer = self.server.answer(call)
        if answer.reply is None:
            self.close_connection = True
        elif answer.fault is not None and answer.fault.name in DELIVERIES:
            self.close_connection = True
            DELIVERIES[answer.fault.name](Wire(self.connection), answer.reply, answer.fault)
        else:
            self._write(answer.reply)
            if answer.on_handed is not None:
                answer.on_handed()
            self._cut_next = answer.fault is not None and answer.fault.name == "close-next"

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _serve  # noqa: N815 - names of http.server

    def _read_body(self) -> bytes | None:
        """Read the whole body, or answer why not; None ends the connection."""
        if "transfer-encoding" in self.headers:
            self._write(_plain(411, "send a Content-Length"))
            return None
        text = self.headers.get("content-length") or "0"
        if not text.isascii() or not text.isdigit():
            self._write(_plain(400, "bad Content-Length"))
            return None
        length = int(text)
        if length > _BODY_LIMIT_BYTES:
            self._write(_plain(413, f"body larger than {_BODY_LIMIT_BYTES} bytes"))
            return None
        raw = self.rfile.read(length)
        return raw if len(raw) == length else None

    def _write(self, reply: Reply) -> None:
        self.send_response(reply.status)
        if reply.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.payload)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.payload)


def _plain(status: int, text: str) -> Reply:
    return Reply(status, json.dumps({"detail": text}).encode(), headers={"Connection": "close"})
