"""A server of sdapi routes that answers with given bytes, path by path: a real socket, and nothing else is real."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence

from PIL import Image

from sdclient.dialects.facts import drawthings_defaults
from tests.integration.faulty_server import Exchange, FaultyServer, answer

TXT2IMG = "/sdapi/v1/txt2img"
IMG2IMG = "/sdapi/v1/img2img"
OPTIONS = "/sdapi/v1/options"
EXTRAS = "/sdapi/v1/extra-single-image"

NOT_FOUND = answer(b'{"detail":"Not Found"}', "404 Not Found")
A1111_OPTIONS = {"CLIP_stop_at_last_layers": 1, "sd_model_checkpoint": "xl.safetensors [abc]", "samples_format": "png"}
DRAWTHINGS_OPTIONS = {**drawthings_defaults(), "model": "xl.ckpt", "refiner_start": 0.7, "guidance_scale": 4.5}

Answers = Mapping[str, bytes | Sequence[bytes]]


def scripted(answers: Answers, *, dialect: str = "a1111") -> FaultyServer:
    """Return a server of this dialect; a list is answered one after the other, its last for ever."""
    options = A1111_OPTIONS if dialect == "a1111" else DRAWTHINGS_OPTIONS
    given: dict[str, list[bytes]] = {OPTIONS: [as_json(options)]}
    given |= {path: [reply] if isinstance(reply, bytes) else list(reply) for path, reply in answers.items()}

    def script(exchange: Exchange) -> None:
        path = exchange.request.target.partition("?")[0] if exchange.request else ""
        replies = given.get(path, [NOT_FOUND])
        exchange.send(replies.pop(0) if len(replies) > 1 else replies[0])

    return FaultyServer(script)


def base_url(server: FaultyServer) -> str:
    return f"http://127.0.0.1:{server.port}"


def paths(server: FaultyServer, method: str = "POST") -> list[str]:
    """Return the paths that were asked for, in order."""
    return [request.target.partition("?")[0] for request in server.requests if request.method == method]


def as_json(body: object, status: str = "200 OK", *headers: str) -> bytes:
    return answer(json.dumps(body).encode(), status, "Content-Type: application/json", *headers)


def images(*files: bytes, info: object = None, **more: object) -> bytes:
    """Return a reply with these image files, as A1111 writes it where there is an ``info``."""
    body: dict[str, object] = {"images": [base64.b64encode(data).decode() for data in files], **more}
    return as_json(body if info is None else {**body, "parameters": {}, "info": json.dumps(info)})


def png(width: int = 64, height: int = 64, colour: tuple[int, int, int] = (20, 90, 40)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()
