"""The meter: energy divided among requests, idle draw, and unknown where a moment was not measured."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.energy import EnergyMeter, Reading


@dataclass
class Bench:
    """A clock and a source that draws as it is told."""

    now_s: float = 0.0
    joules: float = 1000.0
    power_w: float | None = None
    counts: bool = True
    answers: bool = True
    gpu_percent: float | None = None
    gpu_memory_mb: float | None = None
    name: str = "bench"
    waited: list[float] = field(default_factory=list[float])

    def clock(self) -> float:
        return self.now_s

    def read(self) -> Reading | None:
        if not self.answers:
            return None
        energy = self.joules if self.counts else None
        return Reading(energy, self.power_w, self.power_w, self.gpu_percent, self.gpu_memory_mb)

    def draw(self, seconds: float, watts: float) -> None:
        self.now_s += seconds
        self.joules += seconds * watts

    def meter(self) -> EnergyMeter:
        return EnergyMeter(self, clock=self.clock)


def test_a_request_alone_has_all_that_was_drawn_in_it() -> None:
    bench = Bench()
    meter = bench.meter()
    window = meter.open()
    bench.draw(36, 200)

    cells = meter.close(window).cells()

    assert cells["energy_wh"] == "2"
    assert cells["energy_source"] == "bench"
    assert cells["energy_above_idle_wh"] == ""


def test_what_was_drawn_before_a_request_is_not_its() -> None:
    bench = Bench()
    meter = bench.meter()
    bench.draw(100, 50)
    meter.sample()
    window = meter.open()
    bench.draw(36, 100)

    assert meter.close(window).wh == pytest.approx(1.0)


def test_a_request_that_began_between_two_samples_has_its_share_of_the_time() -> None:
    bench = Bench()
    meter = bench.meter()
    bench.draw(1, 100)
    window = meter.open()
    bench.draw(3, 100)

    meter.close(window)

    assert window.joules == pytest.approx(300)
    assert window.seconds == pytest.approx(3)


def test_requests_at_the_same_time_share_what_was_drawn() -> None:
    bench = Bench()
    meter = bench.meter()
    one, two = meter.open(), meter.open()
    bench.draw(10, 100)
    meter.close(one)
    bench.draw(10, 100)
    meter.close(two)

    assert (one.joules, two.joules) == (pytest.approx(500), pytest.approx(1500))
    assert (one.seconds, two.seconds) == (pytest.approx(5), pytest.approx(15))


def test_the_idle_draw_is_taken_off_and_the_whole_is_shown_too() -> None:
    bench = Bench()
    meter = bench.meter()

    assert meter.measure_idle(2.0, sleep=lambda seconds: bench.draw(seconds, 50)) == pytest.approx(50)

    window = meter.open()
    bench.draw(36, 250)
    cells = meter.close(window).cells()
    assert cells["energy_wh"] == "2.5"
    assert cells["energy_above_idle_wh"] == "2"


def test_a_request_below_the_idle_draw_has_nothing_above_it_and_never_less() -> None:
    bench = Bench()
    meter = bench.meter()
    meter.measure_idle(2.0, sleep=lambda seconds: bench.draw(seconds, 50))
    window = meter.open()
    bench.draw(36, 40)

    assert meter.close(window).above_idle_wh == 0


def test_a_gpu_at_work_has_no_idle_draw() -> None:
    bench = Bench(gpu_percent=80)

    assert bench.meter().measure_idle(2.0, sleep=lambda seconds: bench.draw(seconds, 50)) is None


def test_a_machine_that_its_owner_knows_to_be_busy_has_no_idle_draw() -> None:
    bench = Bench()

    idle = bench.meter().measure_idle(2.0, sleep=lambda seconds: bench.draw(seconds, 50), is_idle=lambda: False)

    assert idle is None


def test_power_is_integrated_where_nothing_counts() -> None:
    bench = Bench(counts=False, power_w=100)
    meter = bench.meter()
    window = meter.open()
    bench.now_s += 5
    bench.power_w = 200
    meter.sample()
    bench.now_s += 5

    assert meter.close(window).joules == pytest.approx(150 * 5 + 200 * 5)


def test_power_is_not_carried_over_a_long_time_without_a_look() -> None:
    bench = Bench(counts=False, power_w=100)
    meter = bench.meter()
    window = meter.open()
    bench.now_s += 60

    assert meter.close(window).wh is None


def test_a_moment_that_was_not_measured_makes_the_whole_unknown_never_less() -> None:
    bench = Bench()
    meter = bench.meter()
    window = meter.open()
    bench.draw(5, 100)
    bench.answers = False
    meter.sample()
    bench.draw(5, 100)
    bench.answers = True
    meter.sample()
    bench.draw(5, 100)

    cells = meter.close(window).cells()

    assert (cells["energy_wh"], cells["energy_source"], cells["energy_above_idle_wh"]) == ("", "", "")


def test_a_counter_that_starts_again_is_unknown() -> None:
    bench = Bench()
    meter = bench.meter()
    window = meter.open()
    bench.now_s += 5
    bench.joules = 3

    assert meter.close(window).wh is None


def test_gpu_figures_are_means_and_the_largest_memory() -> None:
    bench = Bench(gpu_percent=20, gpu_memory_mb=1000, power_w=100)
    meter = bench.meter()
    window = meter.open()
    bench.draw(1, 100)
    meter.sample()
    bench.gpu_percent, bench.gpu_memory_mb = 80, 4000
    bench.draw(1, 100)

    cells = meter.close(window).cells()

    assert (cells["gpu_percent_mean"], cells["gpu_memory_mb_max"], cells["gpu_power_w_mean"]) == (
        "50.0",
        "4000",
        "100.0",
    )


def test_a_request_that_took_no_time_has_no_energy_and_that_is_not_nought() -> None:
    meter = Bench().meter()

    assert meter.close(meter.open()).cells()["energy_wh"] == ""


def test_closing_twice_adds_nothing() -> None:
    bench = Bench()
    meter = bench.meter()
    window = meter.open()
    bench.draw(10, 100)
    meter.close(window)
    bench.draw(10, 100)

    assert meter.close(window).joules == pytest.approx(1000)


@given(
    st.lists(
        st.tuples(st.sampled_from(["open", "close", "sample"]), st.floats(0.01, 5), st.floats(0, 500)),
        min_size=1,
        max_size=40,
    )
)
def test_the_windows_of_a_run_never_add_up_to_more_than_was_drawn(acts: list[tuple[str, float, float]]) -> None:
    bench = Bench()
    meter = bench.meter()
    windows = [meter.open()]
    running = list(windows)
    for act, seconds, watts in acts:
        bench.draw(seconds, watts)
        if act == "open":
            windows.append(meter.open())
            running.append(windows[-1])
        elif act == "close" and running:
            meter.close(running.pop(0))
        else:
            meter.sample()
    for window in running:
        meter.close(window)

    assert sum(window.joules for window in windows) <= bench.joules - 1000 + 1e-6
    assert all(window.is_known for window in windows)
