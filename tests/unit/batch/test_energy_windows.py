"""Energy beside CPU and memory: sampled while a request runs, and empty where it is unknown."""

from __future__ import annotations

import threading

from sdclient.batch.metrics import Sampler
from sdclient.energy import EnergyMeter, Reading


class Counter:
    """A source that draws one joule between two looks."""

    name = "counter"

    def __init__(self) -> None:
        self.is_broken = False
        self._joules = 0.0
        self._looks = threading.Semaphore(0)

    def read(self) -> Reading:
        self._looks.release()
        if self.is_broken:
            raise RuntimeError("a bug")
        self._joules += 1
        return Reading(self._joules)

    def wait_for(self, looks: int) -> None:
        for _ in range(looks):
            assert self._looks.acquire(timeout=5)


def test_energy_is_measured_while_a_request_runs() -> None:
    source = Counter()
    meter = EnergyMeter(source)
    sampler = Sampler(0.01)
    sampler.start()
    windows = [sampler.open(None, meter), sampler.open(None, meter), sampler.open()]
    source.wait_for(5)
    cells = [sampler.close(window).cells() for window in windows]
    sampler.stop()

    assert all(float(one["energy_wh"]) > 0 for one in cells[:2])
    assert {one["energy_source"] for one in cells[:2]} == {"counter"}
    assert cells[0]["energy_above_idle_wh"] == ""
    assert "energy_wh" not in cells[2]


def test_a_meter_with_a_bug_harms_nothing_and_claims_nothing() -> None:
    source = Counter()
    meter = EnergyMeter(source)
    source.is_broken = True
    sampler = Sampler(0.01)
    sampler.start()
    window = sampler.open(None, meter)
    source.wait_for(2)
    cells = sampler.close(window).cells()
    sampler.stop()

    assert (cells["energy_wh"], cells["energy_source"]) == ("", "")
    assert cells["client_cpu_percent_mean"] != ""
