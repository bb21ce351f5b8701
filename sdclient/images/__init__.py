"""Images as bytes, text and pixels: base64, full decoding within limits, hashes, metadata, fitting to a size.

Importing this imports neither Pillow nor numpy; they come with the first image. No setting of Pillow is changed.
"""

from __future__ import annotations

from sdclient.images.codec import DEFAULT_LIMITS, ImageLimits, decode_base64, encode_base64
from sdclient.images.facts import EXTENSIONS, ImageFacts, decode_image, inspect_image, read_size
from sdclient.images.pixels import (
    FitBox,
    FitMode,
    fit_image,
    flatten_rgb,
    is_transparent,
    open_rgb,
    own_rgba,
    unfit_image,
    upright,
)
from sdclient.images.splice import splice_png_text, splice_text
from sdclient.images.value import GeneratedImage, ImageInput, read_image_input

__all__ = [
    "DEFAULT_LIMITS",
    "EXTENSIONS",
    "FitBox",
    "FitMode",
    "GeneratedImage",
    "ImageFacts",
    "ImageInput",
    "ImageLimits",
    "decode_base64",
    "decode_image",
    "encode_base64",
    "fit_image",
    "flatten_rgb",
    "inspect_image",
    "is_transparent",
    "open_rgb",
    "own_rgba",
    "read_image_input",
    "read_size",
    "splice_png_text",
    "splice_text",
    "unfit_image",
    "upright",
]
