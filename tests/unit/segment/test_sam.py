"""What Segment Anything does as a segmenter: prompts, and what it does when memory runs out or a GPU has no long floats."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from torch.overrides import TorchFunctionMode

from sdclient.errors import SegmentationError
from sdclient.segment import MaskGenerator, Prompt, PromptPoint, SamSegmenter, SegmentSettings, segment_image
from sdclient.segment.memory import is_out_of_memory
from tests.unit.segment.conftest import build_tiny_sam

OPEN = {"points_per_side": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 0.99}


class SmallMemory(torch.nn.Module):
    """A mask decoder for which more than so many points at a time are too many; it notes how many it was given."""

    def __init__(self, decoder: torch.nn.Module, points: int, error: Callable[[], Exception]) -> None:
        super().__init__()
        self.decoder, self.points, self.error = decoder, points, error
        self.asked: list[int] = []

    def forward(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        points = len(inputs["sparse_prompt_embeddings"])
        self.asked.append(points)
        if points > self.points:
            raise self.error()
        return self.decoder(**inputs)


def cuda_is_full() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def mps_is_full() -> Exception:
    return RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")


def cpu_is_full() -> Exception:
    return RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: 9 bytes")


def sam_with_memory_for(points: int, error: Callable[[], Exception] = cuda_is_full) -> Sam:
    sam = build_tiny_sam()
    sam.mask_decoder = SmallMemory(sam.mask_decoder, points, error)
    return sam


@pytest.mark.parametrize("error", [cuda_is_full, mps_is_full, cpu_is_full, MemoryError])
def test_out_of_memory_means_fewer_points_at_a_time_and_the_same_objects(
    scene_rgb: np.ndarray, caplog: pytest.LogCaptureFixture, error: Callable[[], Exception]
) -> None:
    sam = sam_with_memory_for(2, error)
    segmenter = SamSegmenter("tiny", sam, device="cpu", points_per_batch=16, **OPEN)
    expected = SamSegmenter("tiny", build_tiny_sam(), device="cpu", points_per_batch=1, **OPEN).segment(scene_rgb)

    with caplog.at_level(logging.WARNING):
        found = segmenter.segment(scene_rgb)

    assert found == expected
    assert segmenter.remarks == [
        "tiny: cpu ran out of memory: 4 points at a time from here on, not 16",
        "tiny: cpu ran out of memory: 1 points at a time from here on, not 4",
    ]
    assert [record.message for record in caplog.records] == segmenter.remarks


def test_what_was_learnt_about_memory_holds_for_the_next_image(scene_rgb: np.ndarray) -> None:
    sam = sam_with_memory_for(4)
    segmenter = SamSegmenter("tiny", sam, device="cpu", points_per_batch=16, **OPEN)
    segmenter.segment(scene_rgb)
    before = len(sam.mask_decoder.asked)

    segmenter.segment(scene_rgb)

    assert max(sam.mask_decoder.asked[before:]) == 4
    assert len(segmenter.remarks) == 1


def test_too_little_memory_even_for_one_point_on_the_cpu_is_an_error_in_words(scene_rgb: np.ndarray) -> None:
    segmenter = SamSegmenter("tiny", sam_with_memory_for(0), device="cpu", **OPEN)

    with pytest.raises(SegmentationError, match="out of memory on the cpu, with one point at a time"):
        segmenter.segment(scene_rgb)


def test_a_failure_of_another_kind_is_not_taken_for_too_little_memory(scene_rgb: np.ndarray) -> None:
    sam = sam_with_memory_for(0, lambda: RuntimeError("expected scalar type Half\nbut found Float"))
    segmenter = SamSegmenter("tiny", sam, device="cpu", **OPEN)

    with pytest.raises(SegmentationError, match="tiny failed on cpu: expected scalar type Half: try"):
        segmenter.segment(scene_rgb)

    assert segmenter.remarks == []
    assert not is_out_of_memory(ValueError("no"))


class FakeMps(TorchFunctionMode):
    """A CPU that passes for Apple's GPU: tensors sent there stay here, and 64-bit floats are refused as there."""

    def __init__(self) -> None:
        super().__init__()
        self.arrivals = 0
        self.memory_is_full_for: Callable[[int], bool] = lambda _points: False

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = dict(kwargs or {})
        device = kwargs.get("device") or (args[1] if func is torch.Tensor.to and len(args) > 1 else None)
        if isinstance(device, torch.device | str) and torch.device(device).type == "mps":
            self.arrivals += 1
            source = args[0] if args and isinstance(args[0], torch.Tensor) else None
            wanted = kwargs.get("dtype") or (source.dtype if source is not None else None)
            if wanted is torch.float64:
                raise TypeError(
                    "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64"
                )
            if "device" in kwargs:
                kwargs["device"] = "cpu"
            else:
                args = (args[0], torch.device("cpu"), *args[2:])
        return func(*args, **kwargs)


class MpsSam(Sam):
    """Says that it is on Apple's GPU."""

    where = torch.device("mps")

    @property
    def device(self) -> torch.device:
        return self.where


def test_no_long_float_ever_reaches_an_apple_gpu(scene_rgb: np.ndarray) -> None:
    sam = build_tiny_sam(MpsSam)
    options = {**OPEN, "points_per_batch": 8, "crop_n_layers": 1, "min_mask_region_area": 20}
    expected = MaskGenerator(build_tiny_sam(), **options).generate(scene_rgb)

    with FakeMps() as apple:
        found = MaskGenerator(sam, **options).generate(scene_rgb)

    assert apple.arrivals > 10
    assert len(found) == len(expected) > 0


def test_the_fake_apple_gpu_refuses_long_floats() -> None:
    with FakeMps(), pytest.raises(TypeError, match="float64"):
        torch.zeros(3, dtype=torch.float64).to(torch.device("mps"))


class Elsewhere(SamSegmenter):
    """A segmenter that believes to be on a GPU of which this machine has none: its model stays where it is."""

    def __init__(self, sam: Sam, **options: object) -> None:
        super().__init__("tiny", sam, device="cpu", **options)
        self.device = "cuda"

    def _placed(self, sam: torch.nn.Module) -> torch.nn.Module:
        wanted, self.device = getattr(self, "device", "cpu"), "cpu"
        placed = super()._placed(sam)
        self.device = wanted
        return placed


def test_where_one_point_is_too_many_the_model_moves_to_the_cpu(scene_rgb: np.ndarray) -> None:
    sam = build_tiny_sam()
    segmenter = Elsewhere(sam, points_per_batch=4, **OPEN)
    sam.mask_decoder = SmallMemory(
        sam.mask_decoder, 0, lambda: cuda_is_full() if segmenter.device == "cuda" else AssertionError("unexpected")
    )
    limited = sam.mask_decoder
    limited.register_forward_pre_hook(lambda *_: setattr(limited, "points", 0 if segmenter.device == "cuda" else 99))

    found = segmenter.segment(scene_rgb)

    assert found
    assert segmenter.device == "cpu"
    assert segmenter.remarks[-1] == "tiny: cuda ran out of memory: on the cpu from here on, which is slower"
    assert limited.asked[-1] == 4


# Boxes and points


def test_a_box_gives_what_the_predictor_gives_for_it(tiny_sam: Sam, scene_rgb: np.ndarray) -> None:
    predictor = SamPredictor(tiny_sam)
    predictor.set_image(scene_rgb)
    masks, scores, _ = predictor.predict(box=np.array([40, 50, 160, 140]), multimask_output=False)

    (item,) = SamSegmenter("tiny", tiny_sam, device="cpu").segment_prompts(
        scene_rgb, [Prompt((40, 50, 120, 90), label="disc")]
    )

    assert np.array_equal(item.mask_hw, masks[0])
    assert item.score == pytest.approx(min(max(float(scores[0]), 0), 1))
    assert item.label == "disc"


def test_of_the_three_answers_to_one_point_the_best_rated_is_taken(tiny_sam: Sam, scene_rgb: np.ndarray) -> None:
    predictor = SamPredictor(tiny_sam)
    predictor.set_image(scene_rgb)
    masks, scores, _ = predictor.predict(np.array([[70, 90]]), np.array([1]), multimask_output=True)

    (item,) = SamSegmenter("tiny", tiny_sam, device="cpu").segment_prompts(
        scene_rgb, [Prompt(points=(PromptPoint(70, 90),))]
    )

    assert np.array_equal(item.mask_hw, masks[scores.argmax()])


def test_points_outside_count_too(tiny_sam: Sam, scene_rgb: np.ndarray) -> None:
    inside = PromptPoint(70, 90)
    segmenter = SamSegmenter("tiny", tiny_sam, device="cpu")

    (with_it,) = segmenter.segment_prompts(scene_rgb, [Prompt(points=(inside, PromptPoint(10, 10, is_inside=False)))])
    (both_in,) = segmenter.segment_prompts(scene_rgb, [Prompt(points=(inside, PromptPoint(10, 10)))])

    assert with_it.runs != both_in.runs


def test_what_was_asked_for_is_kept_in_its_order_whatever_its_size(tiny_sam: Sam, scene_rgb: np.ndarray) -> None:
    prompts = [Prompt((150, 60, 70, 70), label="square"), Prompt((30, 50, 80, 80), label="disc")]
    settings = SegmentSettings(min_area_fraction=0.9, max_area_fraction=0.9, top_n=1)

    found = segment_image(SamSegmenter("tiny", tiny_sam, device="cpu"), scene_rgb, settings, prompts)

    assert [item.label for item in found] == ["square", "disc"]


def test_a_prompt_outside_the_image_is_refused(tiny_sam: Sam, scene_rgb: np.ndarray) -> None:
    with pytest.raises(SegmentationError, match=r"prompt 1 .* outside the image of 320 x 240 px"):
        segment_image(
            SamSegmenter("tiny", tiny_sam, device="cpu"), scene_rgb, SegmentSettings(), [Prompt((300, 0, 21, 10))]
        )
