"""``--size`` and ``--fit``: how large an input is made before a server sees it, never stretched."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sdclient.errors import ConfigurationError

Fit = Literal["pad", "crop"]
MAX_SIDE_PX = 8192
MIN_SIDE_PX = 64
MAX_SCALE = 16.0
MIN_SCALE = 0.05


@dataclass(frozen=True, slots=True)
class SizeRule:
    """How to find an image's size from its source's.

    Attributes:
        kind: ``source``, ``exact``, ``long-side`` or ``scale``.
        width_px: For ``exact``.
        height_px: For ``exact``.
        number: Pixels for ``long-side``, a factor for ``scale``.
    """

    kind: Literal["source", "exact", "long-side", "scale"]
    width_px: int = 0
    height_px: int = 0
    number: float = 0.0

    def content(self, source: tuple[int, int], fit: Fit) -> tuple[int, int]:
        """Return the size the whole source is scaled to, in pixels: by one factor, so never stretched.

        Args:
            source: Width and height of the source, upright.
            fit: ``pad``: as large as fits into the size asked for. ``crop``: as small as fills it.

        Raises:
            ConfigurationError: If a side comes out smaller or larger than servers take.
        """
        target = self.target(source)
        if self.kind != "exact":
            return target
        factors = target[0] / source[0], target[1] / source[1]
        factor = min(factors) if fit == "pad" else max(factors)
        # Rounding must not leave a pixel missing, or over, on the side that decides.
        bound = min if fit == "pad" else max
        return (
            bound(max(1, round(source[0] * factor)), target[0]),
            bound(max(1, round(source[1] * factor)), target[1]),
        )

    def target(self, source: tuple[int, int]) -> tuple[int, int]:
        """Return width and height of the image before it is fitted to a server's steps, in pixels.

        Args:
            source: Width and height of the source, upright.

        Raises:
            ConfigurationError: If a side comes out smaller or larger than servers take.
        """
        size = self._target(source)
        if min(size) < MIN_SIDE_PX or max(size) > MAX_SIDE_PX:
            raise ConfigurationError(
                f"a source of {source[0]}x{source[1]} becomes {size[0]}x{size[1]}; "
                f"servers take sides of {MIN_SIDE_PX} to {MAX_SIDE_PX} px: choose another --size"
            )
        return size

    def _target(self, source: tuple[int, int]) -> tuple[int, int]:
        if self.kind == "exact":
            return self.width_px, self.height_px
        factor = 1.0
        if self.kind == "scale":
            factor = self.number
        elif self.kind == "long-side":
            factor = self.number / max(source)
        return max(1, round(source[0] * factor)), max(1, round(source[1] * factor))

    def __str__(self) -> str:
        if self.kind == "exact":
            return f"{self.width_px}x{self.height_px}"
        return self.kind if self.kind == "source" else f"{self.kind}={self.number:g}"


def parse_size(text: str) -> SizeRule:
    """Read ``source``, ``WxH``, ``long-side=N`` or ``scale=F``.

    Raises:
        ConfigurationError: If it is none of these, or asks for what no server takes whatever the source is.
    """
    if text == "source":
        return SizeRule("source")
    exact = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", text, re.ASCII)
    if exact:
        width_px, height_px = int(exact[1]), int(exact[2])
        _refuse_sides(text, width_px, height_px)
        return SizeRule("exact", width_px, height_px)
    named = re.fullmatch(r"(long-side|scale)=(\d{1,6}(?:\.\d{1,6})?)", text, re.ASCII)
    if named and named[1] == "long-side":
        _refuse_sides(text, float(named[2]))
        return SizeRule("long-side", number=float(named[2]))
    if named:
        if not MIN_SCALE <= float(named[2]) <= MAX_SCALE:
            raise ConfigurationError(f"--size {text}: choose a factor of {MIN_SCALE:g} to {MAX_SCALE:g}")
        return SizeRule("scale", number=float(named[2]))
    raise ConfigurationError(f"--size {text[:40]!r}: not a size; write source, 2048x2048, long-side=2048 or scale=2")


def _refuse_sides(text: str, *sides_px: float) -> None:
    if min(sides_px) < MIN_SIDE_PX or max(sides_px) > MAX_SIDE_PX:
        raise ConfigurationError(f"--size {text}: servers take sides of {MIN_SIDE_PX} to {MAX_SIDE_PX} px")


def round_up(size: tuple[int, int], step_px: int) -> tuple[int, int]:
    """Return the size with each side brought up to a multiple of ``step_px``."""
    return -(-size[0] // step_px) * step_px, -(-size[1] // step_px) * step_px


def round_down(size: tuple[int, int], step_px: int) -> tuple[int, int]:
    """Return the size with each side brought down to a multiple of ``step_px``, one at least."""
    return max(step_px, size[0] // step_px * step_px), max(step_px, size[1] // step_px * step_px)
