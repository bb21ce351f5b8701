"""Which regions of an image are its background: sky, ground, wall, table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdclient.segment.doors import require_cv2
from sdclient.segment.masks import MaskHW
from sdclient.segment.regions import Labels

__all__ = ["find_background"]

# Shares of the side of the frame that a region touches, and of the image that it covers.
_CROSSES = 0.04
_SKYLINE = 0.25
_LARGE = 0.03

# Length along the frame over the square root of the area: a region whose long side lies on the frame has about 1.5.
_CLINGS_TO_CORNER = 1.0
_CLINGS_TO_SIDE = 1.5

# Hills and shores: this many times as wide as high, and at the frame's side or across this share of its width.
_BAND_RATIO = 3.0
_BAND_WIDTH = 0.5

# Shares of the image: the most that a background region swallows of a thing; the least and the most that a hole has.
_LARGEST_GAP = 0.05
_SMALLEST_HOLE, _LARGEST_HOLE = 1 / 2500, 0.04

# How far a spur of background may reach into an object, in pixels.
_SPUR_PX = 8

# Colour differences (CIE 1976) below which a pixel is background: in a hole, near background, and anywhere that hangs
# together with background; above which it is none; and above which it does not count for its region's colour. What
# darkness counts for, since that is how background looks in a soft shadow.
_SAME_COLOUR_HOLE = 3.0
_SAME_COLOUR_NEAR = 5.0
_SAME_COLOUR = 3.5
_OTHER_COLOUR = 10.0
_UNUSUAL_COLOUR = 15.0
_SHADOW_WEIGHT = 0.5

# How many backgrounds are compared, the largest first; the windows in which their colour is averaged, as shares of the
# image's long side; how much of a window a background must fill. The windows are wider than high, since what is behind
# things changes with the height more than from left to right.
_REGIONS_COMPARED = 8
_NARROW_HW, _WIDE_HW, _AROUND_HW = (0.05, 0.25), (0.08, 1.0), (0.4, 1.0)
_NEARBY = 0.02


def find_background(labels: Labels, lab: NDArray[np.float32]) -> MaskHW:
    """Tell background from the rest by how its regions meet the frame, then by their colour.

    Background runs off the frame on two sides, hangs from the top as a sky does, lies in a flat band as hills do, or
    clings to the frame with most of its length. What stands on the lower edge only (a person cut off at the waist) is
    no background. What has the very colour of the background around it is background seen through a gap.

    Args:
        labels: int32, shape (H, W), regions numbered from 0.
        lab: float32, shape (H, W, 3), Lab, L from 0 to 100.

    Returns:
        bool, shape (H, W), True on background; some of it always is.
    """
    contacts = _Contacts.of(labels)
    is_background = contacts.judge()
    if not bool(is_background.any()):
        is_background[int(contacts.total_px.argmax())] = True
    return _add_alike(labels, lab, is_background)


@dataclass(frozen=True, slots=True)
class _Contacts:
    """How regions meet the frame.

    Attributes:
        sides: float64, shape (4, N): the share of the left, right, top and bottom side each region takes up.
        total_px: Length along the frame, shape (N,).
        areas_px: Shape (N,).
        spans_hw: Height and width of each region's box, as shares of the image's, shape (2, N).
        size_hw: Of the image, in pixels.
    """

    sides: NDArray[np.float64]
    total_px: NDArray[np.int64]
    areas_px: NDArray[np.int64]
    spans_hw: NDArray[np.float64]
    size_hw: tuple[int, int]

    @classmethod
    def of(cls, labels: Labels) -> _Contacts:
        areas = np.bincount(labels.ravel())
        frame = [labels[:, 0], labels[:, -1], labels[0], labels[-1]]
        counts = [np.bincount(side, minlength=areas.size) for side in frame]
        shares = np.stack([count / side.size for count, side in zip(counts, frame, strict=True)])
        return cls(shares, np.stack(counts).sum(axis=0), areas, _spans(labels), labels.shape)

    def judge(self) -> NDArray[np.bool_]:
        """Return which regions are background by their place alone, shape (N,)."""
        left, right, top, bottom = self.sides
        height_px, width_px = self.size_hw
        is_large = self.areas_px >= _LARGE * height_px * width_px
        touched = (self.sides > 0).sum(axis=0)
        clinging = self.total_px / np.sqrt(self.areas_px)
        only_below = (bottom > 0) & (touched == 1)
        across = (np.minimum(left, right) > _CROSSES) | (np.minimum(top, bottom) > _CROSSES)
        high, wide = self.spans_hw
        is_flat = wide * width_px > _BAND_RATIO * high * height_px
        at_side = ((left > 0) | (right > 0)) & ~only_below
        return np.asarray(
            (across & is_large)
            | (is_flat & (at_side | (wide > _BAND_WIDTH)))
            | ((top > _SKYLINE) & is_large)
            | ((touched > 1) & (clinging > _CLINGS_TO_CORNER))
            | ((touched == 1) & ~only_below & (clinging > _CLINGS_TO_SIDE)),
            dtype=np.bool_,
        )


def _spans(labels: Labels) -> NDArray[np.float64]:
    """Return height and width of each region's box, as shares of the image's, shape (2, N)."""
    count = int(labels.max()) + 1
    spans = np.zeros((2, count))
    for axis in (0, 1):
        length = labels.shape[axis]
        # Which regions occur in which rows (or columns), each pair once.
        lines = np.repeat(np.arange(length, dtype=np.int64), labels.size // length)
        pairs = np.unique(np.ravel(np.moveaxis(labels, axis, 0)).astype(np.int64) * length + lines)
        region, line = np.divmod(pairs, length)
        first, last = np.full(count, length), np.zeros(count, dtype=np.int64)
        np.minimum.at(first, region, line)
        np.maximum.at(last, region, line)
        spans[axis] = (last - first + 1) / length
    return spans


def _add_alike(labels: Labels, lab: NDArray[np.float32], is_background: NDArray[np.bool_]) -> MaskHW:
    """Add what has the colour of the background nearby, seen through gaps and holes; give back what is far from it."""
    cv2 = require_cv2()
    difference = _difference_from_background(labels, lab, is_background)
    # A hole in an object has the very colour of what is behind it, not only at its edge.
    hole = cv2.morphologyEx(
        (difference < _SAME_COLOUR_HOLE).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)
    )
    found = is_background[labels] | _holes(hole)
    # All else only where it hangs together with that: a shirt may have the sky's colour, but it has an outline.
    near = cv2.dilate(found.astype(np.uint8), np.ones((2 * _SPUR_PX + 1, 2 * _SPUR_PX + 1), np.uint8)) > 0
    alike = found | (difference < _SAME_COLOUR) | (near & (difference < _SAME_COLOUR_NEAR))
    count, pieces = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
    touching = np.bincount(pieces[found], minlength=count) > 0
    return _without_strangers(np.asarray(alike & touching[pieces], dtype=np.bool_), difference)


def _holes(mask: NDArray[np.uint8]) -> MaskHW:
    """Return the pieces that are no specks and not so large that they may be things of their own, be it black on black."""
    cv2 = require_cv2()
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA] / mask.size
    is_hole = (areas >= _SMALLEST_HOLE) & (areas < _LARGEST_HOLE)
    is_hole[0] = False
    return np.asarray(is_hole[pieces], dtype=np.bool_)


def _without_strangers(found: MaskHW, difference: NDArray[np.float32]) -> MaskHW:
    """Give objects back what a background region has swallowed of them: small, far from its colour, and touching them."""
    cv2 = require_cv2()
    strange = difference > _OTHER_COLOUR
    count, pieces, stats, _ = cv2.connectedComponentsWithStats((found & strange).astype(np.uint8), connectivity=4)
    near_objects = cv2.dilate((~found & strange).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    belongs = np.bincount(pieces[near_objects], minlength=count) > 0
    belongs &= stats[:, cv2.CC_STAT_AREA] < _LARGEST_GAP * found.size
    belongs[0] = False
    return np.asarray(found & ~belongs[pieces], dtype=np.bool_)


def _difference_from_background(
    labels: Labels, lab: NDArray[np.float32], is_background: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return each pixel's colour difference, shape (H, W), from the large background region nearby most like it.

    Regions are kept apart, for the mean of a wall and a floor is the colour of neither. Darker counts half: that is how
    background looks in a soft shadow.
    """
    areas = np.bincount(labels.ravel()) * is_background
    nearest = np.full(labels.shape, np.inf, dtype=np.float32)
    for region in np.argsort(-areas, kind="stable")[:_REGIONS_COMPARED]:
        if not areas[region]:
            break
        inside = labels == region
        # Pieces of things that the region has swallowed do not count as what it looks like.
        usual = _difference(lab, _mean_nearby(lab, inside, _AROUND_HW, _AROUND_HW))
        inside &= usual < _UNUSUAL_COLOUR
        nearest = np.fmin(nearest, _difference(lab, _mean_nearby(lab, inside, _NARROW_HW, _WIDE_HW)))
    return nearest


def _difference(lab: NDArray[np.float32], background: NDArray[np.float32]) -> NDArray[np.float32]:
    offset = lab - background
    offset[..., 0] *= np.where(offset[..., 0] < 0, _SHADOW_WEIGHT, 1)
    return np.asarray(np.sqrt(np.square(offset).sum(axis=2)), dtype=np.float32)


def _mean_nearby(
    lab: NDArray[np.float32], mask_hw: MaskHW, narrow_hw: tuple[float, float], wide_hw: tuple[float, float]
) -> NDArray[np.float32]:
    """Return the mean colour of the masked pixels near each pixel, shape (H, W, 3); NaN where none is near."""
    cv2 = require_cv2()
    mask = mask_hw.astype(np.float32)
    total, weight = np.zeros_like(lab), np.zeros_like(mask)
    # The wide window counts only where the narrow one holds nothing: in the middle of a large object.
    for (high, wide), trust in ((narrow_hw, 1.0), (wide_hw, 1e-3)):
        window = (int(max(mask.shape) * wide) | 1, int(max(mask.shape) * high) | 1)
        total += trust * cv2.blur(lab * mask[..., np.newaxis], window)
        weight += trust * cv2.blur(mask, window)
    weight[weight < 1e-3 * _NEARBY] = np.nan
    return np.asarray(total / weight[..., np.newaxis], dtype=np.float32)
