"""Sources: NVML, RAPL, Apple, SD.Next; each by what it really gives, each silent where it has nothing."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdclient.energy import CombinedSource, Reading, SdNextSource, open_local_source, open_meter
from sdclient.energy.apple import open_apple
from sdclient.energy.local import SharedMeter, combine, idle_meter
from sdclient.energy.nvml import open_nvml
from sdclient.energy.rapl import open_rapl
from sdclient.energy.sdnext import read_gpu_reply
from sdclient.errors import NotSentError


class FakeNvmlError(Exception):
    """What the fake library raises."""


@dataclass
class FakeNvml:
    """Two GPUs; functions named in ``missing`` are not supported."""

    missing: set[str] = field(default_factory=set[str])
    gpus: int = 2
    energy_mj: int = 5_000_000
    NVMLError: type[Exception] = FakeNvmlError

    def _check(self, name: str) -> None:
        if name in self.missing:
            raise FakeNvmlError("Not Supported")

    def nvmlInit(self) -> None:  # noqa: N802 - the library's own name
        self._check("init")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 - the library's own name
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:  # noqa: N802 - the library's own name
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object) -> int:  # noqa: ARG002, N802 - the library's own name
        self._check("energy")
        return self.energy_mj

    def nvmlDeviceGetPowerUsage(self, handle: object) -> int:  # noqa: N802 - the library's own name
        self._check("power")
        return 100_000 if handle == 0 else 50_000

    def nvmlDeviceGetUtilizationRates(self, handle: object) -> SimpleNamespace:  # noqa: N802 - the library's own name
        self._check("use")
        return SimpleNamespace(gpu=90 if handle == 0 else 10, memory=5)

    def nvmlDeviceGetMemoryInfo(self, handle: object) -> SimpleNamespace:  # noqa: ARG002, N802 - the library's own name
        self._check("memory")
        return SimpleNamespace(used=1024**3, total=8 * 1024**3)


def test_nvml_adds_up_all_gpus() -> None:
    source = open_nvml(FakeNvml)

    assert source is not None
    assert source.name == "nvml"
    assert source.read() == Reading(10_000.0, 150.0, 150.0, 90.0, 2048.0)


def test_a_card_that_counts_no_energy_still_tells_its_power() -> None:
    source = open_nvml(lambda: FakeNvml({"energy", "memory"}))

    assert source is not None
    assert source.read() == Reading(None, 150.0, 150.0, 90.0, None)


@pytest.mark.parametrize(
    "nvml",
    [FakeNvml({"init"}), FakeNvml(gpus=0), FakeNvml({"energy", "power", "use", "memory"})],
    ids=["no driver", "no gpu", "nothing supported"],
)
def test_nvml_without_anything_to_read_is_no_source(nvml: FakeNvml) -> None:
    assert open_nvml(lambda: nvml) is None


def test_nvml_without_its_library_is_no_source() -> None:
    def load() -> object:
        raise ImportError("pynvml")

    assert open_nvml(load) is None


def zone(root: Path, folder: str, name: str, energy_uj: int, range_uj: int = 1_000_000) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(name + "\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return path


def test_rapl_adds_up_packages_and_memory_and_leaves_out_what_a_package_holds(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 100_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 200_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 90_000)
    zone(tmp_path, "intel-rapl:0:1", "dram", 50_000)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 100_000)

    source = open_rapl(tmp_path)

    assert source is not None
    assert source.name == "rapl"
    assert source.read() == Reading(energy_j=0.35)


def test_rapl_takes_the_whole_platform_where_it_is_counted(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 100_000)
    zone(tmp_path, "intel-rapl:1", "psys", 700_000)

    source = open_rapl(tmp_path)

    assert source is not None
    assert source.read() == Reading(energy_j=0.7)


def test_a_rapl_counter_that_starts_again_goes_on(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0", 900_000)
    source = open_rapl(tmp_path)
    assert source is not None

    readings: list[float | None] = []
    for value in (950_000, 50_000, 100_000, 10_000):
        (path / "energy_uj").write_text(str(value))
        reading = source.read()
        readings.append(reading.energy_j if reading else None)

    assert readings == pytest.approx([0.95, 1.05, 1.1, 2.01])


def test_rapl_that_nobody_may_read_is_no_source(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (path / "energy_uj").unlink()
    (path / "energy_uj").mkdir()

    assert open_rapl(tmp_path) is None


def test_rapl_that_vanishes_is_unknown(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    source = open_rapl(tmp_path)
    assert source is not None

    (path / "energy_uj").write_text("nonsense")

    assert source.read() is None


def test_a_machine_without_rapl_has_no_source(tmp_path: Path) -> None:
    assert open_rapl(tmp_path / "missing") is None
    assert open_rapl(tmp_path) is None


class FakeMonitor:
    """The Apple library's monitor; ``counted`` is what it gives."""

    counted: object = SimpleNamespace(cpu_total_mj=1000, gpu_mj=3000, dram_mj=None, ane_mj=0)

    def get_cumulative_energy(self) -> object:
        if isinstance(self.counted, Exception):
            raise self.counted
        return self.counted


def test_apple_adds_up_the_parts_of_the_chip_that_are_counted() -> None:
    source = open_apple(lambda: SimpleNamespace(AppleEnergyMonitor=FakeMonitor))

    assert source is not None
    assert source.name == "apple"
    assert source.read() == Reading(energy_j=4.0)


@pytest.mark.parametrize("counted", [SimpleNamespace(), RuntimeError("no IOReport")], ids=["nothing", "an error"])
def test_apple_without_figures_is_no_source(counted: object) -> None:
    class Monitor(FakeMonitor):
        pass

    Monitor.counted = counted

    assert open_apple(lambda: SimpleNamespace(AppleEnergyMonitor=Monitor)) is None


def test_apple_without_its_library_is_no_source() -> None:
    def load() -> object:
        raise ImportError("zeus_apple_silicon")

    assert open_apple(load) is None
    assert open_apple(SimpleNamespace) is None


# The texts as SD.Next's own route writes them.
GPU = {
    "name": "NVIDIA GeForce RTX 4090",
    "data": {
        "Power": "35.25 W / 450.0 W",
        "VRAM usage": "12% | 3011 MB used | 21553 MB free | 24564 MB total",
        "System load": "GPU 97% | VRAM 40% | Temp 55C | Fan 30%",
        "State": "ok",
    },
    "chart": [40, 97],
}


def test_sdnext_tells_power_load_and_memory() -> None:
    assert SdNextSource(lambda: [GPU, GPU]).read() == Reading(None, 70.5, 70.5, 97.0, 6022.0)


@pytest.mark.parametrize(
    "reply", [[], None, {"detail": "Not Found"}, [{}], [{"data": 5}], [{"data": {"Power": 5}}], ["gpu"]], ids=str
)
def test_sdnext_without_a_gpu_is_unknown(reply: object) -> None:
    assert read_gpu_reply(reply) is None


def test_one_gpu_without_the_figure_makes_the_sum_unknown() -> None:
    other = {"name": "AMD", "data": {"VRAM usage": "1% | 100 MB used"}}

    assert read_gpu_reply([GPU, other]) == Reading(None, None, None, None, 3111.0)


def test_sdnext_that_does_not_answer_is_unknown() -> None:
    def ask() -> object:
        raise NotSentError("refused")

    assert SdNextSource(ask).read() is None


@dataclass
class Fixed:
    """A source that always reads the same."""

    name: str
    reading: Reading | None

    def read(self) -> Reading | None:
        return self.reading


def test_sources_are_added_up_and_named_together() -> None:
    gpu = Fixed("nvml", Reading(10.0, 5.0, 5.0, 50.0, 100.0))
    combined = CombinedSource([gpu, Fixed("rapl", Reading(4.0))])

    assert combined.name == "nvml+rapl"
    assert combined.read() == Reading(14.0, None, 5.0, 50.0, 100.0)


def test_a_sum_with_a_part_that_does_not_answer_is_unknown() -> None:
    assert CombinedSource([Fixed("nvml", Reading(10.0)), Fixed("rapl", None)]).read() is None


def test_sources_that_cannot_be_added_up_leave_the_first() -> None:
    gpu = Fixed("nvml", Reading(None, 5.0, 5.0))

    assert combine([gpu, Fixed("rapl", Reading(4.0))]) is gpu
    assert combine([gpu]) is gpu
    assert combine([]) is None


def test_a_sum_of_two_counters_is_one_source() -> None:
    found = combine([Fixed("nvml", Reading(1.0)), Fixed("rapl", Reading(4.0))])

    assert found is not None
    assert found.name == "nvml+rapl"


def test_looking_for_sources_on_this_machine_never_fails() -> None:
    source = open_local_source()

    assert source is None or source.name


def test_a_server_elsewhere_is_not_measured_by_this_machines_counters() -> None:
    assert open_meter(is_local=False) is None
    assert open_meter(is_local=False, ask_gpu=list) is None


def test_an_sdnext_server_elsewhere_is_measured_by_what_it_tells() -> None:
    meter = open_meter(is_local=False, ask_gpu=lambda: [GPU])

    assert meter is not None
    window = meter.open()
    window.close()
    assert (meter.name, window.cells()["gpu_percent_mean"]) == ("sdnext", "97.0")


def test_all_that_runs_on_this_machine_shares_one_meter() -> None:
    assert open_meter(is_local=True) is open_meter(is_local=True)


def test_a_machine_whose_source_does_not_move_draws_nothing_idle_or_is_not_at_rest() -> None:
    waited: list[float] = []

    meter = idle_meter(Fixed("rapl", Reading(4.0)), sleep=waited.append)

    assert waited == [2.0]
    assert meter.idle_w in (None, 0.0)


def test_lanes_that_open_the_shared_meter_at_once_measure_the_idle_draw_once() -> None:
    found: list[Fixed] = []
    waited: list[float] = []
    both_ask = threading.Barrier(3)

    def find() -> Fixed:
        found.append(Fixed("rapl", Reading(4.0)))
        return found[-1]

    shared = SharedMeter(find, sleep=waited.append)
    opened: list[object] = []

    def lane() -> None:
        both_ask.wait()
        opened.append(shared())

    threads = [threading.Thread(target=lane) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == len(waited) == 1
    assert opened == [shared()] * 3


def test_where_nothing_measures_nothing_is_waited_for_and_it_is_looked_for_once() -> None:
    looked: list[None] = []
    waited: list[float] = []
    shared = SharedMeter(lambda: looked.append(None), sleep=waited.append)

    assert [shared(), shared()] == [None, None]
    assert (len(looked), waited) == (1, [])
