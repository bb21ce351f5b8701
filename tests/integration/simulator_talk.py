"""Speaking to a simulator without any client of ours, and reading what it answers."""

from __future__ import annotations

import base64
import http.client
import io
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from PIL import Image

from sdclient.simulator import Simulator

SMALL: dict[str, object] = {"prompt": "a fox", "seed": 3, "steps": 9, "width": 64, "height": 64}


@dataclass
class Heard:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, object]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def info(self) -> dict[str, object]:
        return json.loads(str(self.document["info"]))

    @property
    def images(self) -> list[Image.Image]:
        return [decoded(str(text)) for text in self.document["images"]]  # type: ignore[attr-defined]


def connect(server: Simulator, timeout_s: float = 60) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=timeout_s)


def ask(
    server: Simulator, path: str, body: object = None, method: str | None = None, headers: dict[str, str] | None = None
) -> Heard:
    """Make one request on a connection of its own; a path without a slash is below the API."""
    line = connect(server)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    full = path if path.startswith("/") else f"/sdapi/v1/{path}"
    try:
        line.request(method or ("GET" if body is None else "POST"), full, data, headers or {})
        reply = line.getresponse()
        return Heard(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
    finally:
        line.close()


def rows(server: Simulator, path: str) -> list[dict[str, object]]:
    heard = ask(server, path)
    assert heard.status == 200, heard.body
    found = json.loads(heard.body)
    assert isinstance(found, list)
    return found


def generate(server: Simulator, route: str = "txt2img", **changes: object) -> Heard:
    heard = ask(server, route, {**SMALL, **changes})
    assert heard.status == 200, heard.body[:500]
    return heard


def decoded(text: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
    image.load()
    return image


def encoded(size: tuple[int, int] = (64, 64), color: object = "teal") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")  # type: ignore[arg-type]
    return base64.b64encode(buffer.getvalue()).decode()
