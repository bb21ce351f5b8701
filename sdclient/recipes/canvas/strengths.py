"""How strongly each pass draws over the one before: numbers, presets, or a list."""

from __future__ import annotations

from sdclient.errors import ConfigurationError
from sdclient.schemas import Img2Img

PASSES = 4
STRENGTH = 0.4
PRESETS = {"as-documented": 0.05, "as-run": 0.8}
"""Strengths by name: what the original's page says, and what its program really did (a misspelt name was ignored)."""


def parse_strengths(text: str, passes: int | None = None) -> tuple[float, ...]:
    """Read strengths: one number or preset for all passes, or a list with one for each.

    Args:
        text: Such as ``0.4``, ``as-run`` or ``0.8,0.5,0.3``.
        passes: How many passes there are; None takes the list's length, or four.

    Raises:
        ConfigurationError: If a strength is none, or the list has another length.
    """
    values = tuple(_strength(part) for part in text.split(","))
    if len(values) == 1:
        return values * (PASSES if passes is None else passes)
    if passes not in (None, len(values)):
        raise ConfigurationError(
            f"--strength {text[:60]}: {len(values)} strengths for {passes} passes; give one a pass"
        )
    return values


def _strength(text: str) -> float:
    try:
        value = PRESETS[text.strip()] if text.strip() in PRESETS else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigurationError(
            f"--strength {text[:40]!r}: give a number from 0 to 1, {' or '.join(PRESETS)}, or a list such as 0.8,0.5,0.3"
        )
    return value


def strengths_of(request: Img2Img, passes: int | None) -> tuple[float, ...]:
    """Return the payload's own strength for every pass."""
    strength = STRENGTH if request.denoising_strength is None else request.denoising_strength
    return (strength,) * (PASSES if passes is None else passes)
