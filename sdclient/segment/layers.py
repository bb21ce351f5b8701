"""Objects as layers: their own pixels and how opaque each is, in a box that knows its place in the image.

Laid over each other, layers that are both partly transparent at a pixel add up to more than the image has there. So where
layers are to give the image back (`LayerStack`), each pixel that is partly transparent in the image belongs to one of them
alone, with all of the image's alpha: to the topmost object that holds it, else to the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sdclient.errors import SegmentationError
from sdclient.segment.doors import require_cv2
from sdclient.segment.objects import SegmentedObject
from sdclient.segment.pixels import ImagePixels

__all__ = ["Layer", "LayerStack", "cut_layer"]

_OPAQUE = 255
_WITH_ALPHA = 4

_T = TypeVar("_T", bound=np.generic)

# Who owns a pixel of a stack: the rest, an object by its number, or whoever covers it.
_REST, _SHARED = 0, -1


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A piece of an image; everything outside it is transparent.

    Attributes:
        corner_xy: Where its top left pixel lies in the image.
        rgba: uint8, shape (h, w, 4), RGBA: the image's own colours wherever alpha is above 0, else all 0.
    """

    corner_xy: tuple[int, int]
    rgba: NDArray[np.uint8]


def cut_layer(pixels: ImagePixels, item: SegmentedObject, *, feather_px: float = 0.0, padding_px: int = 0) -> Layer:
    """Cut an object out, as opaque as its mask times the image's own alpha.

    Args:
        pixels: uint8, shape (H, W, 3), RGB, or (H, W, 4), RGBA: the image `item` was found in.
        item: The object.
        feather_px: Width of the band around the outline over which alpha falls from 255 to 0, in pixels: half of it
            inside, half outside. Up to 1 the edge is hard. Where the image ends, the object does not fade.
        padding_px: Empty space to leave around the object; the layer ends at the image's edge.

    Raises:
        SegmentationError: If the object belongs to an image of another size, or is empty.
    """
    _check(pixels, item)
    corner_xy, alpha = _covering(item, feather_px, padding_px)
    return Layer(corner_xy, _with_alpha(_window(pixels, corner_xy, alpha), alpha))


class LayerStack:
    """The layers of an image and the rest below them: stacked, they are the image again, alpha included.

    That holds to the pixel for all that can be seen; the colour of what is wholly transparent is dropped.

    Args:
        pixels: uint8, shape (H, W, 3), RGB, or (H, W, 4), RGBA.
        objects: Of that image, from the bottom to the top; their numbers start at 1.
        feather_px: See `cut_layer`; an edge over partly transparent pixels is hard.
    """

    def __init__(self, pixels: ImagePixels, objects: Sequence[SegmentedObject], feather_px: float = 0.0) -> None:
        self._pixels = pixels
        self._objects = objects
        self._feather_px = feather_px

    @functools.cached_property
    def _owners(self) -> NDArray[np.int32] | None:
        return _find_owners(self._pixels, self._objects) if self._pixels.shape[2] == _WITH_ALPHA else None

    def layer(self, number: int, *, padding_px: int = 0) -> Layer:
        """Return an object's layer.

        Args:
            number: The object's number, from 1.
            padding_px: See `cut_layer`.

        Raises:
            SegmentationError: As `cut_layer` does.
        """
        layer = cut_layer(self._pixels, self._objects[number - 1], feather_px=self._feather_px, padding_px=padding_px)
        if self._owners is None:
            return layer
        alpha = layer.rgba[..., 3]
        owners = _window(self._owners, layer.corner_xy, alpha)
        own = _window(self._pixels, layer.corner_xy, alpha)
        layer.rgba[(owners != number) & (owners != _SHARED)] = 0
        layer.rgba[owners == number] = own[owners == number]
        return layer

    def layers(self) -> Iterator[Layer]:
        """Yield each object's layer, from the bottom to the top."""
        return (self.layer(number) for number in range(1, len(self._objects) + 1))

    def rest(self) -> Layer:
        """Return what no layer covers completely, as opaque as the image is there."""
        alpha = np.full(self._pixels.shape[:2], _OPAQUE, dtype=np.uint8)
        for layer in self.layers():
            _window(alpha, layer.corner_xy, layer.rgba)[layer.rgba[..., 3] == _OPAQUE] = 0
        if self._owners is not None:
            alpha[self._owners > _REST] = 0
        return Layer((0, 0), _with_alpha(self._pixels, alpha))


def _find_owners(pixels: ImagePixels, objects: Sequence[SegmentedObject]) -> NDArray[np.int32]:
    """Return who owns each pixel, shape (H, W): an object's number or `_REST` where it is partly transparent."""
    owners = np.full(pixels.shape[:2], _REST, dtype=np.int32)
    for number, item in enumerate(objects, start=1):
        _check(pixels, item)
        inside = item.runs.decode_box()
        _window(owners, item.bbox_xywh[:2], inside)[inside] = number
    owners[(pixels[..., 3] == 0) | (pixels[..., 3] == _OPAQUE)] = _SHARED
    return owners


def _check(pixels: ImagePixels, item: SegmentedObject) -> None:
    if item.runs.size_hw != pixels.shape[:2] or item.area_px == 0:
        height_px, width_px = item.runs.size_hw
        raise SegmentationError(
            f"cannot cut an object of {item.area_px} px out of an image of {pixels.shape[1]} x "
            f"{pixels.shape[0]} px: its mask is {width_px} x {height_px} px"
        )


def _window(of: NDArray[_T], corner_xy: tuple[int, int], like: NDArray[np.generic]) -> NDArray[_T]:
    """Return the part of an image that lies under a box of another array's height and width."""
    x, y = corner_xy
    return of[y : y + like.shape[0], x : x + like.shape[1]]


def _covering(item: SegmentedObject, feather_px: float, padding_px: int) -> tuple[tuple[int, int], NDArray[np.uint8]]:
    """Return where the box of an object's layer begins, and how much of each of its pixels the object covers, 0 to 255."""
    image_height_px, image_width_px = item.runs.size_hw
    inside = item.runs.decode_box()
    x, y, width_px, height_px = item.bbox_xywh
    space = max(int(np.ceil(feather_px / 2)), padding_px)
    left, top = max(x - space, 0), max(y - space, 0)
    right, bottom = min(x + width_px + space, image_width_px), min(y + height_px + space, image_height_px)
    if space:
        inside = np.pad(inside, ((y - top, bottom - y - height_px), (x - left, right - x - width_px)))
    # The pixels beside the outline are half a pixel away from it: up to 1 px there is none that could fade.
    alpha = _feathered(inside, feather_px) if feather_px > 1 else inside.astype(np.uint8) * np.uint8(_OPAQUE)
    return (left, top), alpha


def _with_alpha(pixels: ImagePixels, alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.shape[2] == _WITH_ALPHA:
        # Rounded: all of an alpha is that alpha, and nothing of it nothing.
        product = alpha.astype(np.uint16) * pixels[..., 3]
        alpha = ((product + _OPAQUE // 2) // _OPAQUE).astype(np.uint8)
    rgba = np.empty((*alpha.shape, 4), dtype=np.uint8)
    # Multiplying by 0 or 1 is several times as fast as copying where the mask says so.
    np.multiply(pixels[..., :3], (alpha > 0)[..., np.newaxis], out=rgba[..., :3])
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
