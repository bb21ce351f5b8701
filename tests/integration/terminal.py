"""A command on a pseudo-terminal, for what only happens where a person sits."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from tests.conftest import CommandLine

if TYPE_CHECKING:
    from typing_extensions import Self


class Terminal:
    """Runs ``sdclient`` on a terminal of its own, and types like a person; use as a context manager.

    Args:
        cli: Where and with what environment.
        args: The command.
        columns: How wide it is; 0 leaves that unknown.
    """

    def __init__(self, cli: CommandLine, *args: str, columns: int = 0) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns, 0, 0))
        self._process = subprocess.Popen(
            # The child takes the terminal for its own, so that Ctrl-C on it becomes a signal.
            [sys.executable, "-c", _TAKE_TERMINAL, *args],
            cwd=cli.folder,
            env=cli._env(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def until(self, words: str, *, timeout_s: float = 60) -> str:
        """Read until the terminal shows ``words``; they and what came before are taken off what is shown.

        Returns:
            What came before.
        """
        ends = time.monotonic() + timeout_s
        while words not in self.shown:
            assert time.monotonic() < ends, f"{words!r} did not come: {self.shown[-500:]!r}"
            assert self._read(0.2) or words in self.shown, f"ended without {words!r}: {self.shown[-500:]!r}"
        before, _, self.shown = self.shown.partition(words)
        return before

    def type(self, text: str) -> None:
        """Type as on a keyboard."""
        os.write(self._ours, text.encode())

    def press_ctrl_c(self, words: str) -> None:
        """Press Ctrl-C, and again, until ``words`` are shown: Python does not notice one just before it reads."""
        for _ in range(10):
            self.type("\x03")
            # Long enough for one that was noticed: a second would meet the interpreter on its way out.
            patience = time.monotonic() + 5
            while words not in self.shown and time.monotonic() < patience and self._read(0.2):
                pass
            if words in self.shown:
                break
        self.until(words)

    def ended(self) -> int:
        """Wait for the end and return the exit code."""
        while self._read(0.2):
            pass
        return self._process.wait(60)

    def _read(self, wait_s: float) -> bool:
        """Read what there is; False once the other side has closed."""
        if not select.select([self._ours], [], [], wait_s)[0]:
            return self._process.poll() is None
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


_TAKE_TERMINAL = """
import fcntl, runpy, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.argv[0] = "sdclient"
runpy.run_module("sdclient", run_name="__main__")
"""
