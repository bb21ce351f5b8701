"""Apple silicon without sudo, through ``zeus-apple-silicon``, which reads the chip's own energy counters.

What counts is the chip: CPU, GPU, Neural Engine and memory; not the screen, the disk or the power supply.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast

from sdclient.energy.reading import Reading

log = logging.getLogger(__name__)

_PARTS = ("cpu_total_mj", "gpu_mj", "dram_mj", "ane_mj")
"""Counters that do not hold each other, in millijoules."""


class AppleMonitor(Protocol):
    """What is used of ``AppleEnergyMonitor``."""

    def get_cumulative_energy(self) -> object:
        """Return the counters since the monitor was made."""
        ...


class AppleSource:
    """The chip of this Mac.

    Args:
        monitor: The library's monitor.
    """

    name = "apple"

    def __init__(self, monitor: AppleMonitor) -> None:
        self._monitor = monitor

    def read(self) -> Reading | None:
        """Read the counters; a part that this chip does not count is left out, all missing is unknown."""
        try:
            counted = self._monitor.get_cumulative_energy()
        except RuntimeError as exc:
            log.debug("apple: %s", exc)
            return None
        parts = [value for name in _PARTS if isinstance(value := getattr(counted, name, None), int | float)]
        return Reading(energy_j=sum(parts) / 1000) if parts else None


def open_apple(load: Callable[[], object] = lambda: import_module("zeus_apple_silicon")) -> AppleSource | None:
    """Open the counters; None on other machines, or where the library is missing.

    Args:
        load: Returns the library; for tests.
    """
    try:
        library = load()
        monitor: object = getattr(library, "AppleEnergyMonitor", None)
        if not callable(monitor):
            return None
        source = AppleSource(cast("AppleMonitor", monitor()))
    except (ImportError, OSError, RuntimeError) as exc:
        log.debug("apple: %s", exc)
        return None
    return source if source.read() is not None else None
