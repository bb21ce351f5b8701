"""Cut-outs that follow a drawing take what `sdclient segment` takes, as name=value."""

from __future__ import annotations

import click
import pytest

from sdclient.cli.cutouts import read_cutout_sets
from sdclient.errors import ConfigurationError
from sdclient.segment import SegmentSettings


def test_nothing_said_is_what_the_segment_command_does_by_default() -> None:
    assert read_cutout_sets("-odd name.pth", []) == SegmentSettings(model="-odd name.pth")


def test_every_kind_of_option_is_taken_by_its_name() -> None:
    sets = ["top=5", "output=crop, mask", "min_area = 0.01", "--feather=2.5", "cover=yes", "coco=no", "polygons=true"]
    sets += ["option=above=240", "option=below=3", "nested=wholes"]

    settings = read_cutout_sets("bright", sets)

    assert settings == SegmentSettings(
        model="bright", top_n=5, outputs=("crop", "mask"), min_area_fraction=0.01, feather_px=2.5, cover=True,
        coco="polygons", options=("above=240", "below=3"), nested="wholes",
    )  # fmt: skip
    assert read_cutout_sets("MODELS", ["words=person,hair=0.2"]).words == ("person", "hair=0.2")


def test_half_precision_is_off_unless_it_is_switched_on() -> None:
    assert read_cutout_sets("vit_b", ["half=yes"]) == SegmentSettings(model="vit_b", half=True)
    assert read_cutout_sets("vit_b", ["half=no"]) == read_cutout_sets("vit_b", []) == SegmentSettings(model="vit_b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tops=5", "did you mean top?"),
        ("top", "write NAME=VALUE, with NAME out of device"),
        ("model=vit_b", "write NAME=VALUE, with NAME out of device"),
        ("top=0", "'--top': 0 is not in the range x>=1"),
        ("cover=perhaps", "say yes or no"),
    ],
)
def test_a_slip_is_named(text: str, said: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        read_cutout_sets("classical", [text])

    assert said in raised.value.format_message()


def test_values_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no object would be kept"):
        read_cutout_sets("classical", ["min-area=0.5", "max-area=0.1"])


@pytest.mark.parametrize("text", ["words=", "words=,"])
def test_no_words_at_all_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="words is empty"):
        read_cutout_sets("MODELS", [text])
