"""How many jobs a worker may still begin: ``--limit``."""

from __future__ import annotations

import threading


class Quota:
    """Counts jobs against a limit; one that was given back untried does not count.

    Args:
        limit: Jobs that may be begun; None for all.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._left = limit
        self._under_way = 0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Count one job; False when none is left for now."""
        with self._lock:
            if self._left is not None and self._left <= 0:
                return False
            if self._left is not None:
                self._left -= 1
            self._under_way += 1
            return True

    def end(self, *, counts: bool) -> None:
        """Say that a job taken here has ended; ``counts`` is False where it was not tried."""
        with self._lock:
            self._under_way -= 1
            if self._left is not None and not counts:
                self._left += 1

    @property
    def is_spent(self) -> bool:
        """True when nothing is left and nothing under way can come back."""
        with self._lock:
            return self._left is not None and self._left <= 0 and self._under_way <= 0
