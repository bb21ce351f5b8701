"""Shows an image to a model: its encoder in float32, or in half precision where that stays within a stated bound.

Half precision is never taken on trust. The first image is encoded both ways, and the decoder, which always works in
float32, is asked about 16 points of it on either: their masks must agree to a mean IoU of `MIN_MEAN_IOU`, and the model's
own ratings of them to `MAX_RATING_DIFFERENCE`. Every hundredth image after it is held against float32 again, and each one
must give finite numbers. Where any of that fails, float32 does it from there on, and a sentence says so. The weights stay
as they are, so float32 gives the same bits as if nobody had asked.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sdclient.segment.attention import few_rows_at_once
from sdclient.segment.decoder import PointDecoder
from sdclient.segment.doors import require_segment_anything, require_torch
from sdclient.segment.memory import is_out_of_memory
from sdclient.segment.settings import MAX_RATING_DIFFERENCE, MIN_MEAN_IOU

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sdclient.segment.decoder import DecodedSam
    from sdclient.segment.pixels import ImageRGB

__all__ = ["Agreement", "Encoding"]

_POINTS_PER_SIDE = 4

_log = logging.getLogger(__name__)


class _Transform(Protocol):
    def apply_coords(self, coords: np.ndarray, original_size: tuple[int, int]) -> np.ndarray: ...


class Predictor(Protocol):
    """What is used of segment-anything's `SamPredictor`, which has no types of its own."""

    model: DecodedSam
    transform: _Transform
    features: Tensor
    original_size: tuple[int, int]

    def set_image(self, image: ImageRGB) -> None: ...


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the answers to the same points agree between half precision and float32.

    Attributes:
        mean_iou: Of each mask with its like, 0 to 1; two empty masks agree.
        rating_difference: The largest difference of a mask's predicted IoU.
    """

    mean_iou: float
    rating_difference: float

    @property
    def is_within_bound(self) -> bool:
        """True where half precision may be used; never for numbers that are none."""
        return self.mean_iou >= MIN_MEAN_IOU and self.rating_difference <= MAX_RATING_DIFFERENCE

    def __str__(self) -> str:
        return f"mean IoU of masks {self.mean_iou:.4f}, ratings differ by up to {self.rating_difference:.4f}"


class Encoding:
    """How images are shown to one model on one device.

    Args:
        name: What the model is called in sentences.
        half: Whether to encode in half precision where that stays within the bound.
        dtype: ``float16`` or ``bfloat16``; None takes float16 on GPUs and bfloat16 on CPUs, which have no quick float16.
        check_every: Of this many images, the first is held against float32.
        remarks: Where sentences go; by default a list of its own.

    Attributes:
        remarks: What was found out about half precision, as sentences.
        agreement: What the last comparison with float32 found; None before the first.
    """

    def __init__(
        self,
        name: str = "the model",
        *,
        half: bool = False,
        dtype: str | None = None,
        check_every: int = 100,
        remarks: list[str] | None = None,
    ) -> None:
        self.remarks: list[str] = [] if remarks is None else remarks
        self.agreement: Agreement | None = None
        self._name = name
        self._half = half
        self._dtype = dtype
        self._check_every = check_every
        self._encoded = 0

    def show(self, predictor: Predictor, image_rgb: ImageRGB) -> None:
        """Encode an image; its features, float32, are the predictor's afterwards."""
        if not self._half:
            _encode(predictor, image_rgb)
            return
        exact = None
        if self._encoded % self._check_every == 0:
            _encode(predictor, image_rgb)
            exact = predictor.features
        problem = self._encode_half(predictor, image_rgb) or self._beyond_bound(predictor, exact)
        if not problem:
            self._encoded += 1
            return
        self._half = False
        self._say(f"{problem}: float32 from here on", logging.WARNING)
        if exact is None:
            _encode(predictor, image_rgb)
        else:
            predictor.features = exact

    def _encode_half(self, predictor: Predictor, image_rgb: ImageRGB) -> str:
        """Encode in half precision; return what is wrong with it, nothing where all is well."""
        torch = require_torch()
        kind = str(predictor.model.device.type)
        self._dtype = self._dtype or ("bfloat16" if kind == "cpu" else "float16")
        dtype, one = getattr(torch, self._dtype), torch.ones((1, 1), device=predictor.model.device)
        try:
            # It leaves the weights alone, and layers that need the range (norms, softmax) in float32.
            with torch.autocast(kind, dtype=dtype):
                # Where torch cannot, it may go on in float32 without an error.
                if (one @ one).dtype is not dtype:
                    return f"is not to be had on {kind}"
                _encode(predictor, image_rgb)
        except RuntimeError as exc:
            if is_out_of_memory(exc):
                raise
            return f"is not to be had on {kind}, {str(exc).strip().partition(chr(10))[0]:.120}"
        predictor.features = predictor.features.float()
        return "" if bool(predictor.features.isfinite().all()) else "overflows"

    def _beyond_bound(self, predictor: Predictor, exact: Tensor | None) -> str:
        """Hold the features at hand against exact ones; return what is wrong with them."""
        if exact is None:
            return ""
        self.agreement = _compare(predictor, exact)
        if not self.agreement.is_within_bound:
            bound = f"at least {MIN_MEAN_IOU:g} and at most {MAX_RATING_DIFFERENCE:g} are allowed"
            return f"strays too far from float32, {self.agreement}, where {bound}"
        if not self._encoded:
            self._say(f"is used, for it agrees with float32: {self.agreement}", logging.INFO)
        return ""

    def _say(self, what: str, level: int) -> None:
        remark = f"{self._name}: half precision ({self._dtype}) {what}"
        self.remarks.append(remark)
        _log.log(level, "%s", remark)


def _encode(predictor: Predictor, image_rgb: ImageRGB) -> None:
    model = predictor.model
    with few_rows_at_once(model.image_encoder) if model.device.type == "cpu" else nullcontext():
        predictor.set_image(image_rgb)


def _compare(predictor: Predictor, exact: Tensor) -> Agreement:
    """Ask about the same points with the predictor's features and with exact ones."""
    torch = require_torch()
    with torch.no_grad():
        masks, ratings = _answers(predictor, predictor.features)
        exact_masks, exact_ratings = _answers(predictor, exact)
    both = (masks & exact_masks).flatten(1).sum(1).double()
    either = (masks | exact_masks).flatten(1).sum(1).double()
    ious = torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both))
    return Agreement(float(ious.mean()), float((ratings - exact_ratings).abs().max()))


def _answers(predictor: Predictor, features: Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the masks of 16 points, bool, shape (48, 256, 256), and their ratings, shape (48,); both on the CPU."""
    torch, model = require_torch(), predictor.model
    height_px, width_px = predictor.original_size
    grid = require_segment_anything("utils.amg").build_point_grid(_POINTS_PER_SIDE) * np.array([width_px, height_px])
    points = torch.as_tensor(predictor.transform.apply_coords(grid, predictor.original_size), dtype=torch.float32)
    decoder = PointDecoder(model, iou_threshold=0.0)
    # One point at a time: a check must not be what a device's memory does not suffice for.
    answers = [one for point in points for one in decoder.ask(features, point[None].to(model.device))]
    masks = torch.cat([(one.low_res > model.mask_threshold).cpu() for one in answers])
    return masks, torch.cat([one.ious.float().cpu() for one in answers])
