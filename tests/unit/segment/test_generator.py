from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from sdclient.errors import ConfigurationError, SegmentationError
from sdclient.segment.generator import GeneratedMask, MaskGenerator
from sdclient.segment.options import ResolvedOptions
from tests.unit.segment.conftest import build_tiny_sam

if TYPE_CHECKING:
    from conftest import RecordingSam

# Low thresholds: the tiny model's weights are noise, and so are its ratings.
EASY = {
    "points_per_side": 6,
    "pred_iou_thresh": -100.0,
    "stability_score_thresh": 0.3,
    "stability_score_offset": 0.05,
    "box_nms_thresh": 0.99,
    "crop_nms_thresh": 0.99,
}


def middle_rating(sam: Sam, image: np.ndarray) -> float:
    everything = EASY | {"stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
    return float(np.median([mask.predicted_iou for mask in MaskGenerator(sam, **everything).generate(image)]))


def as_reference(mask: GeneratedMask) -> dict[str, object]:
    return {
        "segmentation": mask.rle,
        "area": mask.area,
        "bbox": list(mask.bbox_xywh),
        "predicted_iou": mask.predicted_iou,
        "point_coords": [list(mask.point_xy)],
        "stability_score": mask.stability_score,
        "crop_box": list(mask.crop_box_xywh),
    }


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="whole image"),
        pytest.param({"points_per_batch": 1000, "points_per_side": 9}, id="one batch of 81 points"),
        pytest.param({"points_per_batch": 7}, id="batches with a rest"),
        pytest.param({"crop_n_layers": 1}, id="quarters too"),
        pytest.param({"crop_n_layers": 1, "crop_n_points_downscale_factor": 2}, id="fewer points in quarters"),
        pytest.param({"crop_n_layers": 2, "points_per_side": 3, "crop_nms_thresh": 1.0}, id="sixteenths too"),
        pytest.param({"min_mask_region_area": 50}, id="mended masks"),
        pytest.param({"min_mask_region_area": 30, "crop_n_layers": 1}, id="mended masks of quarters"),
        pytest.param({"box_nms_thresh": 1.0}, id="duplicates kept"),
        pytest.param({"stability_score_thresh": 0.0}, id="any stability"),
        pytest.param({"points_per_side": None, "point_grids": [np.array([[0.2, 0.4], [0.7, 0.5]])]}, id="own points"),
    ],
)
def test_masks_scores_and_order_are_those_of_segment_anything(
    tiny_sam: Sam, scene_rgb: np.ndarray, changes: dict[str, object]
) -> None:
    options = EASY | {"pred_iou_thresh": middle_rating(tiny_sam, scene_rgb)} | changes
    expected = SamAutomaticMaskGenerator(tiny_sam, output_mode="uncompressed_rle", **options).generate(scene_rgb)

    found = MaskGenerator(tiny_sam, **options).generate(scene_rgb)

    assert expected
    assert [as_reference(mask) for mask in found] == expected


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"crop_n_layers": 1}, id="quarters"),
        pytest.param({"crop_n_layers": 1, "crop_nms_thresh": 0.5, "crop_overlap_ratio": 0.2}, id="less overlap"),
        pytest.param({"crop_n_layers": 1, "min_mask_region_area": 20}, id="mended"),
        pytest.param({"crop_n_layers": 2, "points_per_side": 4, "crop_n_points_downscale_factor": 2}, id="sixteenths"),
    ],
)
def test_masks_of_crops_lie_where_segment_anything_puts_them(
    speckled_sam: Sam, scene_rgb: np.ndarray, changes: dict[str, object]
) -> None:
    image = cv2.resize(scene_rgb, (640, 480))
    options = EASY | {"stability_score_thresh": 0.1, "stability_score_offset": 0.01} | changes
    expected = SamAutomaticMaskGenerator(speckled_sam, output_mode="uncompressed_rle", **options).generate(image)

    found = MaskGenerator(speckled_sam, **options).generate(image)

    assert any(mask.crop_box_xywh != (0, 0, 640, 480) for mask in found)
    assert [as_reference(mask) for mask in found] == expected


def test_options_have_segment_anythings_names_and_defaults() -> None:
    theirs = inspect.signature(SamAutomaticMaskGenerator).parameters
    ours = {field.name: field.default for field in dataclasses.fields(ResolvedOptions)}

    assert ours == {name: one.default for name, one in theirs.items() if name not in ("model", "output_mode")}


@pytest.mark.parametrize("size_hw", [(128, 128), (97, 301), (40, 30)], ids=["square", "wide", "smaller than the model"])
def test_pixels_agree_at_every_shape_of_image(tiny_sam: Sam, scene_rgb: np.ndarray, size_hw: tuple[int, int]) -> None:
    image = np.resize(scene_rgb, (*size_hw, 3))
    expected = SamAutomaticMaskGenerator(tiny_sam, **EASY).generate(image)

    found = MaskGenerator(tiny_sam, **EASY).generate(image)

    assert len(found) == len(expected) > 0
    for mask, record in zip(found, expected, strict=True):
        assert np.array_equal(mask.mask_hw, record["segmentation"])


def test_results_do_not_change_from_one_image_to_the_next(tiny_sam: Sam, scene_rgb: np.ndarray) -> None:
    generator = MaskGenerator(tiny_sam, **EASY | {"points_per_side": 12})

    first, again = generator.generate(scene_rgb), generator.generate(scene_rgb)

    assert first == again


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("mended", [0, 25])
def test_no_mask_that_passes_gives_an_empty_list(
    tiny_sam: Sam, scene_rgb: np.ndarray, layers: int, mended: int
) -> None:
    options = EASY | {"pred_iou_thresh": 100.0, "crop_n_layers": layers, "min_mask_region_area": mended}

    assert MaskGenerator(tiny_sam, **options).generate(scene_rgb) == []


def test_only_a_bounded_number_of_masks_is_at_full_size_at_once(recording_sam: RecordingSam) -> None:
    side_px = 1500

    MaskGenerator(recording_sam, **EASY).generate(np.zeros((side_px, side_px, 3), np.uint8))

    assert sum(recording_sam.enlarged_at_once) >= 3 * 6 * 6
    assert max(recording_sam.enlarged_at_once) * side_px**2 * 4 <= 128 * 2**20


def test_masks_the_model_rates_too_low_are_never_enlarged(recording_sam: RecordingSam) -> None:
    MaskGenerator(recording_sam, **EASY | {"pred_iou_thresh": 100.0}).generate(np.zeros((90, 90, 3), np.uint8))

    assert recording_sam.enlarged_at_once == []


def test_a_generated_mask_becomes_an_object_whose_box_covers_it(tiny_sam: Sam, scene_rgb: np.ndarray) -> None:
    mask = MaskGenerator(tiny_sam, **EASY).generate(scene_rgb)[0]

    item = mask.to_object()

    x, y, width, height = item.bbox_xywh
    assert mask.mask_hw[y : y + height, x : x + width].sum() == item.area_px == mask.area
    assert (width, height) == (mask.bbox_xywh[2] + 1, mask.bbox_xywh[3] + 1)
    assert 0 <= item.score <= 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        pytest.param({"points_per_sid": 3}, "did you mean points_per_side", id="misspelt"),
        pytest.param({"output_mode": "coco_rle"}, "known are", id="unknown"),
        pytest.param({"points_per_side": None}, "exactly one", id="no points"),
        pytest.param({"point_grids": [np.zeros((1, 2))]}, "exactly one", id="points twice"),
        pytest.param({"points_per_side": 0}, "points_per_side", id="zero points"),
        pytest.param({"points_per_batch": True}, "points_per_batch", id="a truth for a number"),
        pytest.param({"pred_iou_thresh": float("nan")}, "pred_iou_thresh", id="not a number"),
        pytest.param(
            {"points_per_side": None, "point_grids": [np.zeros((1, 2))], "crop_n_layers": 1},
            "2 point grids",
            id="too few grids",
        ),
    ],
)
def test_wrong_options_are_refused_by_name(tiny_sam: Sam, options: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        MaskGenerator(tiny_sam, **options)


def test_an_array_that_is_no_rgb_image_is_refused(tiny_sam: Sam) -> None:
    with pytest.raises(SegmentationError, match="uint8 array"):
        MaskGenerator(tiny_sam).generate(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 20_000), (20_000, 1)], ids=["one pixel", "wide strip", "high strip"])
def test_images_of_extreme_shape_are_answered_without_an_error(tiny_sam: Sam, size_hw: tuple[int, int]) -> None:
    image = np.full((*size_hw, 3), 120, np.uint8)

    found = MaskGenerator(tiny_sam, points_per_side=2).generate(image)

    assert all(mask.runs.size_hw == size_hw for mask in found)


class BreaksOff(Sam):
    """Fails once, in the middle of an image."""

    is_broken = True

    def postprocess_masks(self, masks: torch.Tensor, *sizes: tuple[int, ...]) -> torch.Tensor:
        if self.is_broken:
            self.is_broken = False
            raise KeyboardInterrupt
        return super().postprocess_masks(masks, *sizes)


def test_an_image_that_was_broken_off_leaves_nothing_behind_for_the_next(tiny_sam: Sam, scene_rgb: np.ndarray) -> None:
    another = np.ascontiguousarray(scene_rgb[::-1, ::-1])
    expected = MaskGenerator(tiny_sam, **EASY).generate(another)
    generator = MaskGenerator(build_tiny_sam(BreaksOff), **EASY)
    with pytest.raises(KeyboardInterrupt):
        generator.generate(scene_rgb)

    found = generator.generate(another)

    assert found == expected != []
