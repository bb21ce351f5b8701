"""Half precision: off unless asked for, and used only where masks stay within its bound."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.modeling import Sam

from sdclient.segment import MaskGenerator, Prompt, SamSegmenter
from sdclient.segment.encoding import Agreement, Encoding
from tests.unit.segment.conftest import build_tiny_sam

OPEN = {"points_per_side": 4, "pred_iou_thresh": -9.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}


def calm_sam() -> Sam:
    """A model whose answers change little where its encoder rounds otherwise, as those of trained weights do."""
    sam = build_tiny_sam()
    with torch.no_grad():
        for parameter in sam.mask_decoder.iou_prediction_head.parameters():
            parameter.mul_(0.1)
    return sam


def rounding_sam() -> Sam:
    """A model whose ratings make much of every rounding."""
    sam = build_tiny_sam()
    with torch.no_grad():
        for parameter in sam.mask_decoder.iou_prediction_head.parameters():
            parameter.mul_(3.0)
    return sam


def overflowing_sam() -> Sam:
    """A model with a step whose numbers float16 cannot hold, which the next step makes ordinary again."""
    sam = calm_sam()
    first, second = sam.image_encoder.neck[0], sam.image_encoder.neck[1]
    with torch.no_grad():
        first.weight.mul_(1e6)
        second.eps = second.eps * 1e12
    return sam


def features(sam: Sam, image_rgb: np.ndarray, encoding: Encoding) -> torch.Tensor:
    predictor = SamPredictor(sam)
    encoding.show(predictor, image_rgb)
    return predictor.features


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_used_within_its_bound_and_says_how_well_it_agrees(
    scene_rgb: np.ndarray, dtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    sam = calm_sam()
    encoding = Encoding("tiny", half=True, dtype=dtype)
    exact = features(sam, scene_rgb, Encoding())

    with caplog.at_level(logging.INFO):
        half = features(sam, scene_rgb, encoding)

    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    assert torch.allclose(half, exact, atol=0.2)
    assert encoding.agreement is not None
    assert 0.95 <= encoding.agreement.mean_iou < 1
    assert 0 < encoding.agreement.rating_difference <= 0.02
    (remark,) = encoding.remarks
    assert remark.startswith(
        f"tiny: half precision ({dtype}) is used, for it agrees with float32: mean IoU of masks 0.9"
    )
    assert [(record.levelname, record.message) for record in caplog.records] == [("INFO", remark)]


@pytest.mark.filterwarnings("ignore:In CPU autocast")
@pytest.mark.parametrize(
    ("sam", "dtype", "words"),
    [
        (rounding_sam, "bfloat16", "(bfloat16) strays too far from float32, mean IoU of masks 0."),
        (overflowing_sam, "float16", "(float16) overflows: float32 from here on"),
        (calm_sam, "float8_e4m3fn", "(float8_e4m3fn) is not to be had on cpu"),
    ],
    ids=["ratings differ", "overflow", "not to be had"],
)
def test_beyond_its_bound_float32_does_it_from_there_on_and_it_is_said(
    scene_rgb: np.ndarray, sam: type[Sam], dtype: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = sam()
    encoding = Encoding("tiny", half=True, dtype=dtype)
    exact = MaskGenerator(model, **OPEN).generate(scene_rgb)
    generator = MaskGenerator(model, half=encoding, **OPEN)

    first, second = generator.generate(scene_rgb), generator.generate(scene_rgb)

    assert first == second == exact != []
    (remark,) = encoding.remarks
    assert words in remark
    assert remark.endswith("float32 from here on")
    assert [(record.levelname, record.message) for record in caplog.records] == [("WARNING", remark)]


def test_an_image_that_overflows_later_is_encoded_in_float32(scene_rgb: np.ndarray) -> None:
    sam = calm_sam()
    encoding = Encoding("tiny", half=True, dtype="float16")
    features(sam, scene_rgb, encoding)
    exact = features(overflowing_sam(), scene_rgb, Encoding())

    found = features(overflowing_sam(), scene_rgb, encoding)

    assert torch.equal(found, exact)
    assert encoding.remarks[1:] == ["tiny: half precision (float16) overflows: float32 from here on"]


def test_after_so_many_images_one_is_held_against_float32_again(scene_rgb: np.ndarray) -> None:
    calm, rounding = calm_sam(), rounding_sam()
    encoding = Encoding("tiny", half=True, check_every=3)
    for _ in range(3):
        features(calm, scene_rgb, encoding)
    before = list(encoding.remarks)

    found = features(rounding, scene_rgb, encoding)

    assert len(before) == 1
    assert len(encoding.remarks) == 2
    assert "strays too far" in encoding.remarks[1]
    assert torch.equal(found, features(rounding, scene_rgb, Encoding()))


def test_numbers_that_are_none_are_never_within_the_bound() -> None:
    assert Agreement(0.95, 0.02).is_within_bound
    assert not Agreement(float("nan"), 0.0).is_within_bound
    assert not Agreement(1.0, float("nan")).is_within_bound
    assert not Agreement(0.9499, 0.0).is_within_bound
    assert not Agreement(1.0, 0.0201).is_within_bound


def test_unless_asked_for_masks_are_segment_anythings_to_the_bit(scene_rgb: np.ndarray) -> None:
    sam = calm_sam()
    expected = SamAutomaticMaskGenerator(sam, output_mode="uncompressed_rle", **OPEN).generate(scene_rgb)
    halved = SamSegmenter("tiny", sam, device="cpu", half=True, **OPEN)
    halved.segment(scene_rgb)
    segmenter = SamSegmenter("tiny", sam, device="cpu", **OPEN)

    found = MaskGenerator(sam, **OPEN).generate(scene_rgb)
    objects = segmenter.segment(scene_rgb)

    assert [(mask.rle, mask.predicted_iou) for mask in found] == [
        (mask["segmentation"], mask["predicted_iou"]) for mask in expected
    ]
    assert {item.runs for item in objects} == {mask.runs for mask in found if mask.area}
    assert segmenter.remarks == []
    assert len(halved.remarks) == 1


def test_boxes_are_asked_in_half_precision_too(scene_rgb: np.ndarray) -> None:
    segmenter = SamSegmenter("tiny", calm_sam(), device="cpu", half=True)

    (item,) = segmenter.segment_prompts(scene_rgb, [Prompt((40, 50, 120, 90))])

    assert item.area_px > 0
    assert "half precision (bfloat16) is used" in segmenter.remarks[0]
