"""What a run cost, from a machine's counters to its columns, its DataFrame and its page; or unknown, never 0."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sdclient.energy import EnergyMeter, EnergySource
from sdclient.energy.local import combine
from sdclient.energy.nvml import open_nvml
from sdclient.energy.rapl import open_rapl
from sdclient.run import Run
from tests.practice_lane import PracticeLane, plan_jobs, work
from tests.unit.energy.test_sources import FakeNvml, zone

ENERGY = ("energy_wh", "energy_above_idle_wh", "energy_source")


class Metered(PracticeLane):
    """A lane of this machine, with what measures it."""

    def __init__(self, meter: EnergyMeter | None) -> None:
        super().__init__(delay_s=0.02)
        self.meter = meter

    def energy_meter(self) -> EnergyMeter | None:
        return self.meter


class Drawing:
    """Counters that go up whenever somebody looks: 7.2 J of the processor, 2 x 36 J of the graphics cards."""

    def __init__(self, tree: Path) -> None:
        self._counter = zone(tree, "intel-rapl:0", "package-0", 0, 10**12) / "energy_uj"
        self._nvml = FakeNvml()
        found = [one for one in (open_nvml(lambda: self._nvml), open_rapl(tree)) if one is not None]
        source = combine(found)
        assert source is not None
        self._source: EnergySource = source
        self.name = source.name

    def read(self) -> object:
        self._counter.write_text(str(int(self._counter.read_text()) + 7_200_000))
        self._nvml.energy_mj += 36_000
        return self._source.read()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path / "OUT", run_seed=1, lease_s=1, beat_s=0.1).save()
    plan_jobs(made.folder, ["a", "b", "c"])
    return made


def rows(run: Run) -> list[dict[str, str]]:
    run.write_views()
    with (run.out / "attempts.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_counters_of_processor_and_graphics_cards_become_columns_a_table_and_a_page(run: Run, tmp_path: Path) -> None:
    meter = EnergyMeter(Drawing(tmp_path / "powercap"))  # type: ignore[arg-type]  # what it reads is a Reading
    meter.idle_w = 0.0

    work(run.folder, Metered(meter))

    found = rows(run)
    assert {row["energy_source"] for row in found} == {"nvml+rapl"}
    assert all(float(row["energy_wh"]) > 0 for row in found)
    assert [row["energy_above_idle_wh"] for row in found] == [row["energy_wh"] for row in found]
    assert {(row["gpu_percent_mean"], row["gpu_memory_mb_max"], row["gpu_power_w_mean"]) for row in found} == {
        ("90.0", "2048", "150.0")
    }
    total = run.attempts()["energy_wh"].sum()
    page = run.report().read_text(encoding="utf-8")
    assert f"{total:.3g} Wh in 3 measured attempts" in page
    assert "measured by nvml+rapl" in page
    assert "Above the idle draw:" in page
    assert "Energy, added up" in page


def test_where_nothing_measures_every_figure_is_unknown_and_the_page_says_so(run: Run) -> None:
    work(run.folder, Metered(None))

    found = rows(run)
    assert [[row[name] for name in ENERGY] for row in found] == [["", "", ""]] * 3
    assert all(float(row["wall_s"]) > 0 and row["client_ram_used_mb_max"] for row in found)
    assert run.attempts()[["energy_wh", "energy_above_idle_wh"]].isna().all(axis=None)
    page = run.report().read_text(encoding="utf-8")
    assert "Unknown: nothing that measures energy could be read" in page
    assert "It is not zero." in page
    assert "Energy, added up" not in page


def test_an_idle_draw_that_is_unknown_leaves_the_whole_and_says_so(run: Run, tmp_path: Path) -> None:
    work(run.folder, Metered(EnergyMeter(Drawing(tmp_path / "powercap"))))  # type: ignore[arg-type]  # as above

    found = rows(run)
    assert all(float(row["energy_wh"]) > 0 and not row["energy_above_idle_wh"] for row in found)
    assert "so this is the whole draw" in run.report().read_text(encoding="utf-8")
