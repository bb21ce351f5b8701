"""Which program answers, from the body of GET options alone."""

import pytest

from sdclient.dialects import DIALECTS, Dialect, detect, dialect_named
from sdclient.dialects.facts import drawthings_keys
from sdclient.errors import ConfigurationError, WrongServerError

A1111_OPTIONS = {"sd_model_checkpoint": "m", "CLIP_stop_at_last_layers": 1, "samples_format": "png", "sd_vae": "x"}


@pytest.mark.parametrize(
    ("options", "name"), [(A1111_OPTIONS, "a1111"), (dict.fromkeys(drawthings_keys()), "drawthings")]
)
def test_a_program_is_told_by_its_options(options: dict, name: str) -> None:
    assert detect(options).name == name


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({**A1111_OPTIONS, "forge_preset": "xl"}, "Forge"),
        ({**A1111_OPTIONS, "diffusers_offload_mode": "none"}, r"SD\.Next"),
        ({"samples_format": "png", "sd_model_checkpoint": "inactive"}, "KoboldCpp"),
        ({"samples_format": "png", "sd_model_checkpoint": "m"}, r"stable-diffusion\.cpp or KoboldCpp"),
    ],
)
def test_a_program_that_is_not_spoken_yet_is_named(options: dict, title: str) -> None:
    with pytest.raises(WrongServerError, match=f"http://x: this seems to be {title}, which this version"):
        detect(options, server="http://x")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 200, "an object with no keys"),
        ({"hello": 1, "world": 2}, 200, "an object with hello, world"),
        (dict.fromkeys("abcdef"), 200, "an object with a, b, c, d, …"),
        ([], 200, "no JSON object"),
        (None, 200, "no JSON object"),
        ("<html>", 200, "no JSON object"),
        (A1111_OPTIONS, 404, "status 404"),
    ],
)
def test_what_is_no_such_server_is_said(body: object, status: int, words: str) -> None:
    with pytest.raises(WrongServerError) as caught:
        detect(body, status=status)

    assert words in str(caught.value)
    assert caught.value.status == status


def test_dialects_are_found_by_name() -> None:
    assert sorted(DIALECTS) == ["a1111", "drawthings"]
    assert dialect_named("a1111") is DIALECTS["a1111"]
    with pytest.raises(ConfigurationError, match=r"'drawthing': not spoken here; did you mean drawthings\?"):
        dialect_named("drawthing")
    with pytest.raises(ConfigurationError, match="known are a1111, drawthings"):
        dialect_named("comfy")


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
def test_every_dialect_says_what_a_client_must_know(dialect: Dialect) -> None:
    assert dialect.overlay_names[-1] == dialect.name
    assert dialect.title
    assert dialect.granularity_px in (8, 64)
    assert {dialect.route(kind).method for kind in ("txt2img", "img2img")} == {"POST"}
