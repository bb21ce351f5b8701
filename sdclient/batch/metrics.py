"""CPU and memory of this machine, and what measures energy, sampled by threads *during* a request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sdclient.energy import EnergyMeter, EnergyWindow

log = logging.getLogger(__name__)

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the machine.

    Attributes:
        cpu_percent: Of all cores together, 0 to 100, since the sample before.
        ram_used_mb: Memory in use on the machine, in MiB.
    """

    cpu_percent: float
    ram_used_mb: float


@dataclass(slots=True)
class Window:
    """The samples of one request, and when it began and ended.

    Attributes:
        samples: What was seen while it was open.
        server_rss_mb: Largest resident memory of the server process in MiB; None where it is not local.
        energy: What it drew; None where nothing measures that.
    """

    samples: list[Sample] = field(default_factory=list[Sample])
    server_rss_mb: float | None = None
    energy: EnergyWindow | None = None

    def cells(self) -> dict[str, str]:
        """Return the cells for the CSV log; an unknown figure is an empty cell, never 0."""
        cells = {"server_rss_mb": "" if self.server_rss_mb is None else f"{self.server_rss_mb:.0f}"}
        if self.samples:
            cpu = [one.cpu_percent for one in self.samples]
            ram = [one.ram_used_mb for one in self.samples]
            cells["client_cpu_percent_mean"] = f"{sum(cpu) / len(cpu):.1f}"
            cells["client_cpu_percent_max"] = f"{max(cpu):.1f}"
            cells["client_ram_used_mb_mean"] = f"{sum(ram) / len(ram):.0f}"
            cells["client_ram_used_mb_max"] = f"{max(ram):.0f}"
        return cells if self.energy is None else cells | self.energy.cells()


class Sampler:
    """Samples the machine, for any number of requests at the same time.

    Energy has a thread of its own: a meter may ask a server, and the figures of this machine must not wait for it.

    Args:
        interval_s: Seconds between two samples.
    """

    def __init__(self, interval_s: float = 0.25) -> None:
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._open: list[tuple[Window, Callable[[], float | None] | None]] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin sampling."""
        self._threads = [
            threading.Thread(target=loop, name=f"sdclient-{name}", daemon=True)
            for name, loop in (("metrics", self._loop), ("energy", self._measure))
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End sampling."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=2)

    def open(self, server_rss: Callable[[], float | None] | None = None, meter: EnergyMeter | None = None) -> Window:
        """Begin a window.

        Args:
            server_rss: Tells the server's memory in MiB where it is local.
            meter: What measures the energy of where the request runs; None where nothing does.
        """
        window = Window(energy=None if meter is None else meter.open())
        with self._lock:
            self._open.append((window, server_rss))
        return window

    def close(self, window: Window) -> Window:
        """End a window. A request shorter than the interval gets one sample now."""
        with self._lock:
            mine = [entry for entry in self._open if entry[0] is window]
            self._open = [entry for entry in self._open if entry[0] is not window]
        if window.energy is not None:
            _try_meter(window.energy.close)
        if not window.samples:
            window.samples.append(_look(0.01))
            for _, server_rss in mine:
                _note_server(window, server_rss)
        return window

    def _loop(self) -> None:
        import psutil

        # psutil counts from the same thread's call before; a thread's first one is 0 whatever the machine does.
        psutil.cpu_percent(None)
        while not self._stop.wait(self._interval_s):
            sample = Sample(psutil.cpu_percent(None), psutil.virtual_memory().used / _MIB)
            with self._lock:
                entries = list(self._open)
            for window, server_rss in entries:
                window.samples.append(sample)
                _note_server(window, server_rss)

    def _measure(self) -> None:
        while not self._stop.wait(self._interval_s):
            with self._lock:
                windows = [window.energy for window, _ in self._open if window.energy is not None]
            # One meter may be shared by several requests; it is looked at once.
            meters = {id(one.meter): one.meter for one in windows if one.meter is not None}
            for meter in meters.values():
                _try_meter(meter.sample)


def _look(interval_s: float) -> Sample:
    import psutil

    return Sample(psutil.cpu_percent(interval_s), psutil.virtual_memory().used / _MIB)


def _try_meter(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as exc:
        log.debug("the energy cannot be told", exc_info=exc)


def _note_server(window: Window, server_rss: Callable[[], float | None] | None) -> None:
    try:
        rss = server_rss() if server_rss is not None else None
    except Exception as exc:
        log.debug("the server's memory cannot be told", exc_info=exc)
        return
    if rss is not None:
        window.server_rss_mb = max(rss, window.server_rss_mb or 0.0)


class LocalServerMemory:
    """Resident memory of the process that listens on a port of this machine.

    The process is looked for once a minute at most, because the search is not free.
    """

    def __init__(self, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._port = port
        self._clock = clock
        self._pid: int | None = None
        self._next_search_s = 0.0

    def __call__(self) -> float | None:
        """Return the memory in MiB; None where no such process can be seen."""
        import psutil

        try:
            if self._pid is None:
                self._search()
            return None if self._pid is None else psutil.Process(self._pid).memory_info().rss / _MIB
        except (psutil.Error, OSError):
            self._pid = None
            return None

    def has_ended(self) -> bool:
        """Tell whether the process that listened when it was last looked at is certainly gone."""
        import psutil

        if self._pid is None:
            return False
        try:
            return psutil.Process(self._pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except (psutil.Error, OSError):
            return False

    def _search(self) -> None:
        import psutil

        now = self._clock()
        if now < self._next_search_s:
            return
        self._next_search_s = now + 60
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == self._port:
                self._pid = connection.pid
                return
