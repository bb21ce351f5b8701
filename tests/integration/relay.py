"""A real HTTP server in front of a simulated one, which may spoil chosen answers and counts what passed."""

from __future__ import annotations

import http.server
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

Spoilt = tuple[int, bytes]
"""Status and body sent instead of what the simulator answers."""


class Relay:
    """Passes requests on; use as a context manager.

    Args:
        behind: Address of the simulated server.
        spoil: What to answer instead, by the number (from 1) of a POST; the server behind does not see that one.
        on_get: Called before a GET is passed on.
    """

    def __init__(
        self, behind: str, spoil: Mapping[int, Spoilt] | None = None, *, on_get: Callable[[], object] = lambda: None
    ) -> None:
        self.bodies: list[dict[str, object]] = []
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                on_get()
                self._answer(*_ask(behind + self.path, None))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                relay.bodies.append(json.loads(body))
                self._answer(*((spoil or {}).get(len(relay.bodies)) or _ask(behind + self.path, body)))

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _ask(url: str, body: bytes | None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read()
