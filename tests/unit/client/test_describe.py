"""The text that an image without metadata gets."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdclient.client.describe import describe, described_text, with_metadata
from sdclient.dialects.base import Call, Loss, Route
from sdclient.images import GeneratedImage
from sdclient.infotext import parse_infotext, read_infotext
from sdclient.schemas import ControlNet, Enlarge, HiresFix, Img2Img, Lora, Refiner, Tiled, Tiles, Txt2Img

ROUTE = Route("POST", "/x")


def image(kind: str = "PNG") -> GeneratedImage:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, kind)
    return GeneratedImage.from_bytes(file.getvalue(), infotext="a fox\nSteps: 3, Seed: 7, Size: 64x64")


def test_every_part_of_a_request_is_named_and_folders_are_not() -> None:
    request = Txt2Img(
        prompt="a fox",
        negative_prompt="blurry",
        model="C:\\models\\xl.safetensors",
        width=1024,
        height=768,
        clip_skip=2,
        refiner=Refiner(model="/home/anna/ref.ckpt", switch_at=0.7),
        hires=HiresFix(first_width=512, first_height=384, strength=0.4),
        enlarge=Enlarge(model="4x", scale=2),
        loras=[Lora(model="sub/detail", weight=0.7), Lora(model="b")],
        controls=[ControlNet(model="tile", weight=0.5)],
        tiled=Tiled(diffusion=Tiles(width=512, height=512)),
    )

    fields = describe(request, 7, Call(ROUTE, {"steps": 30, "guidance_scale": 4.5}), program="Draw Things").fields

    assert fields["Model"] == "xl.safetensors"
    assert (fields["Steps"], fields["CFG scale"], fields["Seed"], fields["Size"]) == ("30", "4.5", "7", "1024x768")
    assert (fields["Refiner"], fields["Refiner switch at"]) == ("ref.ckpt", "0.7")
    assert (fields["Hires first pass"], fields["Hires strength"]) == ("512x384", "0.4")
    assert (fields["Lora"], fields["ControlNet"]) == ("detail: 0.7, b: 1", "tile: 0.5")
    assert (fields["Upscaler"], fields["Upscale factor"], fields["Tile size"]) == ("4x", "2", "512x512")
    assert fields["Version"].startswith("Draw Things via sdclient ")
    assert "Denoising strength" not in fields


def test_what_was_sent_counts_and_what_is_unknown_is_left_out() -> None:
    fields = describe(Img2Img(steps=99), None, Call(ROUTE, {"steps": 12, "strength": 0.3, "width": 64})).fields

    assert fields["Steps"] == "12"
    assert fields["Denoising strength"] == "0.3"
    assert "Seed" not in fields
    assert "Size" not in fields


@pytest.mark.parametrize(("scale", "told"), [(2, "2"), (0, None), (None, None)])
def test_an_upscaler_among_native_keys_is_named_too(scale: int | None, told: str | None) -> None:
    sent = {"upscaler": "models/4x.ckpt", "upscaler_scale": scale}

    fields = describe(Txt2Img(), 7, Call(ROUTE, sent)).fields

    assert (fields["Upscaler"], fields.get("Upscale factor")) == ("4x.ckpt", told)


@given(prompt=st.text(max_size=300), negative=st.text(max_size=100), seed=st.integers(0, 2**32 - 1))
def test_the_text_of_any_prompt_fits_into_a_file_and_comes_back(prompt: str, negative: str, seed: int) -> None:
    request = Txt2Img(prompt=prompt, negative_prompt=negative, width=64, height=64)
    text = described_text(request, seed, Call(ROUTE, {"steps": 3}))
    plain = GeneratedImage.from_bytes(image().data, infotext=text)

    spliced = with_metadata(plain)

    assert spliced.facts.pixels_sha256 == plain.facts.pixels_sha256
    if read_infotext(spliced.data) is not None:
        assert parse_infotext(read_infotext(spliced.data) or "").get_int("Seed") == seed


def test_a_file_that_has_a_text_and_one_that_takes_none_stay_as_they_are() -> None:
    once = with_metadata(image())
    bitmap = image("BMP")

    assert with_metadata(once) is once
    assert with_metadata(bitmap) is bitmap
    assert once.facts.size_bytes == len(once.data)


def test_what_the_server_left_out_is_not_claimed_of_the_image() -> None:
    request = Txt2Img(
        prompt="a fox",
        model="xl",
        clip_skip=2,
        hires=HiresFix(first_width=512, first_height=384),
        loras=[Lora(model="a"), Lora(model="b")],
    )
    losses = (
        Loss("hires", "dropped", "warning", "no"),
        Loss("loras[0].model", "dropped", "warning", "no"),
        Loss("model", "inherited", "warning", "perhaps another"),
    )

    fields = describe(request, 7, Call(ROUTE, {"steps": 3}), losses=losses).fields

    assert (fields["Lora"], fields["Clip skip"]) == ("b: 1", "2")
    assert not {"Model", "Hires first pass", "Hires strength"} & fields.keys()


def test_a_sampler_that_was_left_open_is_called_so_since_readers_look_for_one() -> None:
    assert (
        described_text(Txt2Img(prompt="x", seed=7), 7, Call(ROUTE, {}))
        .splitlines()[1]
        .startswith("Sampler: Default, Schedule type: Default, Seed: 7")
    )
