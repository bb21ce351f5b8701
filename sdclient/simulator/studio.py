"""Where images are read, painted and encoded; pre-rendered, each size is painted and encoded once."""

from __future__ import annotations

import base64
import binascii
import io
import random
import threading
from collections.abc import Callable

from PIL import Image, ImageChops

from sdclient.simulator.infotext import encode_image
from sdclient.simulator.painter import Brief, paint
from sdclient.simulator.pictures import PictureError, read_picture

__all__ = ["Studio"]

# Enough of a file to hold its header, and so its size.
_HEADER_CHARS = 64 * 1024
_GRAIN_LEVELS = 9
_GRAIN_SEED = 1


class Studio:
    """Reads, paints and encodes for one server, from many threads at once.

    Args:
        prerendered: Paint one image per size and give it out again and again, without generation text. Images in
            requests are then measured but not decoded. So the server costs next to no processor time.
    """

    def __init__(self, *, prerendered: bool = False) -> None:
        self.prerendered = prerendered
        self._lock = threading.Lock()
        self._stills: dict[tuple[int, int], Image.Image] = {}
        self._texts: dict[tuple[tuple[int, int], str], str] = {}

    def read(self, text: str) -> Image.Image:
        """Decode an image from base64, with or without a `data:` prefix.

        Raises:
            PictureError: If it is none.
        """
        return _peek(text) if self.prerendered else read_picture(text)

    def draw(self, size: tuple[int, int], make: Callable[[], Image.Image]) -> Image.Image:
        """Let `make` paint an image of this size, or take the one that is there."""
        if not self.prerendered:
            return make()
        with self._lock:
            if size not in self._stills:
                self._stills[size] = _grained(paint(Brief("a still life, pre-rendered", 1, "pre-rendered", *size)))
            return self._stills[size]

    def encode(self, image: Image.Image, info: str | None, extension: str = "png") -> str:
        """Encode as base64.

        Args:
            image: What to encode.
            info: The generation text to put in, or None.
            extension: `png`, `jpg`, `jpeg` or `webp`.

        Raises:
            KeyError: If the extension is another one.
        """
        if not self.prerendered:
            return base64.b64encode(encode_image(image, info, extension)).decode("ascii")
        key = (image.size, extension)
        with self._lock:
            if key not in self._texts:
                self._texts[key] = base64.b64encode(encode_image(image, None, extension)).decode("ascii")
            return self._texts[key]


def _grained(image: Image.Image) -> Image.Image:
    """Add the fine grain that photographs have, so that the file is as large as a real one: 7 MB at 2048 x 2048."""
    pixels = random.Random(_GRAIN_SEED).randbytes(image.width * image.height)
    grain = Image.frombytes("L", image.size, pixels).point([value % _GRAIN_LEVELS for value in range(256)])
    flips = (Image.Transpose.ROTATE_180, Image.Transpose.FLIP_LEFT_RIGHT)
    return ImageChops.add(image, Image.merge("RGB", (grain, *(grain.transpose(flip) for flip in flips))))


def _peek(text: str) -> Image.Image:
    """Open an image far enough to know its size."""
    payload = text.split(",", 1)[1] if text.startswith("data:") else text
    try:
        return Image.open(io.BytesIO(base64.b64decode(payload[:_HEADER_CHARS])))
    except (binascii.Error, ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError("Invalid encoded image") from error
