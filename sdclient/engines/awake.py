"""Keeps the machine from falling asleep while a run works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

_WINDOWS_CONTINUOUS = 0x80000000
_WINDOWS_SYSTEM_REQUIRED = 0x00000001


def awake_command(platform: str = sys.platform) -> list[str] | None:
    """Return the command that holds a machine of this kind awake while it runs; None where there is none."""
    if platform == "darwin" and shutil.which("caffeinate"):
        return ["caffeinate", "-i", "-m", "-s", "-w", str(os.getpid())]
    # Without a running systemd the program is there and fails at once.
    if platform == "linux" and shutil.which("systemd-inhibit") and os.path.isdir("/run/systemd/system"):  # noqa: PTH112
        why = "--why=images are being drawn"
        # `cat` ends with the pipe to this process, however that ends: nobody is left holding the machine awake.
        return ["systemd-inhibit", "--what=idle:sleep", "--who=sdclient", why, "cat"]
    return None


@contextmanager
def kept_awake() -> Generator[bool]:
    """Hold the machine awake inside the block; yields whether that is so."""
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetThreadExecutionState(_WINDOWS_CONTINUOUS | _WINDOWS_SYSTEM_REQUIRED)
        try:
            yield True
        finally:
            ctypes.windll.kernel32.SetThreadExecutionState(_WINDOWS_CONTINUOUS)
        return
    process = _start(awake_command())
    try:
        yield process is not None
    finally:
        if process is not None:
            end_process(process)


def _start(command: list[str] | None) -> subprocess.Popen[bytes] | None:
    if command is None:
        return None
    try:
        # A session of its own: Ctrl-C in the terminal is for the run, which ends this helper itself.
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None


def end_process(process: subprocess.Popen[bytes], *, patience_s: float = 5.0) -> None:
    """End a program: by asking, and by force where it does not listen.

    Args:
        process: The program.
        patience_s: Seconds it has to end by itself.
    """
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(timeout=patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
