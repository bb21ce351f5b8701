"""A few milliseconds without our own work, from a reply's last byte until the next request is out.

Decoding an image and encoding the next request keep Python's one interpreter lock for tens of milliseconds. Begun the
moment a reply is there, they would hold up the thread that is about to send, and the server would wait.
"""

from __future__ import annotations

import threading


class Quiet:
    """Lets the other threads of a worker wait while one of its lanes is between a reply and its next request.

    Args:
        longest_s: Nobody waits longer, in seconds: what is sent slowly, over a slow network, needs no processor.
    """

    def __init__(self, longest_s: float = 0.2) -> None:
        self._longest_s = longest_s
        self._changed = threading.Condition()
        self._sending: set[object] = set()

    def begin(self, lane: object) -> None:
        """Say that `lane` is about to send."""
        with self._changed:
            self._sending.add(lane)

    def end(self, lane: object) -> None:
        """Say that the request of `lane` is out, or that there is none; said twice it does nothing."""
        with self._changed:
            self._sending.discard(lane)
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until no lane is about to send, but not for long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._sending, self._longest_s)
