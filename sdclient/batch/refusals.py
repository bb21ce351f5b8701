"""Tells a server that refuses every request from jobs of which some are wrong: by its words."""

from __future__ import annotations

import threading

from sdclient.errors import RejectedError

SAME_REFUSALS = 3
"""Refusals in the same words, without a success in between, after which it is no longer the single job's fault."""


class Refusals:
    """Counts one lane's refusals. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._words = ""
        self._count = 0

    def good(self) -> None:
        """Say that a job got through."""
        with self._lock:
            self._words, self._count = "", 0

    def bad(self, error: BaseException) -> None:
        """Take note of a failure; only refusals count."""
        if not isinstance(error, RejectedError):
            return
        with self._lock:
            words = str(error)
            self._count = self._count + 1 if words == self._words else 1
            self._words = words

    @property
    def is_hopeless(self) -> bool:
        """True when the next job would very likely be refused, too."""
        return self._count >= SAME_REFUSALS

    def is_the_same(self, error: BaseException) -> bool:
        """Tell whether a failure is one more refusal in the words that have been heard too often."""
        return self.is_hopeless and isinstance(error, RejectedError) and str(error) == self._words

    def sentence(self) -> str:
        """Say what happened and what to do."""
        return (
            f"refused {self._count} jobs in a row in the same words, so the rest is not tried here: {self._words}. "
            "Where the server can be mended, do that and `sdclient retry` the folder; "
            "another payload needs another output folder"
        )
