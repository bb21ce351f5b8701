"""Whether a server is fed: closed, open after faults, half-open with one look and one job. Pure.

::

    closed ──3 faults in a row, or one stall──▶ open ──time over──▶ half-open ──look and job good──▶ closed
                                                 ▲                      │
                                                 └───────any fault──────┘   (each time open twice as long)

As with a fuse, *closed* lets jobs through and *open* lets none. A server that says that it is busy is left alone, too,
for as long as it asks and at each time in a row twice as long as before; that is no fault.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

HealthState: TypeAlias = Literal["closed", "open", "half_open"]
Gate: TypeAlias = Literal["feed", "look", "wait"]
"""What may happen next: a job may be sent, the server must be looked at first, or nothing for now."""

_LEAST_REST_S = 0.5
"""What a pause of nothing counts as where the next one is twice as long, in seconds."""


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """When a server is left alone, and for how long.

    Attributes:
        faults: Faults in a row after which it is.
        first_open_s: Upper bound of the first pause, in seconds; each next one is twice as long.
        longest_open_s: Upper bound of all pauses.
        retries: Failures for each lane, made up for by as many successes, at which a run gives its lanes up.
    """

    faults: int = 3
    first_open_s: float = 5.0
    longest_open_s: float = 300.0
    retries: int = 20


class Health:
    """One server's health. The caller hands in the time and sees to threads.

    A job carries the *ticket* it was fed with. Each opening makes older tickets void: a job that was prepared
    before it is given back, and what a job of before it has to tell says nothing about the server of now.

    Args:
        policy: The numbers.
        rng: Where jitter comes from.
    """

    def __init__(self, policy: HealthPolicy, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self.state: HealthState = "closed"
        self.ticket = 0
        self.open_until_s = 0.0
        self._faults = 0
        self._openings = 0
        self._rested_s: float | None = None
        self._is_suspect = False
        self._is_trying = False

    @property
    def is_spotless(self) -> bool:
        """True while there is nothing against the server."""
        return self.state == "closed" and self._faults == 0

    def gate(self, now_s: float) -> Gate:
        """Tell what may happen before another job is taken for the server."""
        if self.state == "open":
            if now_s < self.open_until_s:
                return "wait"
            self.state, self._is_suspect, self._is_trying = "half_open", True, False
        if self._is_suspect:
            return "look"
        return "wait" if self.state == "half_open" and self._is_trying else "feed"

    def gate_of(self, ticket: int) -> Gate:
        """Tell what may happen before a job that was fed with this ticket is sent; "wait" means: give it back."""
        if ticket != self.ticket or self.state == "open":
            return "wait"
        return "look" if self._is_suspect else "feed"

    def begin(self) -> int:
        """Note that a job is taken; returns its ticket."""
        self._is_trying = True
        return self.ticket

    def doubt(self) -> None:
        """Have the server looked at before the next job: it may have been restarted unseen."""
        self._is_suspect = True

    def looked(self) -> None:
        """Note that the server answered a look as it should."""
        self._is_suspect = False

    def good(self, ticket: int) -> None:
        """Note that the server answered a job: by an image, or by words about the job."""
        if ticket == self.ticket:
            self.state = "closed"
            self._faults = self._openings = 0
            self._rested_s = None
            self._is_trying = False

    def unknown(self, ticket: int) -> None:
        """Note that a job ended without telling anything about the server."""
        if ticket == self.ticket:
            self._is_trying = False

    def bad(self, ticket: int, now_s: float, *, at_once: bool = False, is_lost: bool = False) -> bool:
        """Note a fault.

        Args:
            ticket: Of the job that met it.
            now_s: Monotonic seconds.
            at_once: It opens by itself: a stall.
            is_lost: The connection failed; the server may have been restarted and must be looked at.

        Returns:
            Whether the server is left alone from now on.
        """
        if ticket != self.ticket:
            return False
        self._faults += 1
        self._is_trying = False
        self._is_suspect = self._is_suspect or is_lost
        if self.state == "closed" and not at_once and self._faults < self._policy.faults:
            return False
        # min() before the power: an absurd count must not overflow.
        ceiling_s = min(self._policy.longest_open_s, self._policy.first_open_s * 2.0 ** min(self._openings, 32))
        self._open(now_s + self._rng.uniform(0.0, ceiling_s))
        return True

    def rest(self, ticket: int, now_s: float, asked_s: float | None) -> bool:
        """Note that the server asked to be left alone: busy, which is no fault.

        Args:
            ticket: Of the job that met it.
            now_s: Monotonic seconds.
            asked_s: For how long; None where it did not say. Each pause until the next good job is at least twice as
                long as the one before, and none is longer than the longest pause.
        """
        if asked_s is None:
            faults = self._faults
            is_open = self.bad(ticket, now_s, at_once=True)
            self._faults = faults if is_open else self._faults
            return is_open
        if ticket != self.ticket:
            return False
        # Who says "in a second" for an hour would otherwise be asked 3,600 times.
        doubled_s = 0.0 if self._rested_s is None else 2.0 * max(self._rested_s, _LEAST_REST_S)
        self._rested_s = min(max(asked_s, doubled_s), self._policy.longest_open_s)
        self._open(now_s + self._rested_s)
        return True

    def _open(self, until_s: float) -> None:
        self.state, self.open_until_s = "open", until_s
        self._openings += 1
        self._is_trying = False
        self.ticket += 1
