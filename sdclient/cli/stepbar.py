"""The steps of one image on a line of the terminal, and the time that goes by, which may be many minutes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from sdclient.cli.talk import is_watched
from sdclient.client import StepProgress
from sdclient.ticking import ticking

__all__ = ["step_bar"]

_STEPS = "{l_bar}{bar}| {postfix} [{elapsed}]"
# Many servers tell nothing until the image is there; a bar at 0 % would look like a stuck one.
_TIME_ALONE = "{desc} [{elapsed}]"
_TICK_S = 1.0


@contextmanager
def step_bar() -> Generator[Callable[[StepProgress], None] | None, None, None]:
    """Show the steps of the image being drawn where the server tells them, else the time; nothing where nobody watches."""
    if not is_watched():
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=100, unit="%", leave=False, bar_format=_TIME_ALONE, desc="painting") as bar:

        def show(step: StepProgress) -> None:
            if step.fraction is None:
                bar.set_description_str(_step_text(step), refresh=False)
            else:
                bar.bar_format, bar.n = _STEPS, round(100 * step.fraction)
                bar.set_description_str("", refresh=False)
                bar.set_postfix_str(_step_text(step), refresh=False)
            bar.refresh()

        with ticking(bar.refresh, _TICK_S, "sdclient-step-bar"):
            yield show


def _step_text(step: StepProgress) -> str:
    if step.is_queued:
        return "waiting behind another request"
    return f"step {step.step}/{step.steps}" if step.step is not None and step.steps else "painting"
