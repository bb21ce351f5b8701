"""A place where one thread hands one thing to another and waits until it is taken."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Handoff(Generic[T]):
    """Holds at most one thing; ``put`` returns when it has been taken, so nothing ever queues up."""

    def __init__(self) -> None:
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
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Let everyone go; what was offered and not taken is handed back to its owner."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
