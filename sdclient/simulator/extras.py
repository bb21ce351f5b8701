"""The web UI's extras: enlarging finished images with an upscaler."""

from __future__ import annotations

from PIL import Image

from sdclient.simulator.catalogue import Install
from sdclient.simulator.facts import JsonObject
from sdclient.simulator.painter import enlarge
from sdclient.simulator.pictures import fit
from sdclient.simulator.settle import ServerFaultError, integer, number, text
from sdclient.simulator.studio import Studio

__all__ = ["enlarge_as_asked"]

_MOST_PIXELS = 100_000_000


def enlarge_as_asked(install: Install, values: JsonObject, image: Image.Image, studio: Studio) -> Image.Image:
    """Enlarge one image.

    Args:
        install: What is installed.
        values: The request with defaults filled in.
        image: The image to enlarge.
        studio: Paints.

    Raises:
        ServerFaultError: If an upscaler is unknown; the extras script has an assertion there, so it is a 500.
    """
    first, second = text(values["upscaler_1"]), text(values["upscaler_2"])
    for name in (first, second):
        if not install.has_upscaler(name):
            raise ServerFaultError("AssertionError", f"could not find upscaler named {name}")
    if first == "None":
        # Without a first upscaler the script leaves the image as it is, whatever size was asked for.
        return studio.draw(image.size, lambda: image)
    target = _target(values, image)
    if target[0] * target[1] > _MOST_PIXELS:
        raise ServerFaultError(
            "OutOfMemoryError", "CUDA out of memory. Tried to allocate more than the simulator holds"
        )
    if integer(values["resize_mode"]) == 1 and values["upscaling_crop"] is True:
        wanted = (integer(values["upscaling_resize_w"]), integer(values["upscaling_resize_h"]))
        return studio.draw(wanted, lambda: fit(_enlarged(values, image, target), wanted, 1))
    return studio.draw(target, lambda: _enlarged(values, image, target))


def _enlarged(values: JsonObject, image: Image.Image, target: tuple[int, int]) -> Image.Image:
    first, second = text(values["upscaler_1"]), text(values["upscaler_2"])
    result = enlarge(image, target, first)
    share = number(values["extras_upscaler_2_visibility"])
    if second != "None" and share > 0:
        result = Image.blend(result, enlarge(image, target, second), share)
    return result


def _target(values: JsonObject, image: Image.Image) -> tuple[int, int]:
    if integer(values["resize_mode"]) == 0:
        factor = number(values["upscaling_resize"])
    else:
        factor = max(
            integer(values["upscaling_resize_w"]) / image.width, integer(values["upscaling_resize_h"]) / image.height
        )
    return max(1, round(image.width * factor)), max(1, round(image.height * factor))
