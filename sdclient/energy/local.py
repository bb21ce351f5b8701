"""Everything on this machine that measures, as one source."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from sdclient.energy.apple import open_apple
from sdclient.energy.meter import EnergyMeter
from sdclient.energy.nvml import open_nvml
from sdclient.energy.rapl import open_rapl
from sdclient.energy.reading import EnergySource, Reading
from sdclient.energy.sdnext import SdNextSource

IDLE_CPU_PERCENT = 25.0
"""A machine busier than this is not idle."""


class CombinedSource:
    """Several sources that measure different parts of one machine, added up.

    Args:
        sources: At least one.
    """

    def __init__(self, sources: Sequence[EnergySource]) -> None:
        self._sources = tuple(sources)

    @property
    def name(self) -> str:
        """The names of all, such as ``nvml+rapl``."""
        return "+".join(source.name for source in self._sources)

    def read(self) -> Reading | None:
        """Read all; where one does not answer the sum is unknown, never less than it should be."""
        readings = [source.read() for source in self._sources]
        known = [reading for reading in readings if reading is not None]
        if len(known) < len(readings):
            return None
        gpu = next((one for one in known if one.gpu_percent is not None or one.gpu_power_w is not None), Reading())
        return Reading(
            energy_j=_sum([one.energy_j for one in known]),
            power_w=_sum([one.power_w for one in known]),
            gpu_power_w=gpu.gpu_power_w,
            gpu_percent=gpu.gpu_percent,
            gpu_memory_mb=gpu.gpu_memory_mb,
        )


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def open_local_source() -> EnergySource | None:
    """Open whatever measures on this machine: NVML, RAPL, Apple's counters; None where nothing does.

    A source that cannot be added to the others (a GPU that knows its power but counts no energy, beside a
    processor that only counts) leaves the GPU, which is what draws.
    """
    found: list[EnergySource] = [one for one in (open_nvml(), open_rapl(), open_apple()) if one is not None]
    return combine(found)


def combine(found: Sequence[EnergySource]) -> EnergySource | None:
    """Return sources as one; where they cannot be added up, the first alone."""
    if len(found) < 2:  # noqa: PLR2004 - one needs no adding up
        return found[0] if found else None
    combined = CombinedSource(found)
    reading = combined.read()
    has_sum = reading is not None and (reading.energy_j is not None or reading.power_w is not None)
    return combined if has_sum else found[0]


def open_meter(*, is_local: bool, ask_gpu: Callable[[], object] | None = None) -> EnergyMeter | None:
    """Return the meter for a server or segmenter; None where nothing measures what it draws.

    Args:
        is_local: It runs on this very machine. Only then are this machine's counters about it.
        ask_gpu: For an SD.Next server elsewhere: asks its route ``/sdapi/v1/gpu``, within a second or two.
    """
    if is_local:
        return local_meter()
    if ask_gpu is None:
        return None
    source = SdNextSource(ask_gpu)
    return EnergyMeter(source) if source.read() is not None else None


def idle_meter(source: EnergySource, *, sleep: Callable[[float], None] = time.sleep) -> EnergyMeter:
    """Return a meter that knows what its source measures on a machine at rest; unknown where it is not at rest."""
    import psutil

    meter = EnergyMeter(source)
    psutil.cpu_percent(None)
    meter.measure_idle(sleep=sleep, is_idle=lambda: psutil.cpu_percent(None) < IDLE_CPU_PERCENT)
    return meter


class SharedMeter:
    """This machine's one meter, shared by everything that runs on it; opened once, at the first need.

    The idle draw is measured first (2 s). Who comes meanwhile waits: so nothing that is to be measured has begun yet.

    Args:
        find: Finds what measures here; None where nothing does.
        sleep: Waits the given number of seconds.
    """

    def __init__(
        self,
        find: Callable[[], EnergySource | None] = open_local_source,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._find = find
        self._sleep = sleep
        self._lock = threading.Lock()
        self._is_open = False
        self._meter: EnergyMeter | None = None

    def __call__(self) -> EnergyMeter | None:
        """Return the meter; None at once where nothing measures."""
        with self._lock:
            if not self._is_open:
                source = self._find()
                self._meter = None if source is None else idle_meter(source, sleep=self._sleep)
                self._is_open = True
            return self._meter


local_meter = SharedMeter()
"""The meter of this machine."""
