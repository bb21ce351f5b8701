"""What a run shows in a Jupyter notebook while it works: the line that a terminal shows. Nothing anywhere else."""

from __future__ import annotations

import datetime as dt
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from sdclient.batch.events import Event, Listener
from sdclient.batch.survey import Counts
from sdclient.progress import Pace, cell_width, progress_line

WIDTH = 100
"""Columns; a page has no say in how wide it is shown."""
REPAINT_S = 0.5
"""Seconds between two looks whether something has changed, such as a run that stands still."""


def is_notebook() -> bool:
    """Tell whether this program is a notebook's kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


@contextmanager
def line_in_notebooks(counts: Counts, listener: Listener | None) -> Generator[Listener | None, None, None]:
    """Give a listener that shows how it goes, where this is a notebook and nobody else listens.

    Args:
        counts: Where the jobs stand before the work.
        listener: Who listens already; they show what they like.
    """
    if listener is not None or not is_notebook():
        yield listener
        return
    line = NotebookLine(counts, _show)
    is_over = threading.Event()

    def repaint() -> None:
        while not is_over.wait(REPAINT_S):
            line.tick()

    painter = threading.Thread(target=repaint, name="sdclient-notebook", daemon=True)
    painter.start()
    try:
        yield line
    finally:
        is_over.set()
        painter.join()
        line.close()


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


class NotebookLine:
    """One line that is drawn over. Callable from many threads.

    Args:
        counts: Where the jobs stand before the work.
        write: Takes what is to be shown.
        clock_s: A clock that never goes back, in seconds.
    """

    def __init__(
        self, counts: Counts, write: Callable[[str], object], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._pace = Pace(counts, clock_s())
        self._shown = ""
        self.tick()

    def __call__(self, event: Event) -> None:
        """Take an event in, and show what it changed."""
        with self._lock:
            self._pace.see(event, self._clock_s())
        self.tick()

    def tick(self) -> None:
        """Show how it goes now, where that is not what is shown already."""
        with self._lock:
            line = progress_line(self._pace, self._clock_s(), dt.datetime.now().astimezone(), WIDTH)
            if line != self._shown:
                self._write("\r" + line + " " * max(0, cell_width(self._shown) - cell_width(line)))
                self._shown = line

    def close(self) -> None:
        """End the line."""
        self._write("\n")
