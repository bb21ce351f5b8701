"""The image of a post: without metadata, and within what a service takes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdclient.errors import ImageLimitError
from sdclient.images import open_rgb, read_image_input

if TYPE_CHECKING:
    from PIL import Image

_QUALITIES = (92, 85, 75)
_SHRINK = 0.8
_SMALLEST_PX = 64


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """What a service takes.

    Attributes:
        max_bytes: Size of a file.
        max_pixels: Width times height.
    """

    max_bytes: int
    max_pixels: int = 10**9


@dataclass(frozen=True, slots=True)
class Media:
    """An image ready to be posted.

    Attributes:
        data: The file: PNG where it fits, else JPEG.
        extension: ``.png`` or ``.jpg``; some libraries guess the type from the name alone.
        width_px: Width.
        height_px: Height.
    """

    data: bytes
    extension: str
    width_px: int
    height_px: int

    @property
    def mime(self) -> str:
        """The file's media type."""
        return "image/png" if self.extension == ".png" else "image/jpeg"


def make_media(data: bytes, limits: MediaLimits) -> Media:
    """Return an image without any metadata, within limits: as PNG, else as JPEG, else smaller.

    Raises:
        CodecError: If ``data`` is no image.
        ImageLimitError: If nothing that can still be seen fits.
    """
    # Decoding and encoding anew leaves everything behind that is not a pixel.
    image = _within_pixels(open_rgb(data, what="the image of the post"), limits.max_pixels)
    png = read_image_input(image)
    if len(png) <= limits.max_bytes:
        return Media(png, ".png", *image.size)
    while min(image.size) >= _SMALLEST_PX:
        for quality in _QUALITIES:
            jpeg = _jpeg(image, quality)
            if len(jpeg) <= limits.max_bytes:
                return Media(jpeg, ".jpg", *image.size)
        image = _scaled(image, _SHRINK)
    raise ImageLimitError(
        f"the image of the post does not fit into {limits.max_bytes} bytes; is that really what the service takes?"
    )


def _within_pixels(image: Image.Image, max_pixels: int) -> Image.Image:
    pixels = image.width * image.height
    return image if pixels <= max_pixels else _scaled(image, (max_pixels / pixels) ** 0.5)


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    from PIL import Image

    size = (max(1, int(image.width * factor)), max(1, int(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()
