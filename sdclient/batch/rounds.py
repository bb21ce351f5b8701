"""Which groups of ``done/`` a worker lists at a look: all of them are 256 listings, for each worker, every few seconds.

Whoever commits a job removes its claims, so a claim that has gone says where to look; a part of the other groups is
listed in turn. What is missed until its turn comes is found when the job is claimed, before anything is spent on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

ROUND = 16
"""Looks after which every group was listed."""
_GROUPS = 256


class Rounds:
    """Remembers which claims were there at the look before, and whose turn it is."""

    def __init__(self) -> None:
        self._claimed: AbstractSet[str] = frozenset()
        self._turn = 0

    def groups(self, claimed: AbstractSet[str], orphans: Iterable[str]) -> set[str]:
        """Return the groups to list now.

        Args:
            claimed: Jobs that have claims.
            orphans: Jobs whose claim is open though its worker is gone: it may have died after the commit.
        """
        gone = self._claimed - claimed
        self._claimed = frozenset(claimed)
        self._turn = (self._turn + 1) % ROUND
        in_turn = {f"{number:02x}" for number in range(self._turn, _GROUPS, ROUND)}
        return in_turn | {job[:2] for job in (*gone, *orphans)}
