"""Waits out trouble with the disk: full, read-only, or the share is gone. It goes on by itself when it is back."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sdclient.errors import StorageError
from sdclient.files import is_storage_trouble

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PatiencePolicy:
    """The waits between tries.

    Attributes:
        first_s: The first one, in seconds; each is twice the one before.
        longest_s: The longest, in seconds.
    """

    first_s: float = 1.0
    longest_s: float = 30.0


class Patience:
    """Repeats what the disk refused, until it gets through or the worker is asked to stop.

    Args:
        state: The run's own folder, to tell a share that is gone from a file that is.
        policy: The waits.
        stopping: Set when the worker is asked to stop.
        tell: Told a sentence when trouble begins and when it is over.
        alarm: Told when it begins, in place of ``tell``.
        look: Called before anything is tried once more; raises where it must not be.
    """

    def __init__(
        self,
        state: Path,
        policy: PatiencePolicy,
        *,
        stopping: threading.Event,
        tell: Callable[[str], None],
        alarm: Callable[[str], None] | None = None,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._state = state
        self._policy = policy
        self._stopping = stopping
        self._tell = tell
        self._alarm = alarm or tell
        self._look = look
        self._lock = threading.Lock()
        self._waiting = 0
        self._has_worked = False

    @property
    def is_tried(self) -> bool:
        """True while something waits for the disk; nothing new should be begun then."""
        return self._waiting > 0

    def good(self) -> None:
        """Take note that a job was written whole: what is forbidden from now on was allowed before."""
        self._has_worked = True

    def outlast(self, action: Callable[[], T]) -> T:
        """Run ``action``, again and again while the disk is in trouble that passes.

        Args:
            action: Must leave nothing half done when it raises.

        Raises:
            StorageError: If the trouble is not of the kind that passes, or the worker is asked to stop.
        """
        try:
            return action()
        except StorageError as exc:
            if not self.passes(exc):
                raise
            self._begin(exc)
        try:
            return self._repeat(action)
        finally:
            self._end()

    def _repeat(self, action: Callable[[], T]) -> T:
        pause_s = self._policy.first_s
        while True:
            is_last = self._stopping.wait(pause_s)
            self._look()
            try:
                return action()
            except StorageError as exc:
                if is_last or not self.passes(exc):
                    raise
            pause_s = min(2 * pause_s, self._policy.longest_s)

    def passes(self, error: StorageError) -> bool:
        """Tell whether trouble is of the kind that passes: full, read-only, gone."""
        cause = error.__cause__
        if isinstance(cause, FileNotFoundError):
            # A share that is gone leaves an empty folder where it was.
            return is_gone(self._state)
        if isinstance(cause, PermissionError) and self._has_worked:
            # A folder that may not be written is a mistake at the beginning; later somebody may be at it.
            return True
        return isinstance(cause, OSError) and is_storage_trouble(cause)

    def _begin(self, error: StorageError) -> None:
        with self._lock:
            self._waiting += 1
            is_first = self._waiting == 1
        if is_first:
            self._alarm(f"{error}; what is finished is kept in memory, and nothing new is begun until then")

    def _end(self) -> None:
        with self._lock:
            self._waiting -= 1
            is_over = self._waiting == 0
        if is_over and not self._stopping.is_set():
            self._tell("the disk takes files again; going on")


def is_gone(state: Path) -> bool:
    """Tell whether a run's own folder is not to be seen at all, as when its share went away."""
    # Not Path.exists(): on a mount whose server is gone it raises what other calls there raise.
    return not os.path.exists(state / "run.json")  # noqa: PTH110 - as said
