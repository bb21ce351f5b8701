"""A result as one small image, for notebooks."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sdclient.images import GeneratedImage, flatten_rgb, upright

if TYPE_CHECKING:
    from PIL import Image

MAX_SIDE_PX = 1024
"""Longest side of the picture; a notebook keeps every picture inside its file."""
_GAP_PX = 4


def preview_png(images: Sequence[GeneratedImage]) -> bytes:
    """Return a PNG of all images, at most `MAX_SIDE_PX` wide and high; one that is small enough is itself.

    Args:
        images: The images, at least one; several become rows and columns.
    """
    first = images[0]
    if len(images) == 1 and max(first.size) <= MAX_SIDE_PX and first.facts.format == "PNG":
        return first.data
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    sheet = _sheet([_small(image, MAX_SIDE_PX // max(columns, rows)) for image in images], columns)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _small(image: GeneratedImage, side_px: int) -> Image.Image:
    small = flatten_rgb(upright(image.pil))
    small.thumbnail((side_px, side_px))
    return small


def _sheet(tiles: Sequence[Image.Image], columns: int) -> Image.Image:
    from PIL import Image

    if len(tiles) == 1:
        return tiles[0]
    width = max(tile.width for tile in tiles)
    height = max(tile.height for tile in tiles)
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * width + (columns - 1) * _GAP_PX, rows * height + (rows - 1) * _GAP_PX), "white")
    for number, tile in enumerate(tiles):
        across, down = number % columns, number // columns
        sheet.paste(tile, (across * (width + _GAP_PX), down * (height + _GAP_PX)))
    return sheet
