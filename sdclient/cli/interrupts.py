"""Whether Ctrl-C came: a library that is interrupted may raise an error of its own in its place."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_caught: list[int] = []


def watch_for_ctrl_c() -> None:
    """Remember each Ctrl-C from here on; one that is ignored, as `nohup` asks for, stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, raise_interrupt)


def raise_interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    """Do what Python does with Ctrl-C, and remember it."""
    _caught.append(number)
    raise KeyboardInterrupt


def was_interrupted() -> bool:
    """Return whether Ctrl-C came.

    Classes are made while modules are imported, and what makes them gives another error than `KeyboardInterrupt`:
    Python 3.11 a `RuntimeError` of `__set_name__`, pydantic a `SchemaError` that has it in its words alone.
    """
    return bool(_caught)


@contextmanager
def terminated_as_interrupted() -> Generator[None, None, None]:
    """Let SIGTERM do in this block what Ctrl-C does: one image alone has nothing to finish, and its server is told."""
    before = signal.signal(signal.SIGTERM, raise_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
