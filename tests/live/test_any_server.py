"""Any real server, within 64x64 (128x128 on Draw Things) and 2 steps: who it is, what it draws, how it refuses.

Run with::

    SDCLIENT_LIVE_URL=http://127.0.0.1:7860 pytest -m live tests/live

``SDCLIENT_LIVE_MODEL`` names a model; without one, what the server has loaded or shows is used.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress

import pytest
from PIL import Image

from sdclient.client import Client, Result
from sdclient.dialects import DIALECTS
from sdclient.errors import LossError, MissingRouteError, SDClientError, ServerError
from sdclient.schemas import Img2Img, Txt2Img

URL = os.environ.get("SDCLIENT_LIVE_URL", "")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not URL, reason="no real server: set SDCLIENT_LIVE_URL=http://… to run the live tests"),
]


@pytest.fixture(scope="module")
def server() -> Client:
    return Client(URL)


@pytest.fixture(scope="module")
def small(server: Client) -> dict[str, object]:
    """The smallest request that every server draws."""
    side = 128 if server.dialect == "drawthings" else 64
    model = os.environ.get("SDCLIENT_LIVE_MODEL")
    return {
        "steps": 2,
        "width": side,
        "height": side,
        "seed": 7,
        "inherit": True,
        **({"model": model} if model else {}),
    }


@pytest.fixture(scope="module")
def drawn(server: Client, small: dict[str, object]) -> Result:
    return server.txt2img(Txt2Img(prompt="a red fox", **small))


def test_the_server_is_one_of_six(server: Client) -> None:
    assert server.dialect in DIALECTS
    assert server.facts.options


@pytest.mark.parametrize("name", ["models", "vaes", "samplers", "schedulers", "upscalers", "loras", "script_info"])
def test_a_list_is_read_or_the_server_has_none(server: Client, name: str) -> None:
    with suppress(MissingRouteError):
        entries = getattr(server, name)()
        assert all(entry.model_dump() for entry in entries)


def test_a_word_becomes_an_image(drawn: Result, small: dict[str, object]) -> None:
    assert drawn.image.size == (small["width"], small["height"])
    assert drawn.seed in (7, None)
    assert drawn.image.infotext


def test_what_was_asked_was_applied(drawn: Result) -> None:
    assert not [change for change in drawn.changed if change.field in ("steps", "seed", "width", "height")]


def test_the_same_seed_draws_the_same_image(server: Client, drawn: Result, small: dict[str, object]) -> None:
    again = server.txt2img(Txt2Img(prompt="a red fox", **small))

    assert _pixels(again.image.data) == _pixels(drawn.image.data)


def test_an_image_is_drawn_over(server: Client, drawn: Result, small: dict[str, object]) -> None:
    request = Img2Img(prompt="a blue fox", denoising_strength=0.5, **small)

    result = server.img2img(drawn.image, request)

    assert result.image.size == drawn.image.size


def test_a_sampler_that_nobody_has_is_refused_before_or_by_the_server(server: Client, small: dict[str, object]) -> None:
    with pytest.raises((LossError, ServerError), match="nonsense"):
        server.txt2img(Txt2Img(prompt="x", sampler_name="nonsense sampler", **small))


def test_a_model_that_nobody_has_is_an_error_of_ours(server: Client, small: dict[str, object]) -> None:
    with pytest.raises(SDClientError):
        server.txt2img(Txt2Img(prompt="x", **{**small, "model": "no such model at all"}))


def _pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").tobytes()
