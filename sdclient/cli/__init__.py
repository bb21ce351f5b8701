"""The command line: one short file per command, no logic of its own."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from typing import NoReturn

from sdclient.cli.interrupts import was_interrupted, watch_for_ctrl_c

_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    _write_utf8()
    watch_for_ctrl_c()
    try:
        try:
            from sdclient.cli.app import run_app

            run_app()
        finally:
            _end_in_peace()
    except KeyboardInterrupt:
        # Before the commands were loaded, or once more while the first one was answered.
        _leave_interrupted()
    except SystemExit as exc:
        if exc.code == _INTERRUPTED:
            _leave_interrupted()
        raise
    except Exception:
        if was_interrupted():
            _leave_interrupted()
        raise


def _write_utf8() -> None:
    """Let files and pipes get UTF-8, as JSON has to be and payload files are read; Windows would give them a code page.

    A terminal keeps its own encoding. What cannot be written, such as the name of a file in another encoding, is
    escaped in both: no image that was drawn, and no run that was changed, ends in an error about letters.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _end_in_peace() -> None:
    """Wait for what still works, then let no signal end the interpreter while it takes itself down: all is said."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave_interrupted() -> NoReturn:
    """Leave with the code of Ctrl-C.

    Not by `sys.exit`: taking the interpreter down takes a while, and in two of forty trials further signals ended it
    by the signal in spite of being ignored, when the first had come while modules were imported.
    """
    for stream in (sys.stdout, sys.stderr):
        # Perhaps nobody reads any more.
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(_INTERRUPTED)
