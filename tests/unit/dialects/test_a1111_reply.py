"""A1111's replies: a grid is no image, a map is no image, and odd ``info`` does no harm."""

import json

import pytest

from sdclient.dialects import Call, Compiled, Expected, Route
from sdclient.dialects.a1111_reply import read_generation
from sdclient.errors import BadReplyError

SENT = Compiled(Call(Route("POST", "/sdapi/v1/txt2img"), {}), expected=Expected(images=2))
INFO = {
    "all_seeds": [7, 8],
    "index_of_first_image": 0,
    "infotexts": ["one", "two"],
    "steps": 20,
    "cfg_scale": 7.0,
    "sampler_name": "Euler",
    "seed": 7,
    "width": 512,
    "height": 512,
    "sd_model_name": "m",
    "sd_vae_name": None,
    "extra_generation_params": {"Schedule type": "Karras", "Refiner": "r [1]", "Refiner switch at": 0.7},
}


def reply(*images: str, **info: object) -> dict:
    return {"images": list(images), "info": json.dumps({**INFO, **info})}


def test_images_seeds_and_texts_belong_together() -> None:
    read = read_generation(reply("a", "b"), SENT)

    assert (read.images, read.seeds, read.infotexts) == (("a", "b"), (7, 8), ("one", "two"))
    assert (read.maps, read.grid) == ((), None)


def test_a_grid_is_no_image() -> None:
    read = read_generation(reply("g", "a", "b", index_of_first_image=1, infotexts=["grid", "one", "two"]), SENT)

    assert (read.grid, read.images, read.infotexts) == ("g", ("a", "b"), ("one", "two"))


def test_a_grid_without_a_text_of_its_own_leaves_the_texts() -> None:
    read = read_generation(reply("g", "a", "b", index_of_first_image=1), SENT)

    assert read.infotexts == ("one", "two")


def test_a_grid_alone_is_an_image() -> None:
    assert read_generation(reply("a", index_of_first_image=1), SENT).images == ("a",)


def test_detected_maps_are_no_images() -> None:
    read = read_generation(reply("a", "b", "map1", "map2"), SENT)

    assert (read.images, read.maps) == (("a", "b"), ("map1", "map2"))


def test_an_interrupted_reply_has_fewer_images() -> None:
    read = read_generation(reply("a"), SENT)

    assert (read.images, read.seeds, read.infotexts) == (("a",), (7,), ("one",))


@pytest.mark.parametrize("info", [None, "", "no json", "[1]", 7, {"all_seeds": "x"}, "[" * 100_000, "9" * 5000])
def test_without_a_usable_info_the_count_that_was_asked_for_decides(info: object) -> None:
    read = read_generation({"images": ["a", "b", "map"], "info": info}, SENT)

    assert (read.images, read.maps, read.seeds) == (("a", "b"), ("map",), ())


def test_without_any_count_every_image_is_one() -> None:
    unknown = Compiled(SENT.call)

    assert read_generation({"images": ["a", "b"]}, unknown).images == ("a", "b")


@pytest.mark.parametrize(
    "changed", [{"all_seeds": [7, True]}, {"all_seeds": [7.5]}, {"infotexts": [3]}, {"index_of_first_image": True}]
)
def test_odd_lists_are_left_out(changed: dict) -> None:
    read = read_generation(reply("a", "b", **changed), SENT)

    assert read.images == ("a", "b")
    assert read.seeds in ((), (7, 8))
    assert read.infotexts in ((), ("one", "two"))


def test_settings_are_read_by_the_names_they_are_asked_by() -> None:
    applied = read_generation(reply("a", "b"), SENT).applied

    assert applied == {
        "steps": 20,
        "cfg_scale": 7.0,
        "sampler_name": "Euler",
        "seed": 7,
        "width": 512,
        "height": 512,
        "model": "m",
        "scheduler": "Karras",
        "refiner": "r [1]",
        "switch_at": 0.7,
    }


@pytest.mark.parametrize("changed", [{"extra_generation_params": None}, {"steps": None, "sd_model_name": ["m"]}])
def test_settings_of_odd_types_are_left_out(changed: dict) -> None:
    applied = read_generation(reply("a", "b", **changed), SENT).applied

    assert not {name for name, value in applied.items() if not isinstance(value, int | float | str)}


@pytest.mark.parametrize(
    "body", [None, [], "x", {}, {"images": None}, {"images": []}, {"images": [""]}, {"images": [3]}]
)
def test_a_reply_without_images_is_a_bad_reply(body: object) -> None:
    with pytest.raises(BadReplyError):
        read_generation(body, SENT)
