"""An image as the array every segmenter takes: uint8, shape (H, W, 3), RGB, upright."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdclient.errors import SegmentationError
from sdclient.images import open_rgb

__all__ = ["ImageRGB", "check_image", "read_rgb"]

ImageRGB = NDArray[np.uint8]

_COLOURS = 3


def read_rgb(data: bytes, *, what: str = "image") -> ImageRGB:
    """Decode an image file into pixels.

    Whatever the file holds (16 bits, a palette, CMYK, grey, transparency, a turned camera) comes out as 8-bit RGB,
    the way up it is meant to be seen, on white where it is transparent.

    Args:
        data: A whole image file.
        what: What it is, for messages: usually its name.

    Returns:
        uint8, shape (H, W, 3), RGB, row 0 at the top.

    Raises:
        CodecError: If `data` is not an image, is cut short or is larger than the limits in force.
    """
    return np.array(open_rgb(data, what=what), dtype=np.uint8)


def check_image(image_rgb: ImageRGB) -> None:
    """Refuse what is not a uint8 array of shape (H, W, 3) with at least one pixel.

    Raises:
        SegmentationError: Saying what was given instead.
    """
    shape = image_rgb.shape
    if image_rgb.dtype != np.uint8 or len(shape) != _COLOURS or shape[2] != _COLOURS or image_rgb.size == 0:
        raise SegmentationError(
            f"an image to segment must be a uint8 array of shape (height, width, 3), not {image_rgb.dtype} {shape}: "
            "read a file with sdclient.segment.read_rgb, or convert with PIL's Image.convert('RGB')"
        )
