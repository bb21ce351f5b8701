"""What a source of energy figures tells when asked, and the protocol of such sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a source. What it does not know is None.

    Attributes:
        energy_j: A counter of joules that only grows; from where it counts does not matter.
        power_w: Watts drawn now, of everything the source measures; used where there is no counter.
        gpu_power_w: Watts drawn now by the GPUs alone.
        gpu_percent: Utilisation of the busiest GPU, 0 to 100.
        gpu_memory_mb: Memory in use on all GPUs, in MiB.
    """

    energy_j: float | None = None
    power_w: float | None = None
    gpu_power_w: float | None = None
    gpu_percent: float | None = None
    gpu_memory_mb: float | None = None


class EnergySource(Protocol):
    """Something that measures."""

    @property
    def name(self) -> str:
        """What it is called in ``energy_source``: ``nvml``, ``rapl``, ``apple``, ``sdnext``."""
        ...

    def read(self) -> Reading | None:
        """Look now; None where nothing can be read this time. Never raises, and takes milliseconds."""
        ...
