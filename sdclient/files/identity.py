"""Which process, on which boot of which machine, is this: the hint behind a beat, and behind an unfinished file.

A hint only: it lets a reader on the same machine see at once that a worker is gone. Correctness
never rests on it, because the commit decides.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

__all__ = ["ProcessIdentity", "own_identity"]


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, told apart from every other on the same machine.

    Attributes:
        boot: Identifier of this boot of the machine; empty where the system has none.
        namespace: The process-id namespace; containers on one machine differ here.
        pid: Process id in that namespace.
        start: When the process started, as the system spells it; tells a reused id apart.
    """

    boot: str
    namespace: str
    pid: int
    start: str

    def is_certainly_gone(self) -> bool:
        """Tell whether this process has ended; False wherever that cannot be known from here."""
        here = own_identity()
        if not self.boot or self.boot != here.boot or self.namespace != here.namespace:
            return False
        started = _start_of(self.pid)
        # Where either start is unknown, a process with this id is taken for the same one.
        return started is None or bool(started and self.start and started != self.start)


@lru_cache(maxsize=1)
def _identity_of(pid: int) -> ProcessIdentity:
    return ProcessIdentity(_boot_id(), _pid_namespace(), pid, _start_of(pid) or "")


def own_identity() -> ProcessIdentity:
    """Return the identity of this process (made anew after a fork)."""
    return _identity_of(os.getpid())


def _boot_id() -> str:
    try:
        if Path("/proc").is_dir():
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        answer = subprocess.run(
            ["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, timeout=5, check=False
        )
        return answer.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        # Windows has neither: the hint is then simply not given, and the lease decides.
        return ""


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _start_of(pid: int) -> str | None:
    """Return when a process started, or None where there is no such process (a zombie counts as none)."""
    import psutil

    if not psutil.pid_exists(pid):
        return None
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists():
            # The start in clock ticks since boot: unlike a wall-clock time it does not move when the clock is set.
            return stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
        return f"{process.create_time():.3f}"
    except (psutil.Error, OSError, IndexError):
        # It was there a moment ago and cannot be looked at (another user's, hidden): not certainly gone.
        return ""
