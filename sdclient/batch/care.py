"""What a lane does about its server: feed it, look at it, leave it alone, or leave the run. Threads share it."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeAlias

from sdclient.batch.budget import RetryBudget
from sdclient.batch.health import Gate, Health, HealthPolicy
from sdclient.batch.lane import Lane, LookedAtLane
from sdclient.batch.refusals import Refusals
from sdclient.batch.verdict import Verdict, judge
from sdclient.errors import (
    AnswerLostError,
    AuthenticationError,
    DeadlineError,
    NotListeningError,
    SDClientError,
    ServerError,
    TransportError,
)

log = logging.getLogger(__name__)

IDLE_S = 10.0
"""After so long without a job, in seconds, the server is looked at first: it may have been restarted unseen."""

Tell: TypeAlias = Callable[[Literal["asleep", "left"], str, float | None], None]
"""Told ``asleep`` or ``left``, a sentence, and the pause in seconds where the server asked for it."""


class Care:
    """Keeps one lane's health, its refusals, and its share in the run's budget.

    Args:
        lane: The server or segmenter.
        policy: When it is left alone.
        budget: Of the worker, shared by its lanes.
        rng: Where jitter comes from.
        tell: Told when the lane waits for its server, or leaves.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        lane: Lane,
        policy: HealthPolicy,
        budget: RetryBudget,
        *,
        rng: random.Random,
        tell: Tell,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lane = lane
        self._health = Health(policy, rng)
        self._budget = budget
        self._refusals = Refusals()
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._under_way = 0
        self._heard_s = clock()
        self._has_drawn = False
        self.left_because = ""

    @property
    def is_spotless(self) -> bool:
        """True while there is nothing against the server."""
        return self._health.is_spotless

    @property
    def wait_s(self) -> float:
        """Seconds for which the server is left alone; 0 or less where it is not."""
        health = self._health
        return health.open_until_s - self._clock() if health.state == "open" else 0.0

    def admit(self) -> int | None:
        """Return the ticket for one more job; None where there must be none now. May look at the server first."""
        with self._lock:
            now = self._clock()
            if not self._under_way and now - self._heard_s > IDLE_S:
                self._health.doubt()
            gate = self._health.gate(now)
        if gate == "look" and self._look():
            gate = "feed"
        if gate != "feed":
            return None
        with self._lock:
            if self._health.gate(self._clock()) != "feed":
                return None
            self._under_way += 1
            return self._health.begin()

    def _heard(self) -> None:
        """Note that a job has come to its end here; under the lock."""
        self._under_way -= 1
        self._heard_s = self._clock()

    def may_send(self, ticket: int) -> bool:
        """Tell whether a prepared job may be sent. May look at the server first."""
        gate = self._gate_of(ticket)
        if gate == "look" and self._look():
            gate = self._gate_of(ticket)
        return gate == "feed" and not self.left_because

    def _gate_of(self, ticket: int) -> Gate:
        with self._lock:
            return self._health.gate_of(ticket)

    def _look(self) -> bool:
        """Ask the server something cheap, and whether it is the one it was; False where it is not fit for a job."""
        lane = self._lane
        with self._looking:
            with self._lock:
                ticket = self._health.ticket
            try:
                if isinstance(lane, LookedAtLane):
                    lane.look()
            except SDClientError as exc:
                log.debug("%s: a look", lane.name, exc_info=exc)
                self._judge(ticket, _of_a_look(judge(exc, lane.name)), exc)
                return False
            with self._lock:
                if ticket == self._health.ticket:
                    self._health.looked()
            return True

    def has_died(self, error: BaseException) -> bool:
        """Tell whether a job's server ended while it drew the job: its answer was lost, and nobody is there now."""
        lane = self._lane
        if not isinstance(error, AnswerLostError) or isinstance(error, DeadlineError):
            return False
        if not isinstance(lane, LookedAtLane):
            return False
        try:
            return lane.was_restarted()
        except NotListeningError:
            return True
        except SDClientError as exc:
            log.debug("%s: a look after a lost answer", lane.name, exc_info=exc)
            return False

    # What jobs tell

    def good(self, ticket: int) -> None:
        """Take note of a job that got through."""
        self._refusals.good()
        self._budget.earn()
        with self._lock:
            self._has_drawn = True
            self._heard()
            self._health.good(ticket)

    def unsent(self, ticket: int) -> None:
        """Take note of a job that was given back without having been sent."""
        with self._lock:
            self._heard()
            self._health.unknown(ticket)

    def is_refused_again(self, error: BaseException) -> bool:
        """Tell whether a failure is one more refusal in the words for which the lane left."""
        return bool(self.left_because) and self._refusals.is_the_same(error)

    def bad(self, ticket: int, verdict: Verdict, error: BaseException) -> None:
        """Take note of a job that failed."""
        with self._lock:
            self._heard()
        self._judge(ticket, verdict, error)

    def _judge(self, ticket: int, verdict: Verdict, error: BaseException) -> None:
        """Draw the consequences of a job or a look that failed."""
        self._refusals.bad(error)
        if self._refusals.is_hopeless and not self.left_because:
            self._leave(self._refusals.sentence())
        elif verdict.effect == "leave" and self._is_first_doubt():
            # It has drawn for us before. A proxy that stumbles looks like this, too: the next look will tell.
            self._suffer(ticket, replace(verdict, effect="fault", at_once=True), error)
        elif verdict.effect == "leave":
            self._leave(verdict.end.message)
        elif verdict.effect in ("fault", "rest"):
            self._suffer(ticket, verdict, error)
        else:
            with self._lock:
                # An answer about the job, too, comes from a server that works.
                (self._health.good if isinstance(error, ServerError) else self._health.unknown)(ticket)
            if verdict.end.ended == "failed":
                self._spend(verdict)

    def _is_first_doubt(self) -> bool:
        """Tell whether a server drew for us since it last seemed to be no server for us; from now on it did not."""
        with self._lock:
            had_drawn, self._has_drawn = self._has_drawn, False
            return had_drawn

    def _suffer(self, ticket: int, verdict: Verdict, error: BaseException) -> None:
        now = self._clock()
        with self._lock:
            if verdict.effect == "rest":
                is_open = self._health.rest(ticket, now, verdict.wait_s)
            else:
                is_lost = isinstance(error, TransportError)
                is_open = self._health.bad(ticket, now, at_once=verdict.at_once, is_lost=is_lost)
            wait_s = self._health.open_until_s - now
        # Being told to wait is no failure: however often a busy server says so, the run does not give it up for that.
        if (verdict.effect == "rest" or self._spend(verdict)) and is_open:
            asked_s = wait_s if verdict.effect == "rest" else None
            self._tell("asleep", f"{verdict.end.message}; asked again in {wait_s:.0f} s", asked_s)

    def _spend(self, verdict: Verdict) -> bool:
        if self._budget.spend():
            return True
        self._leave(
            f"{self._budget.retries} failures are not made up for by successes, and the run forgives no more; "
            f"the last was: {verdict.end.message}"
        )
        return False

    def _leave(self, why: str) -> None:
        with self._lock:
            is_first = not self.left_because
            self.left_because = self.left_because or why or "no reason given"
        if is_first:
            self._tell("left", why, None)


def _of_a_look(verdict: Verdict) -> Verdict:
    """Return what a failed look means: one that just starts has not all its routes yet, which is no reason to leave."""
    if verdict.effect == "rest":
        # Who draws for others still answers looks: a bare 503 to one is what a proxy says for a server that is gone.
        return verdict if verdict.wait_s is not None else replace(verdict, effect="fault", at_once=True)
    is_final = verdict.effect == "leave" and verdict.end.error == AuthenticationError.__name__
    return verdict if is_final else replace(verdict, effect="fault")
