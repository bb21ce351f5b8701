"""The answers of SAM's mask decoder, on a CPU in less than half the time: the same bits, from the decoder's own layers.

segment-anything's decoder copies the image once for every point, and works out anew for each what all points share: the
keys, values and queries that its first layer makes of the image. Here that is done once an image; points are worked
through a few at a time, so that what is at hand stays in the processor's cache; and masks are drawn only for points of
which the model rates at least one mask highly enough, for a mask's rating is known before the mask.

How a matrix product rounds may depend on its number of rows, by the model's size and the machine. So the first batch of
each length is decoded both ways and compared; where a bit differs, segment-anything's decoder does all of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sdclient.segment.doors import require_torch
from sdclient.segment.two_way import ImageSide, MaskDecoder, PointAnswers, is_known

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Answers", "DecodedSam", "PointDecoder"]

# Products of fewer rows than four points have are made in another way, which rounds otherwise.
_POINTS_AT_ONCE = 4

# One of segment-anything's working arrays in the comparison, in floats: 64 MiB, 16 points of a full-size model.
_TRIAL_FLOATS = 2**24

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answers:
    """Masks that the model rates highly enough.

    Attributes:
        low_res: Float, shape (M, 256, 256), logits.
        ious: Float, shape (M,), the predicted IoU of each.
        places: int64, shape (M,), the place in the batch of the point each belongs to.
    """

    low_res: Tensor
    ious: Tensor
    places: NDArray[np.int64]


class _PromptEncoder(Protocol):
    def __call__(
        self, *, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, masks: Tensor | None
    ) -> tuple[Tensor, Tensor]: ...

    def get_dense_pe(self) -> Tensor: ...


class DecodedSam(Protocol):
    """What is used of segment-anything's `Sam`, which has no types of its own."""

    device: torch.device
    mask_threshold: float
    image_encoder: torch.nn.Module
    prompt_encoder: _PromptEncoder
    mask_decoder: torch.nn.Module


class PointDecoder:
    """Asks a model's mask decoder about points of one image at a time.

    Args:
        sam: The model.
        iou_threshold: Masks with a predicted IoU of no more than this are left out; 0 and below leave out none.
    """

    def __init__(self, sam: DecodedSam, iou_threshold: float) -> None:
        self._sam = sam
        self._iou_threshold = iou_threshold
        self._torch = require_torch()
        self._exact_lengths: dict[int, bool] = {}
        self._features: Tensor | None = None
        self._side: ImageSide | None = None

    def ask(self, features: Tensor, points: Tensor) -> Iterator[Answers]:
        """Ask about a batch of points.

        Args:
            features: Float, shape (1, C, h, w), what the encoder made of the image.
            points: Float, shape (N, 2), in the pixels the model sees.

        Yields:
            The answers, a few points at a time.
        """
        ones = self._torch.ones((len(points), 1), dtype=self._torch.int, device=points.device)
        sparse, dense = self._sam.prompt_encoder(points=(points[:, None, :], ones), boxes=None, masks=None)
        # Even parts: each holds at least as many points as the products need.
        parts = self._torch.tensor_split(sparse, max(len(sparse) // _POINTS_AT_ONCE, 1))
        side = self._image_side(features, dense)
        if side is None or not self._is_exact(side, features, parts, dense):
            yield self._passing(*self._decode(features, sparse, dense), range(len(sparse)))
            return
        first = 0
        for part in parts:
            yield self._draw(side.ask(part), first)
            first += len(part)

    def forget(self) -> None:
        """Let go of the image, so that the memory is free."""
        self._features = self._side = None

    def _decode(self, features: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """Let segment-anything's decoder answer: masks, shape (N, 3, 256, 256), and ratings, shape (N, 3)."""
        decoded: tuple[Tensor, Tensor] = self._sam.mask_decoder(
            image_embeddings=features,
            image_pe=self._sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        return decoded

    def _image_side(self, features: Tensor, dense: Tensor) -> ImageSide | None:
        """Return the image as points share it; None on a GPU, and for decoders other than segment-anything's own."""
        decoder = self._sam.mask_decoder
        if self._sam.device.type != "cpu" or not is_known(decoder):
            return None
        # An image that was broken off leaves its own behind.
        if self._side is None or self._features is not features:
            known = cast("MaskDecoder", decoder)
            self._side = ImageSide.of(known, features, self._sam.prompt_encoder.get_dense_pe(), dense[:1])
            self._features = features
        return self._side

    def _is_exact(self, side: ImageSide, features: Tensor, parts: Sequence[Tensor], dense: Tensor) -> bool:
        """Tell whether batches of this length may be decoded in parts; the first of each length is tried both ways."""
        length = sum(len(part) for part in parts)
        if length not in self._exact_lengths:
            fitting = _TRIAL_FLOATS // int(features.numel())
            some = parts[: max(fitting // len(parts[0]), 2)]
            together = self._torch.cat(list(some))
            low_res, ious = self._decode(features, together, dense[: len(together)])
            self._exact_lengths[length] = _same(low_res, ious, [side.ask(part) for part in some])
            if not self._exact_lengths[length]:
                _log.debug("points are decoded in whole batches: parts of a batch do not give the same bits here")
        return self._exact_lengths[length]

    def _draw(self, answers: PointAnswers, first: int) -> Answers:
        """Draw the masks of those points that have one rated highly enough."""
        threshold = self._iou_threshold
        wanted = [
            point for point, ious in enumerate(answers.ious) if threshold <= 0.0 or bool((ious > threshold).any())
        ]
        if not wanted:
            return self._passing(answers.ious.new_empty((0, answers.ious.shape[1], 1, 1)), answers.ious[:0], [])
        low_res = self._torch.stack([answers.draw(point) for point in wanted])
        return self._passing(low_res, answers.ious[wanted], [first + point for point in wanted])

    def _passing(self, low_res: Tensor, ious: Tensor, points: Sequence[int]) -> Answers:
        places = np.repeat(np.asarray(points, dtype=np.int64), ious.shape[1])
        low_res, ious = low_res.flatten(0, 1), ious.flatten(0, 1)
        if self._iou_threshold > 0.0:
            keep = ious > self._iou_threshold
            low_res, ious, places = low_res[keep], ious[keep], places[keep.cpu().numpy()]
        return Answers(low_res, ious, places)


def _same(low_res: Tensor, ious: Tensor, parts: Sequence[PointAnswers]) -> bool:
    """Tell whether the answers to some points, part by part, are those that were given to all of them together."""
    equal = require_torch().equal
    first = 0
    for part in parts:
        for point in range(len(part.ious)):
            if not (equal(part.ious[point], ious[first + point]) and equal(part.draw(point), low_res[first + point])):
                return False
        first += len(part.ious)
    return True
