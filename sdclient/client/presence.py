"""Who answers at an address, and whether it may be somebody else by now."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from sdclient.dialects.base import Dialect
from sdclient.errors import DeadlineError

if TYPE_CHECKING:
    from sdclient.dialects import Detected

SILENT_S = 2.0
"""A program needs longer than this to end and another to start in its place and load a model."""


class Presence:
    """Knows who answers, and doubts it once nothing was heard for a while, or a call failed.

    Args:
        look: Returns what a GET of a path finds.
        where: The address, for messages.
        spoken: What the server is spoken to as, whoever answers; None finds out.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, look: Callable[[str], object], where: str, spoken: Dialect | None, clock: Callable[[], float]
    ) -> None:
        self.spoken = spoken
        self._look = look
        self._where = where
        self._clock = clock
        self._lock = threading.RLock()
        self._looking = threading.Lock()
        self._found: Detected | None = None
        self._heard_s = clock()
        self._has_failed = False

    @property
    def dialect(self) -> Dialect:
        """How to speak to it; asked for at the first use."""
        if self.spoken is not None:
            return self.spoken
        found = self._found
        if found is not None:
            # Not behind the lock: whoever holds it may be asking for lists, and a server would wait for its next image.
            return found.dialect
        with self._lock:
            if self._found is None:
                self._found = self.detected()
            return self._found.dialect

    @property
    def taken_for(self) -> Dialect | None:
        """The program that was seen to answer where somebody wants it spoken to as another; else None."""
        found = self._found
        return None if found is None or found.dialect.name == self.dialect.name else found.dialect

    @property
    def version(self) -> str | None:
        """Its version, where it shows one and is spoken to as what it is."""
        return self._found.version if self._found is not None and self.taken_for is None else None

    def detected(self) -> Detected:
        """Ask who answers, and keep nothing of it."""
        from sdclient.dialects import detect_server

        return detect_server(self._look, server=self._where)

    def compare(self) -> None:
        """Where it is spoken to as somebody said, see who answers."""
        if self.spoken is not None:
            from sdclient.dialects.detect import who_answers

            self._found = who_answers(self.spoken, self._look, server=self._where)

    def note_heard(self) -> None:
        """Take note of a reply."""
        self._heard_s = self._clock()

    def note_failure(self) -> None:
        """Take note that no reply came, or one as another program would give it."""
        self._has_failed = True

    def look_again(self) -> tuple[bool, Dialect | None]:
        """Ask again who answers, if that is in doubt.

        Returns:
            Whether what was known of the server may be old; and who answered before, where another does now.

        Raises:
            TransportError: If nobody does.
            WrongServerError: If it is not a Stable Diffusion server.
            AuthenticationError: If it wants other credentials.
            ConfigurationError: If it is spoken to as somebody said, and is plainly another.
        """
        # Whoever looks may have to wait; nobody else waits for that, deaf to being cancelled.
        if not self._looking.acquire(blocking=False):
            return False, None
        try:
            return self._look_again()
        finally:
            self._looking.release()

    def _look_again(self) -> tuple[bool, Dialect | None]:
        before, has_failed = self._found, self._has_failed
        if before is None or not (has_failed or self._clock() - self._heard_s > SILENT_S):
            return False, None
        try:
            if self.spoken is not None:
                self.compare()
                found = before
            else:
                found = self._found = self.detected()
        except DeadlineError:
            # It draws for somebody else and comes to nothing else meanwhile: our image waits behind that one.
            return False, None
        self._has_failed = False
        is_other = found.dialect.name != before.dialect.name
        return has_failed or found != before, before.dialect if is_other else None
