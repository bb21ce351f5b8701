"""Which regions of an image are its background: sky, ground, wall, table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdclient.segment.doors import require_cv2
from sdclient.segment.masks import MaskHW
from sdclient.segment.regions import Labels, region_means

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

# A gap's largest share of the image, and how far a spur of background may reach into an object, in pixels.
_LARGEST_GAP = 0.05
_SPUR_PX = 8

# Colour differences (CIE 1976) below which a region, or a pixel, is background; what darkness counts for; how many
# backgrounds are compared, the largest first; the windows in which their colour is averaged, as shares of the image's
# long side; and how much of the wide one a background must fill.
_SAME_COLOUR = 7.0
_SAME_COLOUR_PIXEL = 5.0
_SHADOW_WEIGHT = 0.5
_REGIONS_COMPARED = 8
_NARROW, _WIDE = 0.25, 0.6
_NEARBY = 0.02


def find_background(labels: Labels, lab: NDArray[np.float32]) -> MaskHW:
    """Tell background from the rest by how its regions meet the frame, then by their colour.

    Background runs off the frame on two sides, hangs from the top as a sky does, lies in a flat band as hills do, or
    clings to the frame with most of its length. What stands on the lower edge only (a person cut off at the waist) is no background. Regions that have the
    colour of the background around them are background seen through a gap.

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
    """Add what has the colour of some background nearby: whole regions seen through a gap, and spurs of regions."""
    cv2 = require_cv2()
    difference = _difference_from_background(labels, lab, is_background)
    is_gap = region_means(labels, difference[..., np.newaxis])[:, 0] < _SAME_COLOUR
    # What is large and stands apart is a thing of its own, be it black before black.
    is_gap &= np.bincount(labels.ravel()) < _LARGEST_GAP * labels.size
    found = np.asarray((is_background | is_gap)[labels], dtype=np.bool_)
    # Single pixels only where they are close to background and hang together with it: a shirt may hold pixels of the
    # sky's colour.
    near = cv2.dilate(found.astype(np.uint8), np.ones((2 * _SPUR_PX + 1, 2 * _SPUR_PX + 1), np.uint8)) > 0
    alike = found | (near & (difference < _SAME_COLOUR_PIXEL))
    count, pieces = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
    touching = np.bincount(pieces[found], minlength=count) > 0
    return np.asarray(alike & touching[pieces], dtype=np.bool_)


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
        offset = lab - _mean_nearby(lab, (labels == region).astype(np.float32))
        offset[..., 0] *= np.where(offset[..., 0] < 0, _SHADOW_WEIGHT, 1)
        nearest = np.fmin(nearest, np.sqrt(np.square(offset).sum(axis=2)))
    return nearest


def _mean_nearby(lab: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean colour of the masked pixels near each pixel, shape (H, W, 3); NaN where none is near."""
    cv2 = require_cv2()
    total, weight = np.zeros_like(lab), np.zeros_like(mask)
    # The wide window counts only where the narrow one holds nothing: in the middle of a large object.
    for share, trust in ((_NARROW, 1.0), (_WIDE, 1e-3)):
        window = int(max(mask.shape) * share) | 1
        total += trust * cv2.blur(lab * mask[..., np.newaxis], (window, window))
        weight += trust * cv2.blur(mask, (window, window))
    weight[weight < 1e-3 * _NEARBY] = np.nan
    return np.asarray(total / weight[..., np.newaxis], dtype=np.float32)
