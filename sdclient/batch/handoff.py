"""A place where one thread hands one thing to another and waits until it is taken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Handoff(Generic[T]):
    """Holds at most one thing; ``put`` returns when it has been taken, so nothing ever queues up.

    Args:
        on_take: Called by who takes, before who offered goes on; must not wait.
    """

    def __init__(self, on_take: Callable[[], None] | None = None) -> None:
        self._on_take = on_take
        self._changed = threading.Condition()
        self._item: T | None = None
        self._is_closed = False

    @property
    def is_empty(self) -> bool:
        """True while nothing is offered."""
        return self._item is None

    def put(self, item: T) -> bool:
        """Offer ``item`` and wait until it is taken; False when it was handed back because the place closed."""
        with self._changed:
            if self._is_closed:
                return False
            self._item = item
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._item is None or self._is_closed)
            was_taken = self._item is None
            self._item = None
            return was_taken

    def take(self) -> T | None:
        """Wait for something and take it; None when the place is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._is_closed)
            if self._is_closed:
                return None
            item, self._item = self._item, None
            if self._on_take is not None:
                self._on_take()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Let everyone go; what was offered and not taken is handed back to its owner."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
