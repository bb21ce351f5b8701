"""Divides what a source measures among the requests that run: energy whole and above idle, GPU use, power."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sdclient.energy.reading import EnergySource, Reading

IDLE_S = 2.0
"""How long the idle draw is measured, in seconds."""
MAX_STEP_S = 10.0
"""Power alone is not carried over a longer time without a look."""
IDLE_GPU_PERCENT = 10.0
"""A GPU busier than this is not idle."""
_J_PER_WH = 3600.0


@dataclass(slots=True)
class EnergyWindow:
    """What one request drew, as far as it is known.

    Attributes:
        source: Name of what measured.
        seconds: How long it lasted; time shared with others counts in part.
        joules: Its share of the energy.
        is_known: False once a moment of it could not be measured.
        idle_w: What the machine draws when idle; None where that is unknown.
        gpu_percent: Samples of the GPU's utilisation.
        gpu_power_w: Samples of the GPU's power.
        gpu_memory_mb: Largest memory seen in use, in MiB.
        opened_s: When it began, by the meter's clock.
        meter: Whose window it is.
    """

    source: str
    idle_w: float | None = None
    seconds: float = 0.0
    joules: float = 0.0
    is_known: bool = True
    gpu_percent: list[float] = field(default_factory=list[float])
    gpu_power_w: list[float] = field(default_factory=list[float])
    gpu_memory_mb: float | None = None
    opened_s: float = 0.0
    meter: EnergyMeter | None = field(default=None, repr=False, compare=False)

    def close(self) -> None:
        """End it: take the last sample. Closing twice changes nothing."""
        if self.meter is not None:
            self.meter.close(self)

    @property
    def wh(self) -> float | None:
        """Wh drawn in all; None where unknown."""
        return self.joules / _J_PER_WH if self.is_known and self.seconds > 0 else None

    @property
    def above_idle_wh(self) -> float | None:
        """Wh drawn beyond what the machine draws anyway, at least 0; None where unknown."""
        if self.wh is None or self.idle_w is None:
            return None
        return max(0.0, self.wh - self.idle_w * self.seconds / _J_PER_WH)

    def cells(self) -> dict[str, str]:
        """Return the cells for the CSV log; what is unknown is an empty cell."""
        return {
            "gpu_percent_mean": _mean(self.gpu_percent),
            "gpu_memory_mb_max": "" if self.gpu_memory_mb is None else f"{self.gpu_memory_mb:.0f}",
            "gpu_power_w_mean": _mean(self.gpu_power_w),
            "energy_wh": "" if self.wh is None else f"{self.wh:.6g}",
            "energy_above_idle_wh": "" if self.above_idle_wh is None else f"{self.above_idle_wh:.6g}",
            "energy_source": "" if self.wh is None else self.source,
        }

    def note(self, reading: Reading) -> None:
        """Take a sample of the figures that are no energy."""
        if reading.gpu_percent is not None:
            self.gpu_percent.append(reading.gpu_percent)
        if reading.gpu_power_w is not None:
            self.gpu_power_w.append(reading.gpu_power_w)
        if reading.gpu_memory_mb is not None:
            self.gpu_memory_mb = max(reading.gpu_memory_mb, self.gpu_memory_mb or 0.0)


def _mean(values: list[float]) -> str:
    return f"{sum(values) / len(values):.1f}" if values else ""


class EnergyMeter:
    """One source, and the windows that share it. Callable from any thread.

    Args:
        source: What measures.
        clock: A clock that never goes back, in seconds.
    """

    def __init__(self, source: EnergySource, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._open: list[EnergyWindow] = []
        self._last = (clock(), source.read())
        self.idle_w: float | None = None

    @property
    def name(self) -> str:
        """Name of the source."""
        return self._source.name

    def measure_idle(
        self,
        seconds: float = IDLE_S,
        *,
        sleep: Callable[[float], None] = time.sleep,
        is_idle: Callable[[], bool] = lambda: True,
    ) -> float | None:
        """Measure what is drawn when nothing is asked for; call it before the first request.

        Args:
            seconds: For how long.
            sleep: Waits that long.
            is_idle: Tells afterwards whether the machine was idle all the time, as far as the caller knows.

        Returns:
            Watts; None where it cannot be measured, or something else kept the machine busy.
        """
        began, first = self._clock(), self._source.read()
        sleep(seconds)
        ended, last = self._clock(), self._source.read()
        with self._lock:
            self._last = (ended, last)
        joules = _joules(began, first, ended, last)
        is_busy = any((one.gpu_percent or 0.0) > IDLE_GPU_PERCENT for one in (first, last) if one is not None)
        self.idle_w = None if joules is None or is_busy or not is_idle() else joules / (ended - began)
        return self.idle_w

    def open(self) -> EnergyWindow:
        """Begin the window of a request. Nothing is read here: a server waits for its next job."""
        window = EnergyWindow(self.name, self.idle_w, opened_s=self._clock(), meter=self)
        with self._lock:
            self._open.append(window)
        return window

    def close(self, window: EnergyWindow) -> EnergyWindow:
        """End a window; closing one twice changes nothing."""
        with self._lock:
            self._step()
            self._open = [one for one in self._open if one is not window]
        return window

    def sample(self) -> None:
        """Look at the source now."""
        with self._lock:
            self._step()

    def _step(self) -> None:
        now, reading = self._clock(), self._source.read()
        (before, last), self._last = self._last, (now, reading)
        joules = _joules(before, last, now, reading)
        for window in self._open:
            seconds = max(0.0, now - max(before, window.opened_s)) / len(self._open)
            window.seconds += seconds
            if joules is not None:
                window.joules += joules * seconds / (now - before)
            elif seconds:
                window.is_known = False
            if reading is not None:
                window.note(reading)


def _joules(began: float, first: Reading | None, ended: float, last: Reading | None) -> float | None:
    """Return the energy between two looks: by the counter, else by the mean of two powers; None where unknown."""
    if first is None or last is None or ended <= began:
        return None
    if first.energy_j is not None and last.energy_j is not None and last.energy_j >= first.energy_j:
        return last.energy_j - first.energy_j
    if first.power_w is None or last.power_w is None or ended - began > MAX_STEP_S:
        return None
    return (first.power_w + last.power_w) / 2 * (ended - began)
