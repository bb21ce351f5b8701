"""How many failures a run forgives: spent by each, earned back by success."""

from __future__ import annotations

import threading


class RetryBudget:
    """Counts failures against successes, over all lanes of a worker; threads may share it.

    While successes come, failures are made up for. Where all servers are dead or draw nonsense it runs out, and the
    run stops instead of going round for ever.

    Args:
        retries: Failures that no success makes up for at which it runs out; at least 1.
    """

    def __init__(self, retries: int) -> None:
        self.retries = self._left = max(1, retries)
        self._lock = threading.Lock()

    def spend(self) -> bool:
        """Count a failure; False when it is the one too many."""
        with self._lock:
            self._left = max(0, self._left - 1)
            return self._left > 0

    def earn(self) -> None:
        """Count a success."""
        with self._lock:
            self._left = min(self.retries, self._left + 1)
