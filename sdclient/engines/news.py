"""What the leader of a cluster passes on of the news that its nodes send, with the counts that all of them add up to."""

from __future__ import annotations

import threading
from dataclasses import replace

from sdclient.batch.events import Event, Listener, Teller
from sdclient.batch.survey import Counts


class News:
    """Where all jobs stand by the latest news; news of several machines do not arrive in order.

    Args:
        counts: Where they stood before.
        listener: Told of everything.
    """

    def __init__(self, counts: Counts, listener: Listener | None = None) -> None:
        self.counts = counts
        self._before = counts.done
        self._done: set[str] = set()
        self._teller = Teller(lambda: self.counts, listener)
        self._said: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    @property
    def made(self) -> int:
        """How many jobs the nodes told of as done."""
        return len(self._done)

    def take(self, event: Event) -> None:
        """Pass on what a node tells."""
        with self._lock:
            if event.name == "done":
                self._done.add(event.place)
            # Each machine looks at the folder now and then, and what it saw done others may tell of later: what is told
            # is not added to what was seen, the larger of the two is true.
            heard = self._before + len(self._done)
            self.counts = _with_done(event.counts, max(self.counts.done, event.counts.done, heard))
            self._teller.pass_on(lambda counts: replace(event, counts=counts))

    def remark_once(self, lane: str, message: str) -> None:
        """Say something about a node, unless it was said before."""
        if message and (lane, message) not in self._said:
            self._said.add((lane, message))
            self.remark(lane, message)

    def remark(self, lane: str, message: str) -> None:
        """Say something about a node."""
        self.take(Event("remark", self.counts, lane, message=message))


def _with_done(counts: Counts, done: int) -> Counts:
    """Return counts with more done; those were claimed, or waiting, by an older look."""
    more = done - counts.done
    claimed = min(counts.claimed, more)
    waiting = min(counts.waiting, more - claimed)
    return replace(
        counts,
        done=counts.done + claimed + waiting,
        claimed=counts.claimed - claimed,
        waiting=counts.waiting - waiting,
    )
