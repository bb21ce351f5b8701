"""The payloads that ship, sent to every simulated server: taken, drawn in the expected size, as asked."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from sdclient.client import Client
from sdclient.dialects import DIALECTS, is_refused
from sdclient.errors import LossError
from sdclient.schemas import Img2Img, load_request, payload_names
from sdclient.simulator import Simulator

# What each server is started with: the small ones keep one model, and a payload for another is refused there.
MODELS = {"sdcpp": ["juggernaut_reborn.safetensors"]}


def image(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (40, 90, 120)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("name", [name for name in payload_names() if not name.endswith("-400")])
@pytest.mark.parametrize("dialect_name", list(DIALECTS))
def test_a_simulated_server_draws_every_payload_that_ships(name: str, dialect_name: str) -> None:
    # Half the size draws four times as fast, and says as much.
    request = load_request(name).replace(seed=7, prompt="a red fox", steps=2)
    if isinstance(request, Img2Img):
        size = tuple(side // 2 for side in request.size or (512, 512))
        request = request.replace(init_image=image(*size), width=size[0], height=size[1])
    with Simulator(dialect_name, models=MODELS.get(dialect_name), prerendered=True) as server:
        client = Client(server.url)
        compiled = client.compile(request)
        if is_refused(compiled.losses):
            # The small servers have no upscaler for finished images, and one model; SD.Next's upscalers have names
            # of their own.
            assert dialect_name in ("sdcpp", "koboldcpp", "sdnext")
            assert {loss.field for loss in compiled.losses if loss.severity == "error"} <= {
                *("enlarge", "model", "enlarge.model"),
                *(f"loras[{number}].model" for number in range(3)),
            }
            with pytest.raises(LossError):
                client.txt2img(request) if request.kind == "txt2img" else client.img2img(request.init_image, request)
            assert not [exchange for exchange in server.log if exchange.method == "POST"]
            return
        result = client.txt2img(request) if request.kind == "txt2img" else client.img2img(request.init_image, request)

    assert client.dialect == dialect_name
    scale = 1 if request.enlarge is None else int(request.enlarge.scale)
    if compiled.expected.size is not None:
        inside = 1 if dialect_name == "drawthings" else scale
        assert result.image.size == tuple(side * inside for side in compiled.expected.size)
    # What is lost was said before. The simulated SD.Next keeps to its own option, JPEG.
    lost = {loss.field for loss in compiled.losses}
    assert not [change for change in result.changed if change.field not in lost]
