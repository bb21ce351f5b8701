"""NVIDIA GPUs through NVML, the driver's own library (``nvidia-ml-py``): energy, power, utilisation, memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Protocol, TypeVar, cast

from sdclient.energy.reading import Reading

log = logging.getLogger(__name__)

_MIB = 1024 * 1024
T = TypeVar("T")


class _Utilization(Protocol):
    gpu: int


class _Memory(Protocol):
    used: int


class Nvml(Protocol):
    """The functions of ``pynvml`` that are used here."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None:  # noqa: D102, N802 - the library's own names
        ...

    def nvmlDeviceGetCount(self) -> int:  # noqa: D102, N802 - the library's own names
        ...

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:  # noqa: D102, N802 - the library's own names
        ...

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object) -> int:  # noqa: D102, N802 - the library's own names
        ...

    def nvmlDeviceGetPowerUsage(self, handle: object) -> int:  # noqa: D102, N802 - the library's own names
        ...

    def nvmlDeviceGetUtilizationRates(self, handle: object) -> _Utilization:  # noqa: D102, N802 - the library's own names
        ...

    def nvmlDeviceGetMemoryInfo(self, handle: object) -> _Memory:  # noqa: D102, N802 - the library's own names
        ...


class NvmlSource:
    """All NVIDIA GPUs of this machine together.

    Args:
        nvml: The library, initialised.
        handles: The GPUs.
    """

    name = "nvml"

    def __init__(self, nvml: Nvml, handles: list[object]) -> None:
        self._nvml = nvml
        self._handles = handles

    def read(self) -> Reading | None:
        """Look at every GPU; a figure that one of them does not tell is unknown for all."""
        nvml = self._nvml
        # In millijoules since the driver was loaded; cards before Volta do not count.
        energy = self._all(nvml.nvmlDeviceGetTotalEnergyConsumption)
        power = self._all(nvml.nvmlDeviceGetPowerUsage)
        use = self._all(nvml.nvmlDeviceGetUtilizationRates)
        memory = self._all(nvml.nvmlDeviceGetMemoryInfo)
        if energy is None and power is None and use is None and memory is None:
            return None
        power_w = None if power is None else sum(power) / 1000
        return Reading(
            energy_j=None if energy is None else sum(energy) / 1000,
            power_w=power_w,
            gpu_power_w=power_w,
            gpu_percent=None if use is None else float(max(one.gpu for one in use)),
            gpu_memory_mb=None if memory is None else sum(one.used for one in memory) / _MIB,
        )

    def _all(self, ask: Callable[[object], T]) -> list[T] | None:
        try:
            return [ask(handle) for handle in self._handles]
        except self._nvml.NVMLError as exc:
            log.debug("nvml: %s", exc)
            return None


def open_nvml(load: Callable[[], object] = lambda: import_module("pynvml")) -> NvmlSource | None:
    """Open the GPUs of this machine; None where there are none, or the library or the driver is missing.

    Args:
        load: Returns the library; for tests.
    """
    try:
        nvml = cast("Nvml", load())
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError as exc:
        log.info("nvml: %s", exc)
        return None
    source = NvmlSource(nvml, handles)
    return source if handles and source.read() is not None else None
