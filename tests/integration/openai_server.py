"""A small OpenAI-compatible server on loopback that notes what it is sent and answers as it is told."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

Answer = str | tuple[int, str]
"""The words of the model; or a status and a whole body instead."""


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        path: Its path.
        key: Its bearer token.
        body: Its JSON.
    """

    path: str
    key: str
    body: dict[str, object]

    @property
    def question(self) -> str:
        """What the user said."""
        if "prompt" in self.body:
            return str(self.body["prompt"])
        messages = self.body["messages"]
        assert isinstance(messages, list)
        assert [one["role"] for one in messages] == ["system", "user"]
        return str(messages[1]["content"])


class OpenAiServer:
    """Use as a context manager.

    Args:
        answer: Called with the number of a question, from 1, and the request.
        models: What ``GET /v1/models`` names.
    """

    def __init__(self, answer: Callable[[int, Asked], Answer], models: tuple[str, ...] = ("small",)) -> None:
        self.asked: list[Asked] = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                listed = [{"id": name, "object": "model", "created": 1, "owned_by": "me"} for name in models]
                self._send(200, json.dumps({"object": "list", "data": listed}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked = Asked(self.path, self.headers.get("Authorization", "").removeprefix("Bearer "), body)
                owner.asked.append(asked)
                said = answer(len(owner.asked), asked)
                if isinstance(said, tuple):
                    self._send(*said)
                else:
                    self._send(200, json.dumps(_reply(self.path, said)))

            def _send(self, status: int, text: str) -> None:
                data = text.encode()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", text)
                # Asks clients that try again to do so at once.
                self.send_header("retry-after-ms", "1")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                # A client that waited long enough has gone.
                with suppress(ConnectionError):
                    self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> OpenAiServer:  # noqa: PYI034 - Self needs a package beyond the standard library on 3.10
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _reply(path: str, text: str) -> dict[str, object]:
    common: dict[str, object] = {"id": "1", "created": 1, "model": "small"}
    if path.endswith("/chat/completions"):
        message = {"role": "assistant", "content": text}
        choice: dict[str, object] = {"index": 0, "message": message, "finish_reason": "stop"}
        return {**common, "object": "chat.completion", "choices": [choice]}
    assert path.endswith("/completions"), path
    return {
        **common,
        "object": "text_completion",
        "choices": [{"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}],
    }
