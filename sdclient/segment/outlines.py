"""A rough mask of a small image made into a crisp one of the full image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdclient.segment.doors import require_cv2
from sdclient.segment.masks import MaskHW
from sdclient.segment.pixels import ImageRGB

__all__ = ["Outline", "sharpen_outline"]

# In pixels of the small image: half the width of the band in which the outline may move, and the window in which the
# colours on either side of it are averaged.
_BAND_PX = 3
_WINDOW_PX = 13

# Below this distance in RGB the two sides cannot be told apart by colour, and the rough outline stays.
_MIN_DISTANCE = 12.0


@dataclass(frozen=True, slots=True)
class Outline:
    """An object's mask at full size, inside a box.

    Attributes:
        corner_xy: Where the box's top left pixel lies in the full image.
        mask_hw: bool, shape of the box.
    """

    corner_xy: tuple[int, int]
    mask_hw: MaskHW


def sharpen_outline(image_rgb: ImageRGB, small_rgb: ImageRGB, small_mask: MaskHW) -> Outline:
    """Move an object's outline to where the full image's colours change.

    Each pixel near the rough outline goes to the side whose colour, averaged nearby, it is closer to.

    Args:
        image_rgb: uint8, shape (H, W, 3), RGB.
        small_rgb: uint8, shape (h, w, 3), the same image made smaller.
        small_mask: bool, shape (h, w), not empty: the object, roughly.
    """
    cv2 = require_cv2()
    scale_xy = (image_rgb.shape[1] / small_rgb.shape[1], image_rgb.shape[0] / small_rgb.shape[0])
    x0, y0, x1, y1 = _padded_box(small_mask)
    rough = small_mask[y0:y1, x0:x1].astype(np.float32)
    soft = cv2.blur(rough, (2 * _BAND_PX + 1, 2 * _BAND_PX + 1), borderType=cv2.BORDER_REPLICATE)
    left, right = (round(edge * scale_xy[0]) for edge in (x0, x1))
    top, bottom = (round(edge * scale_xy[1]) for edge in (y0, y1))
    prior = cv2.resize(soft, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    mask = np.asarray(prior > 1 / 2, dtype=np.bool_)
    rows, columns = np.nonzero((prior > 1 / 50) & (prior < 49 / 50))
    if rows.size:
        sides = _side_colours(small_rgb[y0:y1, x0:x1].astype(np.float32), rough)
        # The colours nearby change slowly: the nearest of the small image's pixels is near enough.
        near = ((rows / scale_xy[1]).astype(np.intp), (columns / scale_xy[0]).astype(np.intp))
        pixels = image_rgb[top:bottom, left:right][rows, columns].astype(np.float32)
        mask[rows, columns] = _is_inside(pixels, sides[near], prior[rows, columns])
    return Outline((left, top), mask)


def _padded_box(small_mask: MaskHW) -> tuple[int, int, int, int]:
    height_px, width_px = small_mask.shape
    rows, columns = np.flatnonzero(small_mask.any(axis=1)), np.flatnonzero(small_mask.any(axis=0))
    pad = _WINDOW_PX // 2 + _BAND_PX
    return (
        max(int(columns[0]) - pad, 0),
        max(int(rows[0]) - pad, 0),
        min(int(columns[-1]) + 1 + pad, width_px),
        min(int(rows[-1]) + 1 + pad, height_px),
    )


def _side_colours(small: NDArray[np.float32], rough: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean colours nearby, shape (h, w, 6): of the object's inside, then of what is around it."""
    cv2 = require_cv2()
    # The outermost pixels of either side are mixtures of both.
    kernel = np.ones((3, 3), np.uint8)
    inside = cv2.erode(rough, kernel)
    outside = 1 - cv2.dilate(rough, kernel)
    if not bool(inside.any()):
        inside = rough
    fields = [_mean_nearby(small, weights) for weights in (inside, outside)]
    return np.concatenate(fields, axis=2)


def _mean_nearby(small: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    cv2 = require_cv2()
    # A second, wide window stands in where the narrow one holds nothing.
    total = np.zeros_like(small)
    weight = np.zeros_like(weights)
    for window, trust in ((_WINDOW_PX, 1.0), (4 * _WINDOW_PX + 1, 1e-3)):
        total += trust * cv2.blur(small * weights[..., np.newaxis], (window, window))
        weight += trust * cv2.blur(weights, (window, window))
    return np.asarray(total / np.maximum(weight, 1e-9)[..., np.newaxis], dtype=np.float32)


def _is_inside(
    pixels: NDArray[np.float32], sides: NDArray[np.float32], prior: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Decide pixel by pixel which of two colours is closer, leaning on the rough outline where that is unclear.

    Args:
        pixels: Shape (N, 3), RGB.
        sides: Shape (N, 6), the colour inside and the colour outside near each pixel.
        prior: Shape (N,), 1 deep inside the rough outline, 0 far outside.
    """
    inside, outside = sides[:, :3], sides[:, 3:]
    between = inside - outside
    distance = np.square(between).sum(axis=1)
    place = ((pixels - outside) * between).sum(axis=1) / np.maximum(distance, 1.0)
    place = np.minimum(np.maximum(place, 0), 1)
    # A colour that is neither, such as a dark line around the object, says little.
    neither = np.square(pixels - outside - place[:, np.newaxis] * between).sum(axis=1)
    trust = np.minimum(distance / _MIN_DISTANCE**2, 1.0) * 2 / 3 * distance / np.maximum(distance + neither, 1.0)
    return np.asarray(place * trust + prior * (1 - trust) > 1 / 2, dtype=np.bool_)
