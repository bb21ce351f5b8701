"""Serves a run's page over HTTP: read-only, with a token in the address, to known host names only."""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import os
import secrets
import shutil
import socket
import socketserver
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from sdclient.batch.folder import RunFolder
from sdclient.errors import ConfigurationError, SDClientError
from sdclient.report.live import MIME, LiveRun
from sdclient.report.page import content_policy

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

DEFAULT_PORT = 8765
LOOPBACK = "127.0.0.1"
_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_IDLE_S = 30
_PARTS = 3


class PageServer:
    """A server of one run's page.

    Args:
        folder: The run.
        host: Address to listen at; anything but a loopback address shows the run to the network.
        port: Port to listen at; 0 takes a free one.
        token: Secret part of the address; None draws one.

    Raises:
        ConfigurationError: If the address cannot be listened at.
    """

    def __init__(
        self, folder: RunFolder, *, host: str = LOOPBACK, port: int = DEFAULT_PORT, token: str | None = None
    ) -> None:
        self.run = LiveRun(folder)
        self.token = token or secrets.token_urlsafe(24)
        self.host = host
        try:
            self._server = _Server((host, port), self)
        except (OSError, OverflowError) as exc:
            raise ConfigurationError(
                f"cannot listen at {host} port {port}: {exc}; choose another --port (0: a free one), "
                "and as --host an address of this machine"
            ) from exc
        self.port = int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address to open, with its token."""
        name = LOOPBACK if _is_wildcard(self.host) else self.host
        return f"http://{f'[{name}]' if ':' in name else name}:{self.port}/{self.token}/"

    def serve(self) -> None:
        """Answer until `stop` is called."""
        self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """End `serve`; callable from any other thread."""
        self._server.shutdown()

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def is_known_host(self, header: str) -> bool:
        """Tell whether a Host header names this server.

        A page of somebody else's could have its own name point here; its requests carry that name.
        """
        name, port = _split_host(header)
        if port != self.port:
            return False
        if name in _LOOPBACK_NAMES or name == self.host.lower():
            return True
        return _is_wildcard(self.host) and (_is_address(name) or name in _own_names())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # On Windows that would let two programs listen at one port, and tell neither.
    allow_reuse_address = os.name == "posix"

    def __init__(self, address: tuple[str, int], page: PageServer) -> None:
        self.page = page
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # http.server asks the resolver for the machine's name here, which can take seconds; nobody needs it.
        socketserver.TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base's signature
        log.debug("a browser went away: %s", sys.exc_info()[1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "sdclient"
    sys_version = ""
    timeout = _IDLE_S

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        # The address holds the token: it goes into no log.
        log.debug("%s: %s", self.command, args[1] if len(args) > 1 else format)

    def _answer(self) -> None:
        page = self._page()
        if not page.is_known_host(self.headers.get("Host", "")):
            self._send(HTTPStatus.MISDIRECTED_REQUEST, b"this server is not called that\n")
            return
        # Nothing, the token, and what is asked for; without the last slash the page would not find its images.
        parts = self.path.split("?")[0].split("/", 2)
        token, name = parts[1:] if len(parts) == _PARTS else ("", "")
        if not hmac.compare_digest(token.encode("utf-8", "replace"), page.token.encode()):
            self._send(HTTPStatus.NOT_FOUND, b"open the whole address that sdclient serve has told\n")
            return
        try:
            self._give(page.run, unquote_to_bytes(name).decode("utf-8", "replace"))
        except SDClientError as exc:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, f"{exc}\n".encode("utf-8", "replace"))

    def _page(self) -> PageServer:
        if not isinstance(self.server, _Server):
            raise TypeError("this handler belongs to a page server")
        return self.server.page

    def _give(self, run: LiveRun, name: str) -> None:
        kind, _, key = name.partition("/")
        if name == "":
            self._send(HTTPStatus.OK, run.page(), "text/html; charset=utf-8")
        elif name == "state.json":
            self._send(HTTPStatus.OK, json.dumps({"version": run.version()}).encode(), "application/json")
        elif kind == "thumb" and (data := run.thumb(key)) is not None:
            self._send(HTTPStatus.OK, data, "image/webp", "private, max-age=300")
        else:
            self._send_file(run.before(key) if kind == "before" else run.image(name))

    def _send_file(self, path: Path | None) -> None:
        mime = MIME.get(path.suffix.lower()) if path is not None else None
        try:
            file = path.open("rb") if path is not None and mime is not None else None
        except OSError:
            file = None
        if file is None or mime is None:
            self._send(HTTPStatus.NOT_FOUND, b"no such image in this run\n")
            return
        with file:
            length = file.seek(0, 2)
            file.seek(0)
            # What is redone comes to lie where the old image lay.
            self._head(HTTPStatus.OK, mime, length, "no-store")
            if self.command != "HEAD":
                shutil.copyfileobj(file, self.wfile, 1 << 18)

    def _send(
        self, status: HTTPStatus, body: bytes, mime: str = "text/plain; charset=utf-8", cache: str = "no-store"
    ) -> None:
        self._head(status, mime, len(body), cache)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, mime: str, length: int, cache: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", mime)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Security-Policy", content_policy() + "; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", cache)
        self.end_headers()


def _split_host(header: str) -> tuple[str, int]:
    name, _, port = header.strip().lower().rpartition(":")
    if not port.isdecimal() or len(port) > 5:  # noqa: PLR2004 - 65535 has five digits
        return header.strip().lower().strip("[]"), 80
    return name.strip("[]"), int(port)


def _is_wildcard(host: str) -> bool:
    return host in ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound to


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _own_names() -> frozenset[str]:
    name = socket.gethostname().lower()
    short = name.split(".", maxsplit=1)[0]
    return frozenset({name, short, f"{short}.local"})
