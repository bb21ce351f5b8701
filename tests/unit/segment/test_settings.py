from __future__ import annotations

import json

import pytest

from sdclient.errors import ConfigurationError
from sdclient.segment.generator import MaskGenerator
from sdclient.segment.settings import SegmentSettings


def test_settings_survive_json() -> None:
    settings = SegmentSettings(model="vit_b", device="cuda:1", points_per_side=16, top_n=5, max_area_fraction=0.5)

    assert SegmentSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_lists_and_choices_survive_json() -> None:
    settings = SegmentSettings(
        words=("person", "hair=0.2"),
        outputs=("crop", "ora"),
        nested="parts",
        coco="polygons",
        cover=True,
        feather_px=2.5,
    )

    assert SegmentSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_options_of_a_plugin_survive_json() -> None:
    settings = SegmentSettings(model="bright", options=("above=3", "words"))

    assert SegmentSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_half_precision_is_off_and_enters_a_plan_only_where_it_is_asked_for() -> None:
    asked = SegmentSettings(model="vit_b", half=True)

    assert not SegmentSettings().half
    assert "half" not in SegmentSettings().to_json()
    assert SegmentSettings.from_json(json.loads(json.dumps(asked.to_json()))) == asked


def test_defaults_fill_what_a_plan_leaves_out() -> None:
    assert SegmentSettings.from_json({}) == SegmentSettings()


@pytest.mark.parametrize(
    ("model", "stored"),
    [
        pytest.param("/home/me/models/mine.pth", "mine.pth", id="posix path"),
        pytest.param("C:\\models\\mine.pth", "mine.pth", id="windows path"),
        pytest.param("C:mine.pth", "mine.pth", id="windows drive"),
        pytest.param("vit_h", "vit_h", id="name"),
    ],
)
def test_a_plan_holds_a_checkpoint_by_its_file_name_alone(model: str, stored: str) -> None:
    assert SegmentSettings(model=model).to_json()["model"] == stored


@pytest.mark.parametrize(
    ("values", "named"),
    [
        pytest.param({"points_per_side": 0}, "points_per_side", id="no points"),
        pytest.param({"points_per_side": True}, "points_per_side", id="a truth for a number"),
        pytest.param({"points_per_batch": 2.5}, "points_per_batch", id="half a point"),
        pytest.param({"pred_iou_thresh": 1.5}, "pred_iou_thresh", id="above 1"),
        pytest.param({"pred_iou_thresh": float("nan")}, "pred_iou_thresh", id="not a number"),
        pytest.param({"stability_score_thresh": "0.9"}, "stability_score_thresh", id="text"),
        pytest.param({"crop_n_layers": -1}, "crop_n_layers", id="negative layers"),
        pytest.param({"top_n": 0}, "top_n", id="top none"),
        pytest.param({"min_area_fraction": 0.6, "max_area_fraction": 0.5}, "max_area_fraction", id="crossed"),
        pytest.param({"min_score": -0.1}, "min_score", id="score below 0"),
        pytest.param({"fill_holes_px": -1}, "fill_holes_px", id="negative holes"),
        pytest.param({"feather_px": 257}, "feather_px", id="feather too wide"),
        pytest.param({"half": "yes"}, "half", id="a text for a truth"),
        pytest.param({"half": True, "model": "classical"}, "half precision", id="half of no model"),
        pytest.param({"half": True, "model": "vit_b", "words": ["hair"]}, "half precision", id="half with words"),
        pytest.param({"drop_border": 1}, "drop_border", id="a number for a truth"),
        pytest.param({"nested": "some"}, "nested", id="unknown choice"),
        pytest.param({"coco": True}, "coco", id="a truth for a choice"),
        pytest.param({"outputs": ["psd"]}, "outputs", id="unknown output"),
        pytest.param({"outputs": []}, "outputs", id="no output"),
        pytest.param({"outputs": "cutout"}, "outputs", id="a text for a list"),
        pytest.param({"words": [" "]}, "words", id="blank word"),
        pytest.param({"model": ""}, "model", id="no model"),
        pytest.param({"model": 3}, "model", id="number for a model"),
        pytest.param({"model": None}, "model", id="null for a model"),
        pytest.param({"device": 0}, "device", id="number for a device"),
        pytest.param({"point_per_side": 3}, "point_per_side", id="unknown key"),
    ],
)
def test_wrong_settings_are_refused_by_name(values: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        SegmentSettings.from_json(values)  # type: ignore[arg-type]  # wrong on purpose


def test_the_sam_options_are_ones_the_generator_takes(tiny_sam: object) -> None:
    assert MaskGenerator(tiny_sam, **SegmentSettings().sam_options) is not None
