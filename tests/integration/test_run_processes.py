"""Real worker processes on one run folder: shared, killed, stopped in their sleep; and what a job costs on disk."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sdclient.batch.events import Event
from sdclient.batch.folder import RunFolder
from sdclient.batch.log import read_logs
from sdclient.batch.room import RESERVE_SHARE
from sdclient.batch.worker import Worker
from sdclient.run import Run
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.simulator import Simulator
from tests.practice_lane import PracticeLane, plan_jobs, quick, work
from tests.worker_processes import ROOT, assert_clean, assert_sound, ended, start, wait_for

PLACES = [f"set/{number:02d}" for number in range(24)]
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "out", run_seed=1, lease_s=1.0, beat_s=0.1)


class TestTwoProcesses:
    def test_they_share_the_jobs_and_their_logs_add_up(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        processes = [start(folder, "--delay", "0.05", "--name", name) for name in ("a", "b")]

        reports = [ended(process) for process in processes]

        rows, _ = read_logs(folder)
        done = Counter(row["place"] for row in rows if row["status"] == "done")
        assert done == Counter(PLACES)
        assert [report["made"] for report in reports] == [
            sum(1 for row in rows if row["server"] == name) for name in ("a", "b")
        ]
        assert all(report["counts"]["done"] == len(PLACES) for report in reports)  # type: ignore[index]
        assert_sound(folder, len(PLACES))

    def test_one_that_joins_late_takes_part(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        first = start(folder, "--delay", "0.1")
        wait_for(lambda: list(folder.out.rglob("*.png")))
        second = start(folder, "--delay", "0.1")

        made = [ended(first)["made"], ended(second)["made"]]

        assert sum(made) == len(PLACES)  # type: ignore[arg-type]
        assert min(made) > 0  # type: ignore[type-var]


@posix_only
class TestKilled:
    def test_the_same_command_takes_over_at_once_and_does_every_job_once(self, tmp_path: Path) -> None:
        folder = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=60.0, beat_s=0.1)
        plan_jobs(folder, PLACES)
        process = start(folder, "--delay", "0.03")
        wait_for(lambda: len(list(folder.out.rglob("*.png"))) >= 3)
        process.kill()
        process.communicate()
        before = len(folder.read_done())

        report = ended(start(folder))

        assert float(str(report["seconds"])) < 30, "it waited for the lease of a process that is gone"
        assert before + len(report["executed"]) == len(PLACES)  # type: ignore[arg-type]
        assert_sound(folder, len(PLACES))

    def test_a_survivor_takes_over_what_the_dead_one_held(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        victim, survivor = start(folder, "--delay", "0.05"), start(folder, "--delay", "0.05")
        wait_for(lambda: len(list(folder.out.rglob("*.png"))) >= 4)
        victim.kill()
        victim.communicate()

        report = ended(survivor)

        assert report["counts"]["done"] == len(PLACES)  # type: ignore[index]
        assert_sound(folder, len(PLACES))

    def test_one_that_was_stopped_past_its_lease_loses_nothing_and_overwrites_nothing(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES[:6])
        sleeper = start(folder, "--delay", "0.15")
        wait_for(lambda: list((folder.state / "claims").iterdir()))
        sleeper.send_signal(signal.SIGSTOP)
        done = work(RunFolder.open(folder.out)).counts.done
        sleeper.send_signal(signal.SIGCONT)

        report = ended(sleeper)

        assert done == 6
        assert report["counts"]["done"] == 6  # type: ignore[index]
        wait_for(lambda: not list((folder.state / "parts").iterdir()))
        assert_sound(folder, 6)


@posix_only
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
class TestSystemCalls:
    def trace(self, folder: RunFolder, calls: str, *inject: str) -> list[str]:
        log = folder.out.parent / "trace.txt"
        command = ["strace", "-f", "-qq", "-y", "-o", str(log), "-e", f"trace={calls}", *inject, sys.executable]
        command += ["-m", "tests.practice_lane", str(folder.out)]
        subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
        return log.read_text(encoding="utf-8").splitlines()

    def test_a_job_costs_at_most_six_flushes_and_leaves_three_names(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        work(folder, PracticeLane(), limit=12)
        names_before = sum(1 for _ in folder.out.rglob("*"))

        lines = self.trace(folder, "fsync,fdatasync")

        flushes = [line for line in lines if "beats" not in line and ".csv" not in line and str(folder.out) in line]
        flushes = [line for line in flushes if not line.rstrip().split("<")[-1].startswith(f"{folder.out}>")]
        names_after = sum(1 for path in folder.out.rglob("*") if path.parent.name != "log")
        groups = len({job[:2] for job in folder.read_done()})
        assert len(folder.read_done()) == len(PLACES)
        assert len(flushes) <= 6 * 12
        assert names_after - names_before <= 3 * 12 + groups

    @pytest.mark.slow
    def test_killed_at_each_change_of_a_file_the_next_worker_ends_the_job(self, tmp_path: Path) -> None:
        # Every call that changes a file, each time it is made; opening for writing is covered by the write after it.
        calls = ("write", "fsync", "mkdir", "rename", "link", "unlink", "rmdir")
        tried: Counter[str] = Counter()
        for call in calls:
            for number in range(1, 60):
                folder = RunFolder.create(tmp_path / f"{call}{number}", run_seed=1, lease_s=1.0, beat_s=0.3)
                plan_jobs(folder, ["a"])
                lines = self.trace(folder, call, "-e", f"inject={call}:signal=KILL:when={number}")
                work(folder)
                assert_clean(folder, 1)
                if not any("killed by SIGKILL" in line for line in lines):
                    break
                tried[call] += 1
        assert tried["rename"] >= 1
        assert tried["link"] >= 1
        assert tried["fsync"] >= 5
        assert tried["unlink"] >= 2

    def test_a_flush_that_fails_is_not_believed(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES[:4])

        # Two flushes fail with EIO; beats are flushed too, so that it is not known which ones it hits.
        lines = self.trace(folder, "fsync", "-e", "inject=fsync:error=EIO:when=5..9+2")

        work(folder)
        assert any("EIO" in line for line in lines)
        assert_sound(folder, 4)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a mebibyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("mount") is None or os.name == "nt" or os.geteuid() != 0:
        pytest.skip("needs root to mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_is_full_is_waited_for_and_nothing_is_lost(small_disk: Path) -> None:
    folder = RunFolder.create(small_disk / "out", run_seed=1, lease_s=60.0, beat_s=0.1)
    plan_jobs(folder, PLACES)
    ballast = small_disk / "ballast"
    told: list[str] = []

    def listener(event: Event) -> None:
        if event.name == "done" and event.counts.done == 5:
            with suppress(OSError), ballast.open("wb") as file:
                while True:
                    file.write(b"x" * 4096)
                    file.flush()
        if event.name == "stuck":
            told.append(event.message)
            ballast.unlink(missing_ok=True)

    result = Worker(folder, [PracticeLane()], quick(), listener).run()

    # Whichever comes first: the image that cannot be written, or the next one that is not begun.
    assert "ENOSPC" in told[0] or "make room" in told[0]
    assert (result.counts.done, result.trouble) == (len(PLACES), None)
    assert_sound(folder, len(PLACES))


def test_nothing_is_begun_while_less_is_free_than_is_kept(small_disk: Path) -> None:
    folder = RunFolder.create(small_disk / "out", run_seed=1, lease_s=60.0, beat_s=0.1)
    plan_jobs(folder, PLACES)
    ballast = small_disk / "ballast"
    kept = int(RESERVE_SHARE * shutil.disk_usage(small_disk).total)
    ballast.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - kept + 4096))
    told: list[Event] = []
    claims: list[object] = []

    def listener(event: Event) -> None:
        told.append(event)
        if event.name == "stuck":
            claims.append(folder.read_claims())
            ballast.unlink(missing_ok=True)

    result = Worker(folder, [PracticeLane()], quick(), listener).run()

    assert [event.name for event in told].index("stuck") < [event.name for event in told].index("begun")
    stuck = next(event for event in told if event.name == "stuck")
    assert stuck.message.startswith(f"{small_disk / 'out'}: 0.0")
    assert "MB are free, and 0.01 MB are kept for what is under way; make room" in stuck.message
    assert claims == [{}]
    assert (result.counts.done, result.trouble) == (len(PLACES), None)
    assert_sound(folder, len(PLACES))


@pytest.mark.slow
def test_twenty_thousand_jobs_are_looked_at_in_bounded_memory() -> None:
    """The figures for a hundred thousand are measured by the same script, tests/bench/bench_scale.py."""
    bench = Path(__file__).parents[1] / "bench"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(bench), *filter(None, sys.path)])}
    code = "import json; from bench_scale import looked_at; print(json.dumps(looked_at(20_000)))"

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)

    figures = json.loads(told.stdout)
    assert (figures["done"], figures["waiting"], figures["is_found"]) == (19_999, 1, True)
    assert figures["rss_mb"] < 150


class TestAgainstTheSimulator:
    def test_a_folder_is_drawn_over_and_a_second_run_sends_nothing(self, tmp_path: Path) -> None:
        with Simulator("a1111") as server:
            run = Run(tmp_path / "out", run_seed=1)
            run.add(["a red fox", "a blue hare"], Txt2Img(steps=4, width=256, height=256), into="generated")
            first = run.start(server.url)
            run.add_folder(run.out / "generated", Img2Img(steps=4, denoising_strength=0.3), into="baked")
            second = run.start(server.url)
            requests = [one for one in server.log if one.method == "POST"]
            third = Run(tmp_path / "out").start(server.url)
            after = [one for one in server.log if one.method == "POST"]

        assert (first.made, second.made, third.made) == (2, 2, 0)
        assert len(after) == len(requests)
        with (run.out / "images.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["kind"] for row in rows] == ["txt2img", "txt2img", "img2img", "img2img"]
        assert all(len(row["sha256"]) == 64 for row in rows)

    def test_images_and_attempts_are_tables(self, tmp_path: Path) -> None:
        with Simulator("a1111") as server:
            run = Run(tmp_path / "out", run_seed=1)
            run.add([{"prompt": "a red fox", "seed": 7}], Txt2Img(steps=4, width=256, height=256))
            run.start([server.url])

        images, attempts = run.images(), run.attempts()

        assert images.loc[0, "seed"] == 7
        assert images.loc[0, "width_px"] == 256
        assert attempts.loc[0, "status"] == "done"
        assert attempts["started"].dt.tz is not None
        assert run.typical_s().keys() == {"txt2img"}
