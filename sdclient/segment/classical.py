"""A segmenter without weights: plain OpenCV, for separate objects in front of a calm background. It is not SAM.

A small copy of the image is smoothed, cut into regions of even colour and joined across weak borders; what is background
is told by how regions meet the frame; the rest falls apart into objects, whose outlines are then moved to the full
image's edges. The same image gives the same objects, whatever the machine has of cores.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sdclient.segment.background import find_background
from sdclient.segment.colours import keep_alike
from sdclient.segment.doors import require_cv2
from sdclient.segment.masks import MaskHW, bbox_xywh_from_mask, fill_holes, remove_islands, runs_from_box
from sdclient.segment.objects import SegmentedObject
from sdclient.segment.outlines import sharpen_outline
from sdclient.segment.pixels import ImageRGB, check_image
from sdclient.segment.regions import Labels, join_regions, seed_regions

__all__ = ["ClassicalSegmenter"]

_LONG_SIDE_PX = 480
# Of strips, the small copy is longer: what is in them must keep its height.
_SHORT_SIDE_PX = 96
_LONGEST_SIDE_PX = 4800
_CELL_PX = 10

# Colour differences (CIE 1976): a just visible border is 2 to 3, folds and wood grain stay below 9, objects stand out by
# 15 and more. The second limit is for what is left of one object that fills the frame.
_BORDER_LIMIT = 9.0
_PART_LIMIT = 24.0

# Shares of the image.
_SMALL_REGION = 1 / 600
_SMALL_PART = 1 / 10
_SMALLEST_OBJECT = 1 / 2000
_SMALLEST_PART = 1 / 200
_LARGE_PART = 1 / 20
_ONE_OBJECT = 0.5
_ONE_SURE_OBJECT = 0.65

# Up to this share of the upper three sides of the frame, an object does not lie on them.
_TOUCHES = 0.02

# Next to a large object, what is smaller than this share of it is a shard, a reflection, a button.
_SHARD = 1 / 30

# Objects thinner than this all along, in pixels of the small copy, are cracks and cables.
_THINNEST_PX = 3.0

# The colour difference that scores 1 - 1/e; the width of the rims that are compared; how far apart they may be.
_SCORE_SCALE = 25.0
_RIM_PX = 5
_NEAR_PX = 9
_ALMOST_NONE = 1e-6


class ClassicalSegmenter:
    """Finds objects by colour and contrast alone.

    Attributes:
        name: Always ``classical``.
        device: Always ``cpu``.
    """

    name = "classical"
    device = "cpu"

    def segment(self, image_rgb: ImageRGB) -> list[SegmentedObject]:
        """Find the objects of an image; they do not overlap.

        Args:
            image_rgb: uint8, shape (H, W, 3), RGB.

        Returns:
            The objects, largest first; empty where nothing stands out. `score` is the object's contrast: the mean colour
            difference (CIE 1976) across its outline, d, as ``1 - exp(-d / 25)``.

        Raises:
            SegmentationError: If `image_rgb` is no such array.
        """
        check_image(image_rgb)
        small_rgb = _shrink(image_rgb)
        if min(small_rgb.shape[:2]) < 2 * _CELL_PX:
            return []
        smooth_lab = _smooth(small_rgb)
        lab = smooth_lab.astype(np.float32)
        # OpenCV's 8-bit Lab stretches L from 100 to 255; the colour axes keep their scale.
        lab[..., 0] *= 100 / 255
        labels = seed_regions(smooth_lab, _CELL_PX)
        labels = join_regions(labels, lab, _BORDER_LIMIT, int(_SMALL_REGION * labels.size))
        rough = list(_rough_objects(labels, lab, ~find_background(labels, lab)))
        rough.sort(key=lambda mask: -int(mask.sum()))
        whole = [mask for mask in rough if mask.sum() >= _SHARD * rough[0].sum()]
        return list(_finish(image_rgb, small_rgb, lab, whole))


def _shrink(image_rgb: ImageRGB) -> ImageRGB:
    cv2 = require_cv2()
    height_px, width_px = image_rgb.shape[:2]
    long_px, short_px = max(height_px, width_px), min(height_px, width_px)
    scale = min(max(_LONG_SIDE_PX / long_px, _SHORT_SIDE_PX / short_px), _LONGEST_SIDE_PX / long_px)
    if scale >= 1:
        return image_rgb
    size = (max(round(width_px * scale), 1), max(round(height_px * scale), 1))
    return np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _smooth(small_rgb: ImageRGB) -> NDArray[np.uint8]:
    """Return the image in OpenCV's 8-bit Lab, smoothed except across edges."""
    cv2 = require_cv2()
    lab = cv2.cvtColor(small_rgb, cv2.COLOR_RGB2Lab)
    for _ in range(2):
        lab = cv2.bilateralFilter(lab, 7, 18, 5)
    return np.asarray(lab, dtype=np.uint8)


def _rough_objects(labels: Labels, lab: NDArray[np.float32], foreground: MaskHW) -> Iterator[MaskHW]:
    """Yield the small image's objects: connected foreground; where it fills most of the frame, what stands out of it."""
    for mask in _pieces(foreground):
        if mask.sum() < _ONE_OBJECT * mask.size:
            yield mask
            continue
        kept = keep_alike(lab, mask)
        for piece in _pieces(kept, _SMALLEST_PART):
            yield from [piece] if piece.sum() < _ONE_SURE_OBJECT * piece.size else _parts(labels, lab, piece)
        # What stands on the lower edge is not taken for background by its colour alone.
        yield from (piece for piece in _pieces(mask & ~kept, _LARGE_PART) if not _leaves_frame(piece))


def _parts(labels: Labels, lab: NDArray[np.float32], mask: MaskHW) -> Iterator[MaskHW]:
    """Yield the parts of a mask that differ strongly from each other."""
    inside = np.where(mask, labels + 1, 0)
    _, numbered = np.unique(inside, return_inverse=True)
    parts = join_regions(
        np.reshape(numbered, labels.shape).astype(np.int32), lab, _PART_LIMIT, int(_SMALL_PART * labels.size)
    )
    for part in range(int(parts.max()) + 1):
        yield from _pieces((parts == part) & mask, _SMALLEST_PART)


def _leaves_frame(mask_hw: MaskHW) -> bool:
    """Tell whether a mask reaches the frame anywhere but below."""
    rim = np.concatenate([mask_hw[:2].ravel(), mask_hw[:, :2].ravel(), mask_hw[:, -2:].ravel()])
    return float(rim.mean()) > _TOUCHES


def _pieces(mask_hw: MaskHW, smallest: float = _SMALLEST_OBJECT) -> Iterator[MaskHW]:
    """Yield the connected pieces of a mask that are large and thick enough to be objects."""
    cv2 = require_cv2()
    opened = cv2.morphologyEx(mask_hw.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    for number in range(1, count):
        if stats[number, cv2.CC_STAT_AREA] < smallest * mask_hw.size:
            continue
        piece = np.asarray(labels == number, dtype=np.bool_)
        padded = np.pad(piece, 1).astype(np.uint8)
        if 2 * float(cv2.distanceTransform(padded, cv2.DIST_L2, 3).max()) > _THINNEST_PX:
            yield piece


def _finish(
    image_rgb: ImageRGB, small_rgb: ImageRGB, lab: NDArray[np.float32], rough: list[MaskHW]
) -> Iterator[SegmentedObject]:
    """Bring rough masks to full size, each pixel to one object at most."""
    size_hw = (image_rgb.shape[0], image_rgb.shape[1])
    taken = np.zeros(size_hw, dtype=np.bool_)
    for small_mask in rough:
        outline = sharpen_outline(image_rgb, small_rgb, small_mask)
        (x, y), mask = outline.corner_xy, outline.mask_hw
        window = (slice(y, y + mask.shape[0]), slice(x, x + mask.shape[1]))
        mask = _tidy(mask & ~taken[window])
        if not bool(mask.any()):
            continue
        taken[window] |= mask
        runs = runs_from_box(mask, outline.corner_xy, size_hw)
        yield SegmentedObject(runs, runs.area_px, runs.bbox_xywh, _contrast_score(lab, small_mask))


def _tidy(mask_hw: MaskHW) -> MaskHW:
    """Return the mask without the specks and pinholes that noise leaves along an outline."""
    speck_px = max(int(mask_hw.sum()) // 200, 1)
    return fill_holes(remove_islands(mask_hw, 10 * speck_px), speck_px)


def _contrast_score(lab: NDArray[np.float32], small_mask: MaskHW) -> float:
    """Return the mean colour difference across the outline, from 0 (none) towards 1."""
    cv2 = require_cv2()
    window = _window_around(small_mask)
    lab, mask = lab[window], small_mask[window].astype(np.uint8)
    rim = np.ones((_RIM_PX, _RIM_PX), np.uint8)
    outer = cv2.dilate(mask, rim) - mask
    weight = cv2.blur(outer.astype(np.float32), (_NEAR_PX, _NEAR_PX))
    around = (
        cv2.blur(lab * outer[..., np.newaxis], (_NEAR_PX, _NEAR_PX)) / np.maximum(weight, _ALMOST_NONE)[..., np.newaxis]
    )
    inner = (mask - cv2.erode(mask, rim) == 1) & (weight > _ALMOST_NONE)
    difference = np.sqrt(np.square(lab - around).sum(axis=2))[inner]
    return float(1 - np.exp(-difference.mean() / _SCORE_SCALE)) if difference.size else 0.0


def _window_around(small_mask: MaskHW) -> tuple[slice, slice]:
    """Return the rows and columns of the mask's box and of what the score looks at around it."""
    x, y, width_px, height_px = bbox_xywh_from_mask(small_mask)
    pad = _RIM_PX + _NEAR_PX
    return (slice(max(y - pad, 0), y + height_px + pad), slice(max(x - pad, 0), x + width_px + pad))
