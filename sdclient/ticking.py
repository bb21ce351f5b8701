"""Calls something every so often, in a thread of its own, while something else goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def ticking(tick: Callable[[], object], every_s: float, name: str) -> Generator[None, None, None]:
    """Call `tick` every `every_s` seconds until the block is left; it is called no more after that.

    Args:
        tick: What to call; what it raises ends the calls, not the block.
        every_s: Seconds between two calls, and before the first.
        name: Of the thread.
    """
    is_over = threading.Event()

    def loop() -> None:
        while not is_over.wait(every_s):
            tick()

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
