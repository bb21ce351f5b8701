"""The generation text, and where it lives in image files."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from sdclient.simulator.infotext import (
    encode_image,
    format_parameters,
    parse_parameters,
    pasted_fields,
    read_parameters,
)

IMAGE = Image.new("RGB", (16, 16), (10, 200, 90))


def test_the_text_has_the_layout_that_readers_expect() -> None:
    text = format_parameters("a fox", "blurry", {"Steps": 20, "VAE": None, "Refiner": "a, b: c", "Size": "8x16"})

    assert text == 'a fox\nNegative prompt: blurry\nSteps: 20, Refiner: "a, b: c", Size: 8x16'


def test_parsing_gives_back_what_was_formatted() -> None:
    text = format_parameters("two\nlines", "no\nno", {"Steps": 20, "ControlNet 0": 'Module: x, "y"', "Size": "8x16"})

    assert parse_parameters(text) == {
        "Prompt": "two\nlines",
        "Negative prompt": "no\nno",
        "Steps": "20",
        "ControlNet 0": 'Module: x, "y"',
        "Size-1": "8",
        "Size-2": "16",
    }


def test_pasting_fills_request_fields_and_leaves_out_what_is_no_number() -> None:
    text = format_parameters("a fox", "", {"Steps": "many", "Seed": 7, "CFG scale": 4.5, "Size": "64x32"})

    assert pasted_fields(text) == {
        "prompt": "a fox",
        "negative_prompt": "",
        "seed": 7,
        "cfg_scale": 4.5,
        "width": 64,
        "height": 32,
    }


@pytest.mark.parametrize("extension", ["png", "jpg", "jpeg", "webp"])
@pytest.mark.parametrize("text", ["plain", "Füchse 狐 🦊"])
def test_every_format_carries_the_text(extension: str, text: str) -> None:
    found = Image.open(io.BytesIO(encode_image(IMAGE, text, extension)))

    assert found.format == {"png": "PNG", "webp": "WEBP"}.get(extension, "JPEG")
    assert read_parameters(found) == text


@pytest.mark.parametrize("extension", ["png", "jpg", "webp"])
def test_without_a_text_nothing_is_written(extension: str) -> None:
    assert read_parameters(Image.open(io.BytesIO(encode_image(IMAGE, None, extension)))) is None


def test_an_unknown_format_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        encode_image(IMAGE, None, "bmp")
