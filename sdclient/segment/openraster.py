"""An image and its objects as an OpenRaster file: layers that GIMP, Krita and MyPaint open.

::

    mimetype                  image/openraster, first and uncompressed, so that the file can be told by its start
    stack.xml                 the layers, topmost first
    data/layer000.png ...     each layer's own box
    mergedimage.png           all layers together: the image itself
    Thumbnails/thumbnail.png  at most 256 pixels wide and high
"""

from __future__ import annotations

import io
import itertools
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

import numpy as np

from sdclient.segment.doors import require_cv2
from sdclient.segment.layers import Layer
from sdclient.segment.pixels import ImagePixels, ImageRGB, see_on_white, visible_part
from sdclient.segment.png import encode_pixels

__all__ = ["NamedLayer", "encode_openraster"]

_THUMBNAIL_PX = 256
_FILE_MODE = 0o100644

# The earliest time a ZIP file knows: the same image gives the same bytes at any hour.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class NamedLayer:
    """A layer with the name people see.

    Attributes:
        name: Its name.
        layer: Its pixels.
    """

    name: str
    layer: Layer


def encode_openraster(pixels: ImagePixels, rest: NamedLayer, layers: Iterable[NamedLayer]) -> bytes:
    """Return an OpenRaster file whose layers add up to the image.

    Args:
        pixels: uint8, shape (H, W, 3), RGB, or (H, W, 4), RGBA: what all layers together look like.
        rest: The layer at the bottom.
        layers: The others, from the bottom to the top; each is used once.
    """
    height_px, width_px = pixels.shape[:2]
    file = io.BytesIO()
    lines: list[str] = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "mimetype", b"image/openraster")
        for number, one in enumerate(itertools.chain([rest], layers)):
            name = f"data/layer{number:03d}.png"
            x, y = one.layer.corner_xy
            _add(archive, name, encode_pixels(one.layer.rgba))
            lines.append(f'  <layer name={quoteattr(_shown(one.name))} src="{name}" x="{x}" y="{y}"/>')
        stack = "\n".join(reversed(lines))
        xml = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<image version="0.0.3" w="{width_px}" h="{height_px}">\n'
            f" <stack>\n{stack}\n </stack>\n</image>\n"
        )
        _add(archive, "stack.xml", xml.encode())
        _add(archive, "mergedimage.png", encode_pixels(_without_hidden(pixels)))
        _add(archive, "Thumbnails/thumbnail.png", encode_pixels(_thumbnail(see_on_white(pixels))))
    return file.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _NO_TIME)
    # Without rights of its own an unpacked file could not be read.
    info.external_attr = _FILE_MODE << 16
    archive.writestr(info, data)


def _shown(name: str) -> str:
    # XML has no way to write control characters.
    return "".join(char if char.isprintable() else "_" for char in name)


def _without_hidden(pixels: ImagePixels) -> ImagePixels:
    """Return an image as its layers add up to it: what is wholly transparent is black."""
    visible_hw = visible_part(pixels)
    return pixels if visible_hw is None else np.multiply(pixels, visible_hw[..., np.newaxis])


def _thumbnail(image_rgb: ImageRGB) -> ImageRGB:
    cv2 = require_cv2()
    scale = min(_THUMBNAIL_PX / max(image_rgb.shape[:2]), 1.0)
    size = tuple(max(round(side * scale), 1) for side in image_rgb.shape[1::-1])
    return np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
