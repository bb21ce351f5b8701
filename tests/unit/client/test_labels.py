"""What scripts leave behind in a reply is held against what was asked of them."""

from __future__ import annotations

import json

import pytest
from pydantic import JsonValue

from sdclient.client.applied import find_changes
from sdclient.dialects.base import Call, Compiled, ReadReply, Route
from sdclient.schemas import ADetailer, Img2Img, SDUpscale, Tiled, Tiles, Txt2Img, UltimateUpscale

ULTIMATE = Img2Img(prompt="x", ultimate_upscale=UltimateUpscale(upscaler="4x-UltraSharp", tile_width=768, padding=16))
BUILT_IN = Img2Img(prompt="x", sd_upscale=SDUpscale(upscaler="Lanczos", overlap=32))
TILED = Txt2Img(prompt="x", tiled=Tiled(diffusion=Tiles(width=768, height=512, overlap=64)))
DONE: dict[str, JsonValue] = {
    "Ultimate SD upscale upscaler": "4x-UltraSharp",
    "Ultimate SD upscale tile_width": 768,
    "Ultimate SD upscale tile_height": "768",
    "Ultimate SD upscale mask_blur": 8,
    "Ultimate SD upscale padding": 16,
}
INTEGRATED: dict[str, JsonValue] = {
    "multidiffusion_enabled": True,
    "multidiffusion_tile_width": 768,
    "multidiffusion_tile_height": 512,
    "multidiffusion_tile_overlap": 64,
}


def changed(
    request: Txt2Img | Img2Img, body: dict[str, JsonValue], labels: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    read = ReadReply(("x",), info={"extra_generation_params": labels})
    compiled = Compiled(Call(Route("POST", "/x"), body))
    return {one.field: one.applied for one in find_changes(request, compiled, read)}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param(DONE, {}, id="as asked"),
        pytest.param({}, {"ultimate_upscale": None}, id="not run"),
        pytest.param({"SD upscale upscaler": "Lanczos"}, {"ultimate_upscale": None}, id="another script ran"),
        pytest.param(
            {**DONE, "Ultimate SD upscale upscaler": "Nearest"}, {"ultimate_upscale.upscaler": "Nearest"}, id="upscaler"
        ),
        pytest.param(
            {**DONE, "Ultimate SD upscale tile_width": 512, "Ultimate SD upscale padding": 32},
            {"ultimate_upscale.tile_width": 512, "ultimate_upscale.padding": 32},
            id="tiles",
        ),
        pytest.param({"Ultimate SD upscale tile_size": 768}, {}, id="an old version"),
    ],
)
def test_ultimate_upscale_is_compared_by_its_labels(
    labels: dict[str, JsonValue], expected: dict[str, JsonValue]
) -> None:
    assert changed(ULTIMATE, {"script_name": "Ultimate SD upscale"}, labels) == expected


def test_silence_of_sdnexts_own_copy_says_nothing() -> None:
    assert changed(ULTIMATE, {"script_name": "SD Ultimate Upscale"}, {}) == {}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"SD upscale upscaler": "Lanczos", "SD upscale overlap": 32}, {}),
        ({"SD upscale upscaler": "None", "SD upscale overlap": 32}, {"sd_upscale.upscaler": "None"}),
        ({}, {"sd_upscale": None}),
    ],
)
def test_the_built_in_upscale_is_compared_by_its_labels(
    labels: dict[str, JsonValue], expected: dict[str, JsonValue]
) -> None:
    assert changed(BUILT_IN, {"script_name": "SD upscale"}, labels) == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (INTEGRATED, {}),
        ({}, {"tiled.diffusion": None}),
        ({**INTEGRATED, "multidiffusion_tile_overlap": 0}, {"tiled.diffusion.overlap": 0}),
    ],
)
def test_the_tiles_that_forge_has_built_in_are_compared_by_their_labels(
    labels: dict[str, JsonValue], expected: dict[str, JsonValue]
) -> None:
    assert changed(TILED, {"alwayson_scripts": {"MultiDiffusion Integrated": {"args": []}}}, labels) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"Tile tile width": 96, "Tile tile height": 64}, {}),
        ({"Latent tile width": 96, "Latent tile height": 32}, {"tiled.diffusion.height": 256}),
        (json.dumps({"Tile tile width": 64}), {"tiled.diffusion.width": 512}),
        ("{broken", {}),
        ({"Tile tile width": "many"}, {}),
    ],
)
def test_the_tiles_of_the_extension_are_compared_in_pixels(told: JsonValue, expected: dict[str, JsonValue]) -> None:
    body: dict[str, JsonValue] = {
        "width": 1024, "height": 1024, "alwayson_scripts": {"Tiled Diffusion": {"args": []}},
    }  # fmt: skip

    assert changed(TILED, body, {"Tiled Diffusion": told}) == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"ADetailer model": "face.pt", "ADetailer model 2nd": "hand.pt"}, {}),
        ({"ADetailer model": "hand.pt"}, {"adetailer[0]": None}),
        ({"ADetailer version": "24"}, {}),
        ({}, {"adetailer": None}),
    ],
)
def test_every_detector_is_looked_for(labels: dict[str, JsonValue], expected: dict[str, JsonValue]) -> None:
    request = Txt2Img(prompt="x", adetailer=(ADetailer(model="face.pt"), ADetailer(model="hand.pt")))

    assert changed(request, {"alwayson_scripts": {"ADetailer": {"args": []}}}, labels) == expected
