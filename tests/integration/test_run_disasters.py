"""Workers killed two hundred times, and disks that refuse: afterwards the same command does every job once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sdclient.batch.events import Event
from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import FileInput
from sdclient.batch.worker import Worker
from sdclient.errors import SDClientError
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from sdclient.simulator import Simulator
from tests.practice_lane import PracticeLane, plan_jobs, quick, work
from tests.worker_processes import (
    PRACTICE,
    ROOT,
    Nursery,
    assert_clean,
    ended,
    kill,
    start,
    wait_for,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals, and file systems that are mounted"),
]
PLACES = [f"set/{number:02d}" for number in range(60)]
NOBODY = 65_534
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
needs_root = pytest.mark.skipif(
    shutil.which("mount") is None or sys.platform == "win32" or os.geteuid() != 0, reason="needs root"
)


def make(tmp_path: Path, *, lease_s: float = 60.0) -> RunFolder:
    folder = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=lease_s, beat_s=0.1)
    plan_jobs(folder, PLACES)
    return folder


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that every user can get at; those of pytest are for their owner alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def kill_often(folder: RunFolder, kills: int, life_s: float, *args: str) -> None:
    """Keep two workers at work, and kill each after a while, so often in all."""
    rng = random.Random(1)
    records: dict[str, bytes] = {}
    killed = 0
    with Nursery(folder, *args) as nursery:
        doomed: list[tuple[float, int]] = []
        while killed < kills:
            while len(doomed) < 2:
                # No moment of a life is likelier than another.
                doomed.append((time.monotonic() + rng.expovariate(1 / life_s), nursery.bear()))
            due_s, pid = doomed.pop(doomed.index(min(doomed)))
            time.sleep(max(0.0, due_s - time.monotonic()))
            killed += kill(pid)
            for record in folder.records():
                data = record.to_bytes()
                assert records.setdefault(record.job, data) == data, "a committed job has changed"
            assert len(records) < len(PLACES), f"all jobs were done after {killed} kills; the jobs are too short"
        for _, pid in doomed:
            kill(pid)


def test_two_processes_killed_two_hundred_times_do_sixty_jobs_once(tmp_path: Path) -> None:
    # With a lease of a minute: that whoever dies here is known to be gone at once is a part of it.
    folder = make(tmp_path)
    kill_often(folder, 200, 0.15, "--delay", "0.25")

    report = ended(start(folder))

    assert report["counts"]["done"] == len(PLACES)  # type: ignore[index]
    assert_clean(folder, len(PLACES))


def test_killed_clients_of_a_server_lose_no_image(tmp_path: Path) -> None:
    run = Run(tmp_path / "out", run_seed=1, lease_s=60.0, beat_s=0.1)
    run.add([f"fox {place}" for place in PLACES], Txt2Img(width=256, height=256, steps=2)).save()
    with Simulator(delay_s=0.3) as server:
        kill_often(run.folder, 40, 1.0, "--server", server.url)

        report = ended(start(run.folder, "--server", server.url))

    assert report["counts"]["done"] == len(PLACES)  # type: ignore[index]
    assert_clean(run.folder, len(PLACES))
    assert run.verify() == []


def test_one_of_two_is_stopped_past_its_lease_again_and_again_and_wakes(tmp_path: Path) -> None:
    folder = make(tmp_path, lease_s=0.4)
    sleeper, other = (start(folder, "--delay", "0.1", "--name", name) for name in ("sleeper", "other"))
    for _ in range(4):
        wait_for(lambda: list((folder.state / "claims").iterdir()))
        sleeper.send_signal(signal.SIGSTOP)
        # What it holds is taken over meanwhile: the other one gets on with the run.
        before = len(folder.read_done())
        time.sleep(1.0)
        wait_for(lambda: len(folder.read_done()) > before or other.poll() is not None)  # noqa: B023 - called at once
        sleeper.send_signal(signal.SIGCONT)
        time.sleep(0.2)

    reports = [ended(sleeper), ended(other)]

    assert [report["counts"]["done"] for report in reports] == [len(PLACES)] * 2  # type: ignore[index]
    assert_clean(folder, len(PLACES))


@needs_strace
class TestFailingCalls:
    """One kind of system call fails at each of its places in turn, of a worker that has a job or two to do."""

    def fail(self, folder: RunFolder, call: str, error: str, when: str) -> bool:
        trace = folder.out.parent / f"{folder.out.name}.trace"
        inject = ("-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}")
        command = ["strace", "-f", "-qq", "-o", str(trace), *inject, *PRACTICE, str(folder.out)]
        subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False)
        return "INJECTED" in trace.read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        ("call", "error", "jobs", "at_least"),
        [("fsync", "EIO", 1, 7), ("mkdir", "EROFS", 2, 4), ("rename", "EIO", 2, 2)],
    )
    def test_at_each_place_once(self, tmp_path: Path, call: str, error: str, jobs: int, at_least: int) -> None:
        tried = 0
        # strace counts each thread's calls apart: one thread writes, commits and publishes the image.
        for number in range(1, 40):
            # Beats are flushed, too, and only every half minute here: the other calls keep their places.
            folder = RunFolder.create(tmp_path / f"{call}{number}", run_seed=1, lease_s=90.0, beat_s=30.0)
            plan_jobs(folder, PLACES[:jobs])
            was_hit = self.fail(folder, call, error, str(number))
            work(RunFolder.open(folder.out))
            assert_clean(folder, jobs)
            tried += was_hit
            if not was_hit:
                break

        assert tried >= at_least

    def test_a_file_system_that_is_read_only_for_a_while_is_waited_for(self, tmp_path: Path) -> None:
        folder = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=90.0, beat_s=30.0)
        plan_jobs(folder, PLACES[:4])

        was_hit = self.fail(folder, "mkdir", "EROFS", "3..8")

        assert was_hit
        # By itself, without the command being given again.
        assert len(folder.read_done()) == 4
        assert_clean(folder, 4)


@needs_root
class TestDisks:
    """Real disks: full, read-only, and forbidden."""

    def mount(self, *words: str) -> None:
        if subprocess.run(["mount", *words], check=False, capture_output=True).returncode != 0:
            pytest.skip("nothing can be mounted here")

    @contextmanager
    def small_disk(self, path: Path) -> Iterator[Path]:
        path.mkdir()
        self.mount("-t", "tmpfs", "-o", "size=512k", "tmpfs", str(path))
        try:
            yield path
        finally:
            subprocess.run(["umount", "-l", str(path)], check=True)

    def test_a_full_disk_stops_a_killed_worker_s_successor_for_as_long_as_it_is_full(self, tmp_path: Path) -> None:
        with self.small_disk(tmp_path / "disk") as disk:
            folder = RunFolder.create(disk / "out", run_seed=1, lease_s=60.0, beat_s=0.1)
            plan_jobs(folder, PLACES[:20])
            process = start(folder, "--delay", "0.02")
            wait_for(lambda: len(folder.read_done()) >= 5)
            (disk / "ballast").write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
            wait_for(lambda: os.statvfs(disk).f_bavail == 0)
            process.kill()
            process.communicate()
            (disk / "ballast").unlink()

            report = ended(start(folder))

            assert report["counts"]["done"] == 20  # type: ignore[index]
            assert_clean(folder, 20)

    def test_a_disk_without_any_room_is_refused_at_the_start_as_what_it_is(self, tmp_path: Path) -> None:
        with self.small_disk(tmp_path / "disk") as disk:
            (disk / "ballast").write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))

            with pytest.raises(SDClientError, match=r"out/\.sdclient: cannot create .*No space left .*free some space"):
                RunFolder.create(disk / "out", run_seed=1, lease_s=60.0, beat_s=0.1)

    def test_inputs_whose_share_is_unmounted_are_waited_for(self, tmp_path: Path) -> None:
        folder = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=60.0, beat_s=0.1)
        told: list[str] = []
        with self.small_disk(tmp_path / "in") as inputs:
            files = [FileInput("../in", f"{number}.png") for number in range(6)]
            for one in files:
                (inputs / one.path).write_bytes(b"image")
            plan_jobs(folder, [f"up/{number}" for number in range(6)], kind="img2img", inputs=files)
            away = tmp_path / "away"
            away.mkdir()

            def listen(event: Event) -> None:
                if event.name == "done" and event.place == "up/1":
                    # The folder under a mount point is there, and empty.
                    self.mount("--move", str(inputs), str(away))
                if event.name == "stuck":
                    told.append(event.message)
                    self.mount("--move", str(away), str(inputs))

            result = Worker(folder, [PracticeLane(delay_s=0.05)], quick(), listen).run()

        assert len(told) == 1
        assert (result.counts.set_aside, result.trouble) == (0, None)
        assert_clean(folder, 6)

    def test_a_folder_that_turns_read_only_is_waited_for(self, tmp_path: Path) -> None:
        folder = make(tmp_path)
        told: list[str] = []

        def listen(event: Event) -> None:
            if event.name == "done" and event.counts.done == 5:
                # A mount of its own over the folder: read-only for every new name, whatever is open already.
                self.mount("--bind", str(folder.out), str(folder.out))
                self.mount("-o", "remount,bind,ro", str(folder.out))
            if event.name == "stuck":
                told.append(event.message)
                subprocess.run(["umount", "-l", str(folder.out)], check=False, capture_output=True)

        result = Worker(folder, [PracticeLane()], quick(), listen).run()

        assert "read-only" in told[0]
        assert (result.counts.done, result.trouble) == (len(PLACES), None)
        assert_clean(folder, len(PLACES))

    def test_a_folder_that_may_not_be_written_for_a_while_is_waited_for(self, open_path: Path) -> None:
        folder = make(open_path)
        subprocess.run(["chown", "-R", str(NOBODY), str(folder.out)], check=True)
        process = start(folder, "--delay", "0.02", "--user", str(NOBODY))
        wait_for(lambda: len(folder.read_done()) >= 5)
        subprocess.run(["chmod", "-R", "a-w", str(folder.out)], check=True)
        done = -1
        while done != len(folder.read_done()):
            done = len(folder.read_done())
            time.sleep(0.3)
        is_waiting = process.poll() is None

        subprocess.run(["chmod", "-R", "u+w", str(folder.out)], check=True)
        report = ended(process)

        # By itself, without the command being given again.
        assert (done < len(PLACES), is_waiting) == (True, True)
        assert report["counts"]["done"] == len(PLACES)  # type: ignore[index]
        assert report["trouble"] == ""
        assert_clean(folder, len(PLACES))
