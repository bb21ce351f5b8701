"""One lane's three threads: prepare the next job, execute this one, finish the one before.

Only ``execute`` holds the lane. At most three jobs are held at a time: one preparing (or prepared and
waiting), one executing, one finishing. Whatever happens to one thread, the other two come to their end,
and every claim is ended or left to be found.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Literal

from sdclient.batch.attempts import Attempts, Try
from sdclient.batch.beats import BeatWriter
from sdclient.batch.board import Board
from sdclient.batch.budget import RetryBudget
from sdclient.batch.care import Care
from sdclient.batch.events import Event, Teller
from sdclient.batch.handoff import Handoff
from sdclient.batch.health import HealthPolicy
from sdclient.batch.lane import Executed, Lane, Prepared, QueuedLane, SeededJob, SendingJob, open_lane_meter
from sdclient.batch.metrics import Sampler
from sdclient.batch.patience import Patience
from sdclient.batch.quiet import Quiet
from sdclient.batch.quota import Quota
from sdclient.batch.verdict import ServerState, Verdict
from sdclient.energy import EnergyMeter

log = logging.getLogger(__name__)

IDLE_S = 0.5
"""How long a lane without work waits before it looks again."""


class Stop(IntEnum):
    """How urgently a worker is asked to stop."""

    NO = 0
    FINISH = 1
    """Begin nothing; finish what runs."""
    INTERRUPT = 2
    """End what runs, if it can be ended, and give the claims back."""


@dataclass(slots=True)
class Shared:
    """What all lanes of one worker share.

    Attributes:
        board: The view of the run.
        attempts: Claims, ends and commits.
        teller: Passes events on.
        beats: The sign of life, to know whether we are fenced.
        sampler: CPU, memory and energy.
        patience: Waits out trouble with the disk.
        quota: Jobs this worker may still begin.
        health: When to leave a failing server alone.
        budget: Failures the run forgives.
        stopping: Set with the first request to stop.
        how: How urgently to stop.
        trouble: What stopped the worker, such as a full disk.
        in_flight: Requests under way.
        quiet: Keeps our own work back while a request is about to be sent.
        waiting: Tells of each lane which kinds of jobs it would begin at once.
    """

    board: Board
    attempts: Attempts
    teller: Teller
    beats: BeatWriter
    sampler: Sampler
    patience: Patience
    quota: Quota
    health: HealthPolicy
    budget: RetryBudget
    stopping: threading.Event
    how: Stop = Stop.NO
    trouble: BaseException | None = None
    in_flight: int = 0
    quiet: Quiet = field(default_factory=Quiet)
    waiting: list[Callable[[], AbstractSet[str]]] = field(default_factory=list[Callable[[], AbstractSet[str]]])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self, how: Stop) -> None:
        """Ask all lanes to stop."""
        with self.lock:
            self.how = max(self.how, how)
        self.stopping.set()
        self.board.wake()

    def break_off(self, error: BaseException) -> None:
        """Stop all lanes because of trouble; the first one is the one that is told."""
        with self.lock:
            self.trouble = self.trouble or error
        self.stop(Stop.FINISH)

    def fly(self, change: int) -> None:
        """Count the requests in flight."""
        with self.lock:
            self.in_flight += change


class _Nothing:
    """Handed on where nothing came back, to wait for who takes it."""


class Pipeline:
    """Runs one lane until no job is left for it, or it is told to stop.

    Args:
        lane: The server or segmenter.
        shared: What it shares with the worker's other lanes.
        rng: Where the jitter of its sleeps comes from.
    """

    def __init__(self, lane: Lane, shared: Shared, rng: random.Random) -> None:
        self.lane = lane
        self._shared = shared
        self._care = Care(lane, shared.health, shared.budget, rng=rng, tell=self._tell)
        self._meter: EnergyMeter | None = None
        self._is_meter_open = False
        self._ready: Handoff[tuple[Try, Prepared]] = Handoff()
        self._returned: Handoff[tuple[Try, Executed] | _Nothing] = Handoff(self._keep_still)
        self._running: Prepared | None = None
        # The first counts for the preparing thread alone, the second for the executing one.
        self._handed = self._over = 0
        self._is_free = True
        shared.waiting.append(self._waits_for)
        # Before any lane starts: one that waits for another's output must know that there is such a lane.
        shared.board.enter(lane.kinds)
        self._threads = [
            threading.Thread(target=self._guard, args=(stage,), name=f"sdclient-{name}-{lane.name}", daemon=True)
            for name, stage in (("prepare", self._feed), ("execute", self._execute), ("finish", self._finish))
        ]

    def _tell(self, name: Literal["asleep", "left"], message: str, pause_s: float | None = None) -> None:
        lane = self.lane.name
        self._shared.teller.pass_on(lambda counts: Event(name, counts, lane, message=message, pause_s=pause_s))
        self._shared.board.wake()

    @property
    def left_because(self) -> str:
        """Why the lane left the run; empty while it takes part."""
        return self._care.left_because

    def start(self) -> None:
        """Start the three threads."""
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of all three, for so long at most; True when they have ended."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not self.is_alive

    @property
    def is_alive(self) -> bool:
        """True while any of the three is at work."""
        return any(thread.is_alive() for thread in self._threads)

    def interrupt(self) -> None:
        """End what runs on the lane."""
        running = self._running
        if running is not None:
            running.cancel()

    def _guard(self, stage: Callable[[], None]) -> None:
        """Run a stage; a bug or a broken folder stops the worker with its reason instead of hanging it."""
        try:
            stage()
        except BaseException as exc:
            log.debug("%s: a thread ends", self.lane.name, exc_info=exc)
            self._shared.break_off(exc)

    # prepare

    def _feed(self) -> None:
        try:
            while True:
                version = self._shared.board.version
                if self._is_done_feeding():
                    break
                if not self._feed_one():
                    self._shared.board.wait(self._idle_s(), since=version)
        finally:
            self._is_free = False
            self._ready.close()
            self._shared.board.leave(self.lane.kinds)

    def _is_done_feeding(self) -> bool:
        shared = self._shared
        if shared.how is not Stop.NO or self.left_because or shared.quota.is_spent:
            return True
        return not shared.board.has_more(self.lane.kinds)

    def _idle_s(self) -> float:
        left_s = self._care.wait_s
        return min(left_s, IDLE_S) if left_s > 0 else IDLE_S

    def _begins_at_once(self) -> bool:
        """Tell whether a job would not have to wait here: for the one in hand, or for somebody else's."""
        return self._handed == self._over and not (isinstance(self.lane, QueuedLane) and self.lane.has_waited())

    def _waits_for(self) -> AbstractSet[str]:
        """Return the kinds of jobs that this lane would begin at once."""
        return self.lane.kinds if self._is_free and self._begins_at_once() else frozenset()

    def _wanted(self) -> AbstractSet[str]:
        """Return the kinds of jobs to prepare now: what could not begin at once here, and could elsewhere, is not.

        In chains each job waits for the one before, and there are hardly more of them ready than lanes: a lane that
        prepared ahead would have two, and its neighbour none. A server that others use, too, gets what is left; where
        jobs are plenty, no lane waits for any.
        """
        if self._begins_at_once():
            return self.lane.kinds
        return self.lane.kinds.difference(*(waits_for() for waits_for in self._shared.waiting))

    def _feed_one(self) -> bool:
        """Bring one job to the executor; False when there was nothing to do."""
        shared, kinds = self._shared, self._wanted()
        if shared.beats.is_fenced or shared.patience.is_tried or not shared.board.has_ready(kinds):
            return False
        ticket = self._care.admit()
        self._is_free = False
        if ticket is None:
            # Left alone for a while: nobody need wait for this lane.
            return False
        try:
            return self._feed_with(ticket, kinds)
        finally:
            self._is_free = True

    def _feed_with(self, ticket: int, kinds: AbstractSet[str]) -> bool:
        shared = self._shared
        if not shared.quota.take():
            self._care.unsent(ticket)
            return False
        one: Try | None = None
        try:
            candidate = shared.board.take(kinds)
            if candidate is not None:
                one = shared.patience.outlast(lambda: shared.attempts.claim(candidate, self.lane))
        finally:
            if one is None:
                self._care.unsent(ticket)
                shared.quota.end(counts=False)
        if one is None:
            return candidate is not None
        one.ticket = ticket
        try:
            # Its input may lie on the share that is gone for a while.
            prepared = shared.patience.outlast(partial(shared.attempts.prepare, one))
        except BaseException as exc:  # noqa: BLE001 - every failure of a job ends its claim; none may end the lane
            self._fail(one, exc)
            return True
        one.seed = prepared.seed if isinstance(prepared, SeededJob) else None
        self._handed += 1
        if not self._ready.put((one, prepared)):
            self._release(one)
        shared.quiet.wait()
        return True

    # execute

    def _execute(self) -> None:
        try:
            while (item := self._ready.take()) is not None:
                one, prepared = item
                self._open_meter()
                if self._shared.how is not Stop.NO or not self._care.may_send(one.ticket):
                    self._shared.quiet.end(self)
                    self._over += 1
                    self._release(one)
                else:
                    self._execute_one(one, prepared)
        finally:
            self._shared.quiet.end(self)
            self._ready.close()
            self._returned.close()

    def _open_meter(self) -> None:
        """Open the meter before the first job: where something measures, the idle draw comes first."""
        if not self._is_meter_open:
            self._is_meter_open = True
            self._meter = open_lane_meter(self.lane)

    def _execute_one(self, one: Try, prepared: Prepared) -> None:
        shared = self._shared
        shared.teller.tell("begun", lane=self.lane.name, place=one.task.job.place)
        one.window = shared.sampler.open(self.lane.server_rss_mb, self._meter)
        self._running = prepared
        shared.fly(+1)
        if isinstance(prepared, SendingJob):
            prepared.on_sent(lambda: shared.quiet.end(self))
        else:
            shared.quiet.end(self)
        began = time.monotonic()
        try:
            # Looked at after `_running` is set: an interrupt that came before would have found nothing to end.
            if shared.how is Stop.INTERRUPT:
                prepared.cancel()
            executed = prepared.execute()
        except BaseException as exc:  # noqa: BLE001 - as above
            one.execute_s = time.monotonic() - began
            shared.sampler.close(one.window)
            # Taken when the one before is finished: what that tells of the server comes first.
            self._returned.put(_Nothing())
            self._fail(one, exc)
            return
        finally:
            self._running = None
            self._over += 1
            shared.fly(-1)
            shared.quiet.end(self)
        one.execute_s = time.monotonic() - began
        if not self._returned.put((one, executed)):
            shared.sampler.close(one.window)
            self._release(one)

    # finish

    def _keep_still(self) -> None:
        """Have our own work wait where the next request is ready; its thread goes on from here to send it."""
        if not self._ready.is_empty:
            self._shared.quiet.begin(self)

    def _finish(self) -> None:
        try:
            while (item := self._returned.take()) is not None:
                if isinstance(item, _Nothing):
                    continue
                self._shared.quiet.wait()
                self._finish_one(*item)
        finally:
            self._returned.close()

    def _finish_one(self, one: Try, executed: Executed) -> None:
        shared = self._shared
        shared.sampler.close(one.window)
        try:
            # The image is kept in memory while the disk is full or the share is gone.
            shared.patience.outlast(lambda: shared.attempts.finish(one, executed))
        except BaseException as exc:  # noqa: BLE001 - as above
            self._fail(one, exc)
        else:
            self._care.good(one.ticket)
            shared.patience.good()
            shared.quota.end(counts=True)

    # trouble

    def _release(self, one: Try) -> None:
        self._care.unsent(one.ticket)
        self._shared.quota.end(counts=False)
        self._shared.patience.outlast(lambda: self._shared.attempts.release(one))

    def _fail(self, one: Try, error: BaseException) -> None:
        shared = self._shared
        if self._care.is_refused_again(error):
            # It was on its way when the server was found to refuse everything: not this job's fault either.
            self._release(one)
            return
        state = ServerState(is_healthy=self._care.is_spotless, has_died=self._care.has_died(error))
        try:
            verdict = shared.patience.outlast(lambda: shared.attempts.fail(one, error, state))
        except BaseException as exc:
            log.debug("the end of a try cannot be written", exc_info=exc)
            shared.break_off(exc)
            return
        shared.quota.end(counts=verdict.end.ended != "released")
        self._follow(one, verdict, error)

    def _follow(self, one: Try, verdict: Verdict, error: BaseException) -> None:
        if verdict.effect == "stop":
            self._shared.break_off(error)
        else:
            self._care.bad(one.ticket, verdict, error)
        self._shared.board.wake()
