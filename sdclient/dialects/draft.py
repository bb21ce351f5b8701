"""A call's body while it is written: values, who asked for each, and what got lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.base import Loss, LossKind, Severity
from sdclient.errors import PayloadError
from sdclient.schemas.generation import Img2Img, Txt2Img

__all__ = ["MASK_FIELDS", "Draft", "check_down_sampling", "is_about_no_mask", "shown"]

DOWN_SAMPLING_RATES = (1, 8)
"""The range of the first setting of ``tile_resample``."""
SHOWN_MAX = 60
"""Characters of a value that a message shows."""
MASK_FIELDS = ("mask_blur", "inpainting_fill", "inpaint_full_res", "inpaint_full_res_padding", "inpainting_mask_invert")
"""Fields that say how a mask is used."""


class Draft:
    """Collects a body and its losses; every key remembers the request field that asked for it.

    Args:
        values: What the body begins with.
        program: The server's program, for messages.

    Attributes:
        program: The server's program, for messages.
        values: The body so far.
        asked: The request field behind each key that was asked for; keys set by default are not in it.
        losses: What got lost so far, in order.
    """

    def __init__(self, values: Mapping[str, JsonValue] | None = None, program: str = "this server") -> None:
        self.program = program
        self.values: dict[str, JsonValue] = dict(values or {})
        self.asked: dict[str, str] = {}
        self.losses: list[Loss] = []

    def put(self, key: str, value: JsonValue, field: str) -> None:
        """Set a key for a field of the request."""
        self.values[key] = value
        self.asked[key] = field

    def lose(self, field: str, kind: LossKind, severity: Severity, message: str) -> None:
        """Note a loss."""
        self.losses.append(Loss(field, kind, severity, message))

    def drop(self, field: str, message: str, severity: Severity = "warning") -> None:
        """Note a field that is left out."""
        self.lose(field, "dropped", severity, message)

    def refuse(self, field: str, message: str) -> None:
        """Note a loss that refuses the request."""
        self.lose(field, "refused", "error", message)

    def override(self, option: str, value: JsonValue, field: str) -> None:
        """Set a server option for this request alone."""
        options = cast("dict[str, JsonValue]", self.values.setdefault("override_settings", {}))
        options[option] = value
        self.asked[f"override_settings.{option}"] = field

    def add_script(self, title: str, args: list[JsonValue], field: str) -> None:
        """Add an always-on script with its arguments."""
        scripts = cast("dict[str, JsonValue]", self.values.setdefault("alwayson_scripts", {}))
        scripts[title] = {"args": args}
        self.asked[f"alwayson_scripts.{title.casefold()}"] = field

    def claim_native(self, key: str, where: str) -> None:
        """Take a key for ``native``.

        Raises:
            PayloadError: If a field of the request asks for the same key.
        """
        if key in self.asked:
            raise PayloadError(f"{where}: {self.asked[key]} sets this already; keep one of the two")
        self.asked[key] = where


def is_about_no_mask(field: str, request: Txt2Img | Img2Img) -> bool:
    """Tell whether a field says how to use a mask where there is none: nothing of it can be lost.

    A1111's page writes these fields into every img2img request.
    """
    return field in MASK_FIELDS and (not isinstance(request, Img2Img) or request.mask is None)


def check_down_sampling(rate: float, field: str, draft: Draft) -> None:
    """Refuse a rate of ``tile_resample`` that no server takes."""
    low, high = DOWN_SAMPLING_RATES
    if not low <= rate <= high:
        draft.refuse(f"{field}.threshold_a", f"the down-sampling rate must be between {low} and {high}, not {rate:g}")


def shown(value: object) -> str:
    """Return a value for a message, cut short."""
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"
