"""An image as an array: RGB, as every segmenter takes it, or RGBA where the image is transparent; uint8, upright."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from sdclient.errors import SegmentationError
from sdclient.images import decode_image, flatten_rgb, is_transparent, own_rgba, upright
from sdclient.images.facts import pillow_errors

__all__ = [
    "ImagePixels",
    "ImageRGB",
    "check_image",
    "check_pixels",
    "read_image",
    "read_rgb",
    "see_on_white",
    "visible_part",
]

ImageRGB = NDArray[np.uint8]

ImagePixels = NDArray[np.uint8]
"""An image's own pixels: uint8, shape (H, W, 3), RGB, or (H, W, 4), RGBA."""

_AXES = 3
_COLOURS = 3
_WITH_ALPHA = 4


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
    return see_on_white(read_image(data, what=what))


def read_image(data: bytes, *, what: str = "image") -> ImagePixels:
    """Decode an image file into its own pixels, with alpha where it is transparent or partly so anywhere.

    Args:
        data: A whole image file.
        what: What it is, for messages: usually its name.

    Returns:
        uint8, row 0 at the top: shape (H, W, 4), RGBA, where some pixel is not opaque, else (H, W, 3) as by `read_rgb`.

    Raises:
        CodecError: As `read_rgb` does.
    """
    image = decode_image(data, what=what)
    with pillow_errors(what):
        image = upright(image)
        return np.array(own_rgba(image) if is_transparent(image) else flatten_rgb(image), dtype=np.uint8)


def see_on_white(pixels: ImagePixels) -> ImageRGB:
    """Return an image as it looks on white; one without alpha is given back as it is.

    Args:
        pixels: uint8, shape (H, W, 3), RGB, or (H, W, 4), RGBA.
    """
    if pixels.shape[2:] != (_WITH_ALPHA,):
        return pixels
    from PIL import Image

    return np.array(flatten_rgb(Image.fromarray(pixels)), dtype=np.uint8)


def visible_part(pixels: ImagePixels) -> NDArray[np.bool_] | None:
    """Return where an image is not wholly transparent, shape (H, W); None where it has no alpha: everywhere."""
    return pixels[..., _COLOURS] > 0 if pixels.shape[2:] == (_WITH_ALPHA,) else None


def check_image(image_rgb: ImageRGB) -> None:
    """Refuse what is not a uint8 array of shape (H, W, 3) with at least one pixel.

    Raises:
        SegmentationError: Saying what was given instead.
    """
    if not _is_image(image_rgb, (_COLOURS,)):
        raise SegmentationError(
            f"an image to segment must be a uint8 array of shape (height, width, 3), not {_shown(image_rgb)}: "
            "read a file with sdclient.segment.read_rgb, or convert with PIL's Image.convert('RGB')"
        )


def check_pixels(pixels: ImagePixels) -> None:
    """Refuse what is neither an RGB nor an RGBA image of uint8 with at least one pixel.

    Raises:
        SegmentationError: Saying what was given instead.
    """
    if not _is_image(pixels, (_COLOURS, _WITH_ALPHA)):
        raise SegmentationError(
            "an image to cut up must be a uint8 array of shape (height, width, 3), or (height, width, 4) with alpha, not "
            f"{_shown(pixels)}: read a file with sdclient.segment.read_image, or convert with PIL's Image.convert('RGB')"
        )


def _is_image(pixels: ImagePixels, channels: Collection[int]) -> bool:
    shape = pixels.shape
    return pixels.dtype == np.uint8 and len(shape) == _AXES and shape[2] in channels and pixels.size > 0


def _shown(pixels: ImagePixels) -> str:
    return f"{pixels.dtype} {pixels.shape}"
