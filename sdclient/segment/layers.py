"""Objects as layers: their own pixels and how opaque each is, in a box that knows its place in the image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdclient.errors import SegmentationError
from sdclient.segment.doors import require_cv2
from sdclient.segment.objects import SegmentedObject
from sdclient.segment.pixels import ImageRGB

__all__ = ["Layer", "cut_layer", "rest_layer"]

_OPAQUE = 255


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A piece of an image; everything outside it is transparent.

    Attributes:
        corner_xy: Where its top left pixel lies in the image.
        rgba: uint8, shape (h, w, 4), RGBA: the image's own colours wherever alpha is above 0, else all 0.
    """

    corner_xy: tuple[int, int]
    rgba: NDArray[np.uint8]


def cut_layer(image_rgb: ImageRGB, item: SegmentedObject, *, feather_px: float = 0.0, padding_px: int = 0) -> Layer:
    """Cut an object out.

    Args:
        image_rgb: uint8, shape (H, W, 3), RGB: the image `item` was found in.
        item: The object.
        feather_px: Width of the band around the outline over which alpha falls from 255 to 0, in pixels: half of it
            inside, half outside. Up to 1 the edge is hard. Where the image ends, the object does not fade.
        padding_px: Empty space to leave around the object; the layer ends at the image's edge.

    Raises:
        SegmentationError: If the object belongs to an image of another size, or is empty.
    """
    if item.runs.size_hw != image_rgb.shape[:2] or item.area_px == 0:
        height_px, width_px = item.runs.size_hw
        raise SegmentationError(
            f"cannot cut an object of {item.area_px} px out of an image of {image_rgb.shape[1]} x "
            f"{image_rgb.shape[0]} px: its mask is {width_px} x {height_px} px"
        )
    inside = item.runs.decode_box()
    x, y, width_px, height_px = item.bbox_xywh
    space = max(int(np.ceil(feather_px / 2)), padding_px)
    left, top = max(x - space, 0), max(y - space, 0)
    right, bottom = min(x + width_px + space, image_rgb.shape[1]), min(y + height_px + space, image_rgb.shape[0])
    if space:
        inside = np.pad(inside, ((y - top, bottom - y - height_px), (x - left, right - x - width_px)))
    # The pixels beside the outline are half a pixel away from it: up to 1 px there is none that could fade.
    alpha = _feathered(inside, feather_px) if feather_px > 1 else inside.astype(np.uint8) * np.uint8(_OPAQUE)
    return Layer((left, top), _with_alpha(image_rgb[top:bottom, left:right], alpha))


def rest_layer(image_rgb: ImageRGB, layers: Iterable[Layer]) -> Layer:
    """Return what no layer covers completely, fully opaque: under `layers` it gives the image back exactly.

    Args:
        image_rgb: uint8, shape (H, W, 3), RGB.
        layers: Layers of that image; each is looked at once.
    """
    alpha = np.full(image_rgb.shape[:2], _OPAQUE, dtype=np.uint8)
    for layer in layers:
        x, y = layer.corner_xy
        height_px, width_px = layer.rgba.shape[:2]
        alpha[y : y + height_px, x : x + width_px][layer.rgba[..., 3] == _OPAQUE] = 0
    return Layer((0, 0), _with_alpha(image_rgb, alpha))


def _with_alpha(pixels_rgb: ImageRGB, alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rgba = np.empty((*alpha.shape, 4), dtype=np.uint8)
    # Multiplying by 0 or 1 is several times as fast as copying where the mask says so.
    np.multiply(pixels_rgb, (alpha > 0)[..., np.newaxis], out=rgba[..., :3])
    rgba[..., 3] = alpha
    return rgba


def _feathered(inside: NDArray[np.bool_], feather_px: float) -> NDArray[np.uint8]:
    """Return alpha, 0 to 255, that falls in a straight line across the outline."""
    cv2 = require_cv2()
    # A pixel beside the outline is half a pixel away from it.
    depth: NDArray[np.float32] = (
        cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - 1 / 2
    )
    distance: NDArray[np.float32] = (
        cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - 1 / 2
    )
    share = np.where(inside, depth, -distance) / np.float32(feather_px) + np.float32(1 / 2)
    return np.asarray(np.rint(np.minimum(np.maximum(share, 0), 1) * _OPAQUE), dtype=np.uint8)
