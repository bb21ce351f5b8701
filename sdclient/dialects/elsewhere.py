"""What a payload file sets for other servers and not for this one: the same file, another image, and a word about it."""

from __future__ import annotations

from sdclient.dialects.base import Dialect, Loss
from sdclient.schemas.generation import Img2Img, Txt2Img

__all__ = ["missing_overlays"]

# Every dialect says itself which model is used where none is named.
_TOLD_ANYWAY = frozenset({"model"})
# Parts that make up the image, by the words for them.
_PARTS = {
    "controls": "ControlNet",
    "loras": "LoRAs",
    "refiner": "the refiner",
    "enlarge": "the upscaler",
    "tiled": "tiles",
    "hires": "the hires fix",
    "adetailer": "ADetailer",
    "ultimate_upscale": "Ultimate SD upscale",
    "sd_upscale": "SD upscale",
}


def missing_overlays(request: Txt2Img | Img2Img, dialect: Dialect) -> tuple[Loss, ...]:
    """Return a loss for every field that the payload of a merged request sets for other dialects alone.

    One that its own overlay empties on purpose is a note, one that it is silent about a warning.
    """
    found: list[Loss] = []
    for field, others in request.only_elsewhere.items():
        # A sampler's name may have its schedule at its end.
        if field in _TOLD_ANYWAY or (field == "scheduler" and request.sampler_name is not None):
            continue
        if field == "native":
            message = (
                f"this payload has scripts, units, passes or upscalers among its native keys for {', '.join(others)}, "
                f"which mean nothing to {dialect.name}: drawn without"
            )
            found.append(Loss(field, "dropped", "warning", message))
            continue
        is_meant = field in request.model_fields_set
        whose = f"this payload names {_PARTS.get(field, field)} for {', '.join(others)}"
        if field in _PARTS:
            message = f"{whose}, and {'none' if is_meant else 'nothing'} for {dialect.name}: drawn without"
            found.append(Loss(field, "dropped", "note" if is_meant else "warning", message))
        else:
            message = f"{whose}, and not for {dialect.name}: the server's own default is used"
            found.append(Loss(field, "inherited", "note" if is_meant else "warning", message))
    return tuple(found)
