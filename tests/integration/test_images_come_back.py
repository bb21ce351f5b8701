"""An image made on a server, read back as a payload for that very server, and read by a program nobody here wrote."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from sd_parsers import ParserManager

from sdclient.client import Client
from sdclient.dialects import DIALECTS
from sdclient.dialects.importing import import_image
from sdclient.dialects.keysets import newest_key_set
from sdclient.dialects.showing import compile_for_show
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.simulator import Simulator

MODELS = {"drawthings": "sd_xl_base_1.0_f16.ckpt"}
BARE = {"prompt": "a fox, red: (big:1.2)", "width": 128, "height": 128, "seed": 7}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="all left open"),
        pytest.param({"steps": 2, "sampler_name": "Euler a", "cfg_scale": 5, "negative_prompt": "dull"}, id="plain"),
        pytest.param({"steps": 2, "sampler_name": "DPM++ 2M", "scheduler": "Karras", "clip_skip": 2}, id="a schedule"),
    ],
)
@pytest.mark.parametrize("name", list(DIALECTS))
def test_an_image_becomes_a_payload_that_its_own_server_takes(name: str, fields: dict[str, object]) -> None:
    request = Txt2Img.from_mapping({**BARE, **fields, "model": MODELS.get(name, "sd_xl_base_1.0")})
    with Simulator(name) as server:
        client = Client(server.url)
        result = client.txt2img(request)
        image = result.image
        found = import_image(image.data)
        there = client.check(found.request)
    offline = compile_for_show(found.request, DIALECTS[name], newest_key_set(name).facts())
    parsed = ParserManager().parse(Image.open(io.BytesIO(image.data)))

    # What this program writes into no image.
    assert found.left_out.keys() == ({"LoRAs", "hires fix"} if name == "sdcpp" else set())
    assert not [change for change in result.changed if change.field == "clip_skip"]
    assert found.request.for_dialect(name).clip_skip == fields.get("clip_skip")
    assert not [loss for loss in (*there.items, *offline.losses) if loss.severity == "error"]
    assert {field: getattr(found.request, field) for field in ("prompt", "seed", "width", "height")} == BARE
    if "sampler_name" in fields:
        assert (found.request.sampler_name, found.request.steps) == (fields["sampler_name"], 2)
    assert parsed is not None
    assert [prompt.value for sampler in parsed.samplers for prompt in sampler.prompts] == [BARE["prompt"]]


@pytest.mark.parametrize("name", ["a1111", "forge", "drawthings"])
def test_an_image_drawn_over_remembers_its_loras_and_controls(name: str) -> None:
    bake = Img2Img.load("bake").replace(width=128, height=128, denoising_strength=0.3)
    with Simulator(name) as server:
        client = Client(server.url)
        first = client.txt2img(Txt2Img.from_mapping({**BARE, "model": MODELS.get(name, "sd_xl_base_1.0")}))
        result = client.img2img(first.image, bake)
        found = import_image(result.image.data)

    asked = result.request
    assert [(lora.model, lora.weight) for lora in found.request.loras] == [
        (one.model, one.weight) for one in asked.loras
    ]
    assert [(one.model, one.module, one.weight) for one in found.request.controls] == [
        (one.model, one.module, one.weight) for one in asked.controls
    ]
