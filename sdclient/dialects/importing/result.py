"""What an import gives: a request, and what of the foreign payload no request can say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sdclient.schemas.generation import Img2Img, Txt2Img

__all__ = ["Imported"]


@dataclass(frozen=True, slots=True)
class Imported:
    """A foreign payload as one of ours.

    Attributes:
        request: The request; what only one server knows is in its overlay.
        dialect: The dialect it comes from.
        left_out: Keys that cannot be sent there, and why.
    """

    request: Txt2Img | Img2Img
    dialect: str
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
