"""What a run shows in a Jupyter notebook while it works: tqdm's bar there. Nothing anywhere else."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from sdclient.batch.events import Event, Listener
from sdclient.batch.survey import Counts

if TYPE_CHECKING:
    from tqdm.auto import tqdm


def is_notebook() -> bool:
    """Tell whether this program is a notebook's kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


@contextmanager
def bar_in_notebooks(counts: Counts, listener: Listener | None) -> Generator[Listener | None, None, None]:
    """Give a listener that shows a bar, where this is a notebook and nobody else listens.

    Args:
        counts: Where the jobs stand before the work.
        listener: Who listens already; they show what they like.
    """
    if listener is not None or not is_notebook():
        yield listener
        return
    with _open_bar(counts) as bar:
        yield lambda event: _show(bar, event)


def _open_bar(counts: Counts) -> tqdm[NoReturn]:
    with warnings.catch_warnings():
        # Without ipywidgets tqdm complains, and then shows a bar of text that serves as well.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm(total=counts.jobs, initial=counts.done, unit="job")


def _show(bar: tqdm[NoReturn], event: Event) -> None:
    bar.total = event.counts.jobs
    aside = event.counts.set_aside
    bar.set_postfix_str(f"{aside} set aside" if aside else "", refresh=False)
    bar.update(event.counts.done - bar.n)
