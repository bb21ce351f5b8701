"""The payloads that ship, sent to the simulated servers: taken, drawn in the expected size, as asked."""

from __future__ import annotations

import base64
import io
import json
import urllib.request

import pytest
from PIL import Image

from sdclient.dialects import DIALECTS, ServerFacts, detect
from sdclient.schemas import Img2Img, load_request, payload_names
from sdclient.simulator import Simulator


def call(url: str, body: object = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data)) as reply:
        return json.load(reply)


def image(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (40, 90, 120)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("name", [name for name in payload_names() if not name.endswith("-400")])
@pytest.mark.parametrize("dialect_name", list(DIALECTS))
def test_a_simulated_server_draws_every_payload_that_ships(name: str, dialect_name: str) -> None:
    with Simulator(dialect_name) as server:
        options = call(f"{server.url}/sdapi/v1/options")
        dialect = detect(options)
        request = load_request(name).replace(seed=7, prompt="a red fox")
        if isinstance(request, Img2Img):
            request = request.replace(init_image=image(*(request.size or (256, 256))))
        compiled = dialect.compile(
            request.for_dialect(*dialect.overlay_names), ServerFacts(dialect.name, options=options)
        )
        reply = dialect.read_reply(call(server.url + compiled.call.route.path, compiled.call.body), compiled)

    assert dialect.name == dialect_name
    assert len(reply.images) == compiled.expected.images == 1
    with Image.open(io.BytesIO(base64.b64decode(reply.images[0]))) as drawn:
        assert drawn.size == compiled.expected.size
    assert not {field: value for field, value in reply.applied.items() if compiled.asked.get(field, value) != value}
