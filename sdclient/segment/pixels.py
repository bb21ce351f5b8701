"""An image as the array every segmenter takes: uint8, shape (H, W, 3), RGB, upright."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdclient.errors import SegmentationError
from sdclient.images import decode_image, flatten_rgb, is_transparent, upright
from sdclient.images.facts import pillow_errors

__all__ = ["ImageRGB", "check_image", "read_on_white", "read_rgb"]

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
    return read_on_white(data, what=what)[0]


def read_on_white(data: bytes, *, what: str = "image") -> tuple[ImageRGB, bool]:
    """Decode an image file as `read_rgb` does, and tell whether white shows through it anywhere.

    Raises:
        CodecError: As `read_rgb` does.
    """
    image = decode_image(data, what=what)
    with pillow_errors(what):
        return np.array(flatten_rgb(upright(image)), dtype=np.uint8), is_transparent(image)


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
