"""Reading the images inside A1111 requests, and fitting them to the size asked for."""

from __future__ import annotations

import base64
import binascii
import io

from PIL import Image

__all__ = ["PictureError", "contact_sheet", "fit", "read_picture"]

_CROP, _FILL = 1, 2


class PictureError(Exception):
    """The text is no encoded image."""


def read_picture(text: str) -> Image.Image:
    """Decode base64, with or without a `data:` prefix, and then the image; alpha is laid on white.

    Raises:
        PictureError: If either cannot be decoded. URLs are not fetched, which a server with requests off answers too.
    """
    payload = text.split(";")[1].split(",")[1] if text.startswith("data:image/") and ";base64," in text else text
    try:
        opened = Image.open(io.BytesIO(base64.b64decode(payload)))
        opened.load()
    except (binascii.Error, ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError("Invalid encoded image") from error
    image: Image.Image = opened
    if "A" in image.getbands() or "transparency" in image.info:
        ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
        info = image.info
        image = Image.alpha_composite(ground, image.convert("RGBA"))
        image.info = info
    result = image.convert("RGB")
    result.info = image.info
    return result


def fit(image: Image.Image, size: tuple[int, int], mode: int) -> Image.Image:
    """Resize to `size` the way `resize_mode` says.

    Args:
        image: What to resize.
        size: Width and height in pixels.
        mode: 1 crops, 2 fills the borders, anything else stretches.
    """
    if image.size == size or mode not in {_CROP, _FILL}:
        return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
    ratios = (size[0] / image.width, size[1] / image.height)
    scale = max(ratios) if mode == _CROP else min(ratios)
    scaled = image.resize((round(image.width * scale) or 1, round(image.height * scale) or 1), Image.Resampling.LANCZOS)
    # The fill is the image itself, stretched: the border continues its colours.
    ground = image.resize(size, Image.Resampling.BILINEAR)
    ground.paste(scaled, ((size[0] - scaled.width) // 2, (size[1] - scaled.height) // 2))
    return ground


def contact_sheet(images: list[Image.Image]) -> Image.Image:
    """Lay images of one size out in a grid that is about as wide as high."""
    columns = round(len(images) ** 0.5) or 1
    rows = -(-len(images) // columns)
    width, height = images[0].size
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, image in enumerate(images):
        sheet.paste(image, (index % columns * width, index // columns * height))
    return sheet
