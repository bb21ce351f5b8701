"""Worker processes for tests: started, killed and waited for; and what must hold of their folder afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from sdclient.batch.folder import RunFolder
from sdclient.batch.sweep import clean

ROOT = Path(__file__).parents[1]
VIEWS = ("images.csv", "attempts.csv")
PRACTICE = (sys.executable, "-m", "tests.practice_lane")


def start(folder: RunFolder, *args: str) -> subprocess.Popen[str]:
    """Start a worker with a lane that needs no server."""
    command = [*PRACTICE, str(folder.out), *args]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> dict[str, object]:
    """Wait for a worker's good end and return what it tells."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out)


def wait_for(what: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not come to it"
        time.sleep(0.005)


def assert_sound(folder: RunFolder, jobs: int) -> None:
    """Every job committed once, every file there with the hash its record names, nothing else."""
    named: dict[str, str] = {one.place: one.sha256 for record in folder.records() for one in record.files}
    found = {
        path.relative_to(folder.out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.out.rglob("*.png")
    }
    assert len(folder.read_done()) == jobs
    assert found == named
    assert [path for name in ("claims", "parts") for path in (folder.state / name).iterdir()] == []


def assert_clean(folder: RunFolder, jobs: int) -> None:
    """After cleaning there are the images, a record for each job, the logs, the tables and the plan: no stray file."""
    clean(folder)
    if list((folder.state / "beats").iterdir()):
        # One that was killed before its first sign of life had a name in it: only watching tells that it is gone.
        clean(folder, is_patient=True)

    assert_sound(folder, jobs)
    kept = {"run.json", *(f"done/{job[:2]}/{job}/record.json" for job in folder.read_done())}
    inside = [path.relative_to(folder.state).as_posix() for path in folder.state.rglob("*") if path.is_file()]
    stray = [name for name in inside if name not in kept and name.partition("/")[0] not in ("plan", "log")]
    outside = [path.name for path in folder.out.iterdir() if path.is_file() and path.suffix != ".png"]
    stray += [name for name in outside if name not in VIEWS]
    assert stray == [], stray


class Nursery:
    """Forks worker processes from one that has everything imported: a new one in milliseconds, to be killed again.

    Args:
        folder: The run they take part in.
        args: Arguments of ``practice_lane``.
    """

    def __init__(self, folder: RunFolder, *args: str) -> None:
        self._line = json.dumps([str(folder.out), *args]) + "\n"
        self._process = subprocess.Popen(
            [*PRACTICE, "--nursery"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Nursery:  # noqa: PYI034 - Self needs a package beyond the standard library on 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)

    def bear(self) -> int:
        """Start a worker; return its process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self._line)
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def kill(pid: int) -> bool:
    """Kill a worker of a nursery; False if it had ended by itself."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
