"""How long a lane sleeps after its server failed: pure, the caller waits."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NapPolicy:
    """The sleeps of a lane whose server fails.

    Attributes:
        first_s: Upper bound of the first sleep, in seconds.
        longest_s: Upper bound of every later one.
        faults_before_sleep: Consecutive faults of a server that does answer, before it is left alone for a while.
        patience_s: After this long without one good job the lane leaves the run.
    """

    first_s: float = 2.0
    longest_s: float = 60.0
    faults_before_sleep: int = 3
    patience_s: float = 300.0


class Naps:
    """Counts a server's consecutive faults and says how long to leave it alone.

    Args:
        policy: The numbers.
        rng: Where jitter comes from.
    """

    def __init__(self, policy: NapPolicy, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self._faults = 0
        self._first_fault_s: float | None = None

    @property
    def is_healthy(self) -> bool:
        """True while there is nothing against the server."""
        return self._faults == 0

    def good(self) -> None:
        """Note a success."""
        self._faults = 0
        self._first_fault_s = None

    def bad(self, now_s: float, *, at_once: bool, asked_s: float | None = None) -> float:
        """Note a fault; return the seconds to sleep, 0 for none.

        Args:
            now_s: Monotonic seconds.
            at_once: Sleep after the first fault already (the server is not there, or asks for it).
            asked_s: What the server asked for, capped at the longest sleep.
        """
        if self._first_fault_s is None:
            self._first_fault_s = now_s
        self._faults += 1
        if asked_s is not None:
            return min(max(asked_s, 0.0), self._policy.longest_s)
        beyond = self._faults - (1 if at_once else self._policy.faults_before_sleep)
        if beyond < 0:
            return 0.0
        # min() before the power: an absurd count must not overflow.
        ceiling = min(self._policy.longest_s, self._policy.first_s * 2.0 ** min(beyond, 32))
        return self._rng.uniform(ceiling / 2, ceiling)

    def is_hopeless(self, now_s: float) -> bool:
        """Tell whether the server has been failing for longer than the patience."""
        return self._first_fault_s is not None and now_s - self._first_fault_s > self._policy.patience_s
