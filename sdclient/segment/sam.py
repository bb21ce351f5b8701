"""Segment Anything as a segmenter: on a device, with its options, loaded once, and with less when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sdclient.errors import SegmentationError
from sdclient.segment.doors import require_segment_anything, require_torch
from sdclient.segment.encoding import Encoding
from sdclient.segment.generator import MaskGenerator
from sdclient.segment.memory import is_out_of_memory
from sdclient.segment.objects import SegmentedObject
from sdclient.segment.pixels import ImageRGB, check_image
from sdclient.segment.prompts import Prompt

if TYPE_CHECKING:
    import torch
    from typing_extensions import Unpack

    from sdclient.segment.options import MaskOptions

__all__ = ["SamSegmenter", "choose_device"]

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

# When memory runs out, the next try takes this share of the points at a time.
_FEWER = 4
_DEFAULT_POINTS_PER_BATCH = 64


class SamSegmenter:
    """Finds everything Segment Anything finds, whole things and their parts.

    Where a device's memory does not suffice, the model is given fewer points at a time; where even one is too many, it
    moves to the CPU. Either holds from then on, is logged as a warning and kept in `remarks`.

    Args:
        name: The model's name: ``vit_b``, ``vit_l``, ``vit_h``.
        sam: The model; it is moved to `device`.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; None takes the best there is.
        half: Encode images in half precision for as long as masks stay within the bound of `segment.encoding`.
        options: See `MaskOptions`.

    Attributes:
        name: The model's name.
        device: Where it runs now.
        remarks: What was done when memory ran out, and what was found out about half precision, as sentences.

    Raises:
        ConfigurationError: If an option is unknown or out of its range.
        SegmentationError: If this machine has no such device.
        MissingExtraError: If torch or segment-anything is not installed.
    """

    def __init__(
        self,
        name: str,
        sam: torch.nn.Module,
        *,
        device: str | None = None,
        half: bool = False,
        **options: Unpack[MaskOptions],
    ) -> None:
        self.name = name
        self.device = choose_device(device)
        self.remarks: list[str] = []
        self._half = half
        self._encoding = Encoding(name, half=half, remarks=self.remarks)
        self._options = options
        self._points_per_batch = options.get("points_per_batch", _DEFAULT_POINTS_PER_BATCH)
        # Made once before the model is moved, so that a wrong option is told at once.
        self._generator = MaskGenerator(sam, **options)
        self._sam = self._placed(sam)

    def segment(self, image_rgb: ImageRGB) -> list[SegmentedObject]:
        """Find the objects of an image; whole things and their parts overlap.

        Args:
            image_rgb: uint8, shape (H, W, 3), RGB.

        Returns:
            The objects, largest first; empty where nothing passes the thresholds. `score` is the predicted IoU.

        Raises:
            SegmentationError: If `image_rgb` is no such array, or there is too little memory even on the CPU.
        """
        check_image(image_rgb)
        masks = self._with_what_memory_allows(lambda: self._generator.generate(image_rgb))
        return sorted((mask.to_object() for mask in masks if mask.area), key=lambda item: -item.area_px)

    def segment_prompts(self, image_rgb: ImageRGB, prompts: Sequence[Prompt]) -> list[SegmentedObject]:
        """Find one object for each box or set of points.

        Args:
            image_rgb: uint8, shape (H, W, 3), RGB.
            prompts: What to look for. To a single point the model has three answers; the best rated is taken.

        Returns:
            The objects, in the order of `prompts`, with their labels; prompts with an empty answer are left out.

        Raises:
            SegmentationError: As for `segment`.
        """
        check_image(image_rgb)
        return self._with_what_memory_allows(lambda: self._answer(image_rgb, prompts))

    def _answer(self, image_rgb: ImageRGB, prompts: Sequence[Prompt]) -> list[SegmentedObject]:
        predictor = require_segment_anything().SamPredictor(self._sam)
        self._encoding.show(predictor, image_rgb)
        found: list[SegmentedObject] = []
        for prompt in prompts:
            box = None
            if prompt.box_xywh is not None:
                x, y, width, height = prompt.box_xywh
                box = np.array([x, y, x + width, y + height])
            masks, scores, _ = predictor.predict(
                point_coords=np.array([[point.x, point.y] for point in prompt.points]) if prompt.points else None,
                point_labels=np.array([point.is_inside for point in prompt.points], dtype=int)
                if prompt.points
                else None,
                box=box,
                multimask_output=box is None and len(prompt.points) == 1,
            )
            best = int(scores.argmax())
            score = min(max(float(scores[best]), 0.0), 1.0)
            found.append(SegmentedObject.from_mask(masks[best] > 0, score=score, label=prompt.label))
        return [item for item in found if item.area_px]

    def _with_what_memory_allows(self, work: Callable[[], _T]) -> _T:
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as exc:
                if not is_out_of_memory(exc):
                    raise SegmentationError(
                        f"{self.name} failed on {self.device}: {_first_line(exc)}: try --device cpu"
                    ) from exc
                problem = _first_line(exc)
            # Out here, for the exception holds on to what filled the memory.
            self._make_do(problem)

    def _make_do(self, problem: str) -> None:
        """Take fewer points at a time, or move to the CPU."""
        torch = require_torch()
        had, device = self._points_per_batch, self.device
        if had > 1:
            self._points_per_batch = max(had // _FEWER, 1)
            done = f"{self._points_per_batch} points at a time from here on, not {had}"
        elif device != "cpu":
            self.device = "cpu"
            # Another device has other kinds of numbers, and rounds otherwise.
            self._encoding = Encoding(self.name, half=self._half, remarks=self.remarks)
            self._points_per_batch = self._options.get("points_per_batch", _DEFAULT_POINTS_PER_BATCH)
            done = "on the cpu from here on, which is slower"
        else:
            raise SegmentationError(
                f"{self.name}: out of memory on the cpu, with one point at a time ({problem}): close other programs, "
                "or take a smaller model or smaller images"
            )
        self._sam = self._placed(self._sam)
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
        elif device == "mps":
            torch.mps.empty_cache()
        remark = f"{self.name}: {device} ran out of memory: {done}"
        self.remarks.append(remark)
        _log.warning("%s", remark)

    def _placed(self, sam: torch.nn.Module) -> torch.nn.Module:
        moved: torch.nn.Module = sam.to(self.device)
        options: MaskOptions = {**self._options, "points_per_batch": self._points_per_batch}
        self._generator = MaskGenerator(moved, half=self._encoding, **options)
        return moved


def _first_line(exc: BaseException) -> str:
    lines = str(exc).strip().splitlines()
    return (lines[0] if lines else type(exc).__name__)[:200]


def choose_device(wanted: str | None) -> str:
    """Return the device to run on.

    Args:
        wanted: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; None takes the best there is: CUDA, then MPS, then the CPU.

    Raises:
        SegmentationError: If this machine has no such device.
        MissingExtraError: If torch is not installed.
    """
    torch = require_torch()
    kinds = ["cpu"]
    if torch.backends.mps.is_available():
        kinds.insert(0, "mps")
    if torch.cuda.is_available():
        kinds.insert(0, "cuda")
    if wanted is None:
        return kinds[0]
    kind, _, index = wanted.partition(":")
    number_fits = not index or (kind == "cuda" and index.isdecimal() and int(index) < torch.cuda.device_count())
    if kind not in kinds or not number_fits:
        raise SegmentationError(
            f"segmentation: this machine has no device {wanted!r:.40}: it has {', '.join(kinds)}; leave the device out "
            "to take the best"
        )
    return wanted
