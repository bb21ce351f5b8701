"""Sockets: a threaded HTTP server that keeps a log and lets one dialect answer."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qsl, urlsplit

from sdclient.simulator.a1111 import A1111
from sdclient.simulator.dialect import Call, Dialect, Reply, Setup, json_reply
from sdclient.simulator.drawthings import DrawThings
from sdclient.simulator.facts import JsonValue
from sdclient.simulator.log import Exchange, ExchangeLog
from sdclient.simulator.workshop import Workshop, WorkshopClosedError

__all__ = ["DIALECTS", "LOG_PATH", "Simulator"]

_log = logging.getLogger(__name__)

_SERVER_NAME = "sdclient-simulator"
LOG_PATH = "/__simulator__/log"
_BODY_LIMIT_BYTES = 512 * 1024 * 1024
_JOIN_TIMEOUT_S = 10.0

_DIALECTS: Mapping[str, Callable[[Setup, Workshop], Dialect]] = {"a1111": A1111, "drawthings": DrawThings}
DIALECTS: tuple[str, ...] = tuple(_DIALECTS)


class Simulator:
    """A real HTTP server on a real port that behaves like one server program, without a GPU.

    Every reply carries `Server: sdclient-simulator`, so it is never mistaken for a real server. Use it as a context
    manager, or call `start` and `stop`.

    Args:
        dialect: One of `DIALECTS`.
        host: Address to listen on.
        port: Port to listen on; 0 picks a free one.
        delay_s: Extra seconds "painting" each generated image.
        auth: User and password to ask for. Only for dialects that know authentication.
        models: Files of the installed models, the selected one first; None for the stock list.
        seed: Seeds the server's own random choices (a request with seed -1).
        options: Server settings that differ from a fresh install.

    Raises:
        ValueError: If the dialect is unknown, or the options do not fit it.
    """

    def __init__(  # noqa: PLR0913 - the settings of a server, all but the first by keyword
        self,
        dialect: str = "a1111",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        delay_s: float = 0.0,
        auth: tuple[str, str] | None = None,
        models: Sequence[str] | None = None,
        seed: int = 0,
        options: Mapping[str, object] | None = None,
    ) -> None:
        if dialect not in _DIALECTS:
            raise ValueError(f"simulator: no dialect {dialect!r}; choose one of {', '.join(DIALECTS)}")
        self.dialect = dialect
        self._address = (host, port)
        self._workshop = Workshop(delay_s)
        self._dialect = _DIALECTS[dialect](Setup(models, auth, seed, dict(options or {})), self._workshop)
        self._exchanges = ExchangeLog()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Simulator:  # noqa: PYI034 - Self needs a package beyond the standard library on 3.10
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the server answers, for example `http://127.0.0.1:7860`.

        Raises:
            RuntimeError: If it has not been started.
        """
        if self._server is None:
            raise RuntimeError("the simulator has no address before start()")
        host, port = self._server.server_address[:2]
        name = host.decode() if isinstance(host, bytes) else str(host)
        return f"http://{f'[{name}]' if ':' in name else name}:{port}"

    @property
    def log(self) -> list[Exchange]:
        """Every request answered so far, in the order of answering; a copy."""
        return self._exchanges.exchanges()

    def start(self) -> Simulator:
        """Listen, in a thread of its own; does nothing when it already does.

        Raises:
            OSError: If the port is taken.
        """
        if self._server is None:
            self._workshop.open()
            self._server = _Server(self._address, self._answer)
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.05,), name="sdclient-simulator", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and drop every connection, also those that wait for an image; then it may be started again."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        self._server = self._thread = None
        self._workshop.close()
        server.shutdown()
        server.drop_connections()
        server.server_close()
        thread.join(_JOIN_TIMEOUT_S)

    def serve_forever(self) -> None:
        """Start, and return only when another thread stops the server or Ctrl-C ends it."""
        self.start()
        thread = self._thread
        try:
            # A join without a limit cannot be interrupted by Ctrl-C on Windows.
            while thread is not None and thread.is_alive():
                thread.join(0.5)
        finally:
            self.stop()

    def _answer(self, call: Call) -> Reply | None:
        """Answer one call and log it; None says that the connection is to be dropped without an answer."""
        if call.path == LOG_PATH:
            return json_reply(self._exchanges.summary())
        started_s = time.monotonic()
        reply: Reply | None
        try:
            reply = self._dialect.answer(call)
        except WorkshopClosedError:
            reply = None
        except Exception:  # noqa: BLE001 - whatever it is, the client must get an answer and the log the traceback
            _log.exception("simulator: %s %s failed inside the simulator", call.method, call.path)
            reply = Reply(500, b"the simulator itself failed; see its log\n", "text/plain")
        status = 0 if reply is None else reply.status
        exchange = Exchange(call.method, call.path, status, _body(call), started_s, time.monotonic())
        self._exchanges.append(exchange, len(call.raw))
        return reply


def _body(call: Call) -> JsonValue:
    try:
        return call.json() if call.raw else None
    except (ValueError, RecursionError):
        return None


class _Server(ThreadingHTTPServer):
    """Threads per connection, and a list of connections so that stopping really ends them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answer: Callable[[Call], Reply | None]) -> None:
        self.answer = answer
        self._open: set[socket.socket | tuple[bytes, socket.socket]] = set()
        self._lock = threading.Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # http.server asks the resolver for the machine's name here, which can take seconds; nobody needs it.
        super(ThreadingHTTPServer, self).server_bind()
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        # Noted before its thread starts: a connection that nobody has looked at yet must be dropped too.
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

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
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] - only this server makes this handler

    def version_string(self) -> str:
        return _SERVER_NAME

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
        reply = self.server.answer(Call(self.command, parts.path, query, headers, raw))
        if reply is None:
            self.close_connection = True
        else:
            self._write(reply)

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
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.payload)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.payload)


def _plain(status: int, text: str) -> Reply:
    return Reply(status, json.dumps({"detail": text}).encode(), headers={"Connection": "close"})
