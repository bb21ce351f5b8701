"""What a run shows in a Jupyter notebook while it works: tqdm's bar, with the words of a terminal's line beside it."""

from __future__ import annotations

import datetime as dt
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from sdclient.batch.events import Event, Listener
from sdclient.batch.survey import Counts
from sdclient.progress import Pace, progress_line
from sdclient.ticking import ticking

if TYPE_CHECKING:
    from tqdm.std import tqdm

WIDTH = 100
"""Columns of the words; a page has no say in how wide it is shown."""
BAR_FORMAT = "{bar} {desc}"
"""Of tqdm: its own words know neither failures nor stalls, and another finish."""
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
    line = NotebookLine(counts, _open_bar(counts))
    try:
        with ticking(line.tick, REPAINT_S, "sdclient-notebook"):
            yield line
    finally:
        line.close()


def _open_bar(counts: Counts) -> tqdm[NoReturn]:
    with warnings.catch_warnings():
        # Without ipywidgets tqdm complains, and then draws a bar of text that serves as well.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm as tqdm_here
    return tqdm_here(total=counts.jobs, initial=counts.done, bar_format=BAR_FORMAT, file=sys.stdout)


class NotebookLine:
    """A bar and a line of words. Callable from many threads.

    Args:
        counts: Where the jobs stand before the work.
        bar: What shows them, in `BAR_FORMAT`; `close` closes it.
        clock_s: A clock that never goes back, in seconds.
    """

    def __init__(self, counts: Counts, bar: tqdm[NoReturn], clock_s: Callable[[], float] = time.monotonic) -> None:
        self._bar = bar
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
            now = dt.datetime.now().astimezone()
            line = progress_line(self._pace, self._clock_s(), now, WIDTH, with_bar=False)
            if line != self._shown:
                self._shown = line
                self._show(line)

    def _show(self, line: str) -> None:
        counts = self._pace.counts
        if self._bar.total != counts.jobs:
            # Only so the width of what is shown in a page follows.
            self._bar.reset(counts.jobs)
        self._bar.n = counts.done
        self._bar.set_description_str(line, refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        """End the bar; it stays where it is."""
        with self._lock:
            self._bar.close()
