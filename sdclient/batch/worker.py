"""A worker: one process taking part in a run, with a pipeline for every lane it was given."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdclient.batch.attempts import Attempts
from sdclient.batch.beats import BeatWriter, parse_beat, read_beats
from sdclient.batch.board import Board
from sdclient.batch.budget import RetryBudget
from sdclient.batch.events import Listener, Teller
from sdclient.batch.folder import RunFolder
from sdclient.batch.health import HealthPolicy
from sdclient.batch.identity import new_token, own_identity
from sdclient.batch.inputs import Inputs
from sdclient.batch.lane import Lane
from sdclient.batch.log import write_views
from sdclient.batch.metrics import Sampler
from sdclient.batch.patience import Patience, PatiencePolicy
from sdclient.batch.pipeline import Pipeline, Shared, Stop
from sdclient.batch.publish import roll_forward
from sdclient.batch.quota import Quota
from sdclient.batch.settings import holds_another_run
from sdclient.batch.survey import Counts
from sdclient.batch.sweep import sweep
from sdclient.errors import RunError, RunFolderError, StorageError
from sdclient.files import storage_errors

log = logging.getLogger(__name__)

SCAN_S = 5.0
"""Seconds between two looks at the whole folder, give or take a fifth; more where looking takes long."""
_PAUSES_PER_LOOK = 20
_MANY_JOBS = 1_000
_TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker takes part.

    Attributes:
        limit: Jobs to begin at most; None for all.
        inputs: Where input roots lie on this machine, by the root's name in the plan.
        label: What the worker is called in lists.
        health: When to leave a failing server alone, and how many failures to forgive.
        patience: How to wait for a disk that is full or gone.
        scan_s: Seconds between two looks at the folder.
        large_jobs: Jobs of a run from which only the last worker to leave writes the merged tables: each reads every
            record for them.
        expected: Tells the kinds of jobs that this process may still plan; until there are none, lanes for them stay.
    """

    limit: int | None = None
    inputs: Mapping[str, Path] = field(default_factory=dict[str, Path])
    label: str = ""
    health: HealthPolicy = field(default_factory=HealthPolicy)
    patience: PatiencePolicy = field(default_factory=PatiencePolicy)
    scan_s: float = SCAN_S
    large_jobs: int = 10_000
    expected: Callable[[], frozenset[str]] = frozenset


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """How a worker's part in a run ended.

    Attributes:
        counts: Where all jobs stand.
        made: Jobs this worker made done.
        images: Files it made.
        left: Why lanes left before the end, by lane.
        trouble: What stopped the worker, such as a full disk; None if nothing did.
        problems: What could not be written or read at the end.
        is_refusal: All left because they cannot do what is asked; nobody was away.
        is_replaced: Another run lies in the folder now; the counts are those of the one that was there, as last known.
    """

    counts: Counts
    made: int
    images: int
    left: Mapping[str, str]
    trouble: BaseException | None
    problems: tuple[str, ...]
    is_refusal: bool = False
    is_replaced: bool = False


class Worker:
    """Takes part in a run until nothing is left to do for its lanes.

    Args:
        folder: The run.
        lanes: Servers and segmenters.
        settings: How to take part.
        listener: Told of everything that happens.

    Raises:
        ConfigurationError: If a folder with inputs is not on this machine.
        RunFolderError: If another machine works on a run that only one may work on.
        StorageError: If the folder cannot be read or written.
    """

    def __init__(
        self,
        folder: RunFolder,
        lanes: Sequence[Lane],
        settings: WorkerSettings | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.token = new_token()
        self._folder = folder
        self._settings = settings = settings or WorkerSettings()
        self._rng = random.Random(self.token)
        inputs = Inputs(folder, settings.inputs)
        with storage_errors("read the run in", folder.out):
            folder.make_folders()
            inputs.refuse_missing_roots(may_be_empty=bool(settings.expected()))
            others = read_beats(folder.state / "beats")
        refuse_second_machine(folder, others)
        # Alone, in the order people planned; in company, from a place of our own, so that we seldom collide.
        start_at = self._rng.random() if _any_living(others) else 0.0
        self._board = Board(folder, self.token, start_at=start_at, expected=settings.expected)
        teller = Teller(self._board.counts, listener)
        attempts = Attempts(folder, self._board, self.token, inputs=inputs, teller=teller)
        self._shared = self._share(teller, attempts, lanes=len(lanes))
        self._pipelines = [Pipeline(lane, self._shared, self._rng) for lane in lanes]
        self._last_tick = time.monotonic()
        self._wants_scan = False
        self._is_disowned = False
        self._seen_claimed: set[str] = set()
        self._damaged: set[str] = set()

    def _share(self, teller: Teller, attempts: Attempts, *, lanes: int) -> Shared:
        stopping = threading.Event()
        state, run, settings = self._folder.state, self._folder.settings, self._settings
        beats = BeatWriter(
            state / "beats" / self.token,
            beat_s=run.beat_s,
            lease_s=run.lease_s,
            label=settings.label,
            kinds=self._board.own_kinds,
            is_well=self._is_well,
        )
        patience = Patience(
            state,
            settings.patience,
            stopping=stopping,
            tell=lambda text: teller.tell("remark", message=text),
            alarm=lambda text: teller.tell("stuck", message=text),
            look=self._refuse_another_run,
        )
        return Shared(
            self._board,
            attempts,
            teller,
            beats,
            Sampler(),
            patience,
            Quota(settings.limit),
            settings.health,
            RetryBudget(settings.health.retries * max(1, lanes)),
            stopping,
        )

    def run(self) -> WorkerResult:
        """Work until nothing is left for these lanes, or `stop` is called; then clear up.

        Raises:
            RunFolderError: If the plan is damaged.
            StorageError: If the folder cannot be read to begin with.
        """
        shared = self._shared
        shared.sampler.start()
        try:
            with storage_errors("read the run in", self._folder.out):
                self._roll_forward(self._board.scan())
            shared.beats.start()
            for pipeline in self._pipelines:
                pipeline.start()
            self._watch()
        finally:
            # With what is in flight finished; the beat goes last, for until then the claims are ours.
            shared.stop(Stop.FINISH)
            self._join()
            shared.sampler.stop()
            shared.attempts.close()
            problems = self._clear_up()
            shared.beats.stop(remove=not shared.attempts.holds_claims)
        return self._result(problems)

    def stop(self, how: Stop) -> None:
        """Ask to stop; callable from any thread, but not from a signal handler itself."""
        self._shared.stop(how)
        if how is Stop.INTERRUPT:
            for pipeline in self._pipelines:
                pipeline.interrupt()

    def look_again(self) -> None:
        """Read the folder again at once: the plan has grown."""
        self._wants_scan = True

    def tell(self, text: str) -> None:
        """Tell the listener something people should know."""
        self._shared.teller.tell("remark", message=text)

    def counts(self) -> Counts:
        """Count the jobs by where they stand, as of the last scan and what was done here since."""
        return self._board.counts()

    def _is_well(self) -> bool:
        """Tell whether this worker still moves: its main loop ticks, or a request is in flight."""
        since_s = time.monotonic() - self._last_tick
        return since_s < self._folder.settings.lease_s / 2 or self._shared.in_flight > 0

    def _watch(self) -> None:
        next_scan = time.monotonic() + self._scan_pause(0.0)
        was_fenced = False
        while not self._have_ended():
            self._last_tick = time.monotonic()
            if self._last_tick >= next_scan or self._wants_scan:
                self._wants_scan = False
                self._scan()
                ended_s = time.monotonic()
                next_scan = ended_s + self._scan_pause(ended_s - self._last_tick)
            if self._shared.beats.is_fenced is not was_fenced:
                was_fenced = not was_fenced
                self._tell_fence(is_fenced=was_fenced)

    def _have_ended(self) -> bool:
        return all(pipeline.join(_TICK_S) for pipeline in self._pipelines)

    def _tell_fence(self, *, is_fenced: bool) -> None:
        text = (
            f"no sign of life gets through to {self._folder.state}; nothing new is begun until one does"
            if is_fenced
            else "signs of life get through again; going on"
        )
        self._shared.teller.tell("stuck" if is_fenced else "remark", message=text)

    def _scan_pause(self, took_s: float) -> float:
        pause_s = scan_pause_s(self._settings.scan_s, took_s, self._folder.settings.lease_s)
        return pause_s * self._rng.uniform(0.8, 1.2)

    def _scan(self) -> None:
        try:
            self._refuse_another_run()
        except RunFolderError:
            return
        try:
            claimed_and_done = self._board.scan(whole=len(self._board.plan.jobs) < _MANY_JOBS)
        except OSError as exc:
            # The share may come back; until then nothing new is known and nothing is judged.
            log.warning("%s: the run folder cannot be read (%s)", self._folder.state, exc.strerror or exc)
            return
        # A live worker publishes its own job at once: only what is still there at a second look is left over.
        self._roll_forward([job for job in claimed_and_done if job in self._seen_claimed])
        self._seen_claimed = set(claimed_and_done)

    def _refuse_another_run(self) -> None:
        """Leave alone what somebody has made in place of our run, and stop: what is under way must not go there."""
        if not (self._is_disowned or holds_another_run(self._folder.state, self._folder.settings.run_seed)):
            return
        words = f"{self._folder.out}: another run lies there now, and the one that this worker was at is gone"
        error = RunFolderError(f"{words}; it stops, and writes nothing of what was under way")
        if not self._is_disowned:
            self._is_disowned = True
            self._shared.attempts.disown()
            self._shared.break_off(error)
            self.stop(Stop.INTERRUPT)
        raise error

    def _roll_forward(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            if job in self._damaged:
                continue
            try:
                remarks = roll_forward(self._folder, job, [one.number for one in self._board.epochs(job)])
            except RunFolderError as exc:
                # Said once: it stays damaged.
                self._damaged.add(job)
                remarks = [str(exc)]
            except StorageError as exc:
                log.warning("job %s is done, and its files wait for their places: %s", job, exc)
                continue
            for text in remarks:
                self._shared.teller.tell("remark", place=self._board.plan.jobs[job].place, message=text)

    def _join(self) -> None:
        for pipeline in self._pipelines:
            while not pipeline.join(1.0):
                self._last_tick = time.monotonic()

    def _clear_up(self) -> list[str]:
        """Take away what dead workers left, while our own beat still tells that we are at it."""
        if self._is_disowned:
            return []
        try:
            self._board.scan()
            if not self._shared.attempts.holds_claims:
                sweep(self._folder, self.token, self._board.is_worker_gone)
        except (OSError, RunError) as exc:
            return [f"the folder could not be cleaned at the end: {exc}"]
        return []

    def _result(self, problems: list[str]) -> WorkerResult:
        if not self._is_disowned and self._writes_views():
            problems = [*problems, *write_views(self._folder)]
        left = {pipeline.lane.name: pipeline.left_because for pipeline in self._pipelines if pipeline.left_because}
        attempts, trouble = self._shared.attempts, self._shared.trouble
        counts, is_replaced = self._board.counts(), self._is_disowned
        return WorkerResult(
            counts, attempts.made, attempts.images, left, trouble, tuple(problems), is_replaced=is_replaced
        )

    def _writes_views(self) -> bool:
        if self._board.counts().jobs < self._settings.large_jobs:
            return True
        # Our own beat is gone by now, so of two that leave at once the later one sees nobody.
        try:
            others = read_beats(self._folder.state / "beats").keys() - {self.token}
        except OSError:
            return True
        return all(self._board.is_worker_gone(token) for token in others)


def scan_pause_s(usual_s: float, took_s: float, lease_s: float) -> float:
    """Return the seconds to let pass before the next look at the folder.

    A share that answers slowly is looked at seldom: fifty workers that each list a folder of a hundred thousand jobs
    every five seconds would keep it busy with that alone.

    Args:
        usual_s: The pause where looking costs little.
        took_s: How long the last look took.
        lease_s: The lease: who looks too seldom cannot tell whether others still live.
    """
    return max(usual_s, min(_PAUSES_PER_LOOK * took_s, lease_s / 6))


def _any_living(beats: Mapping[str, bytes]) -> bool:
    read = [parse_beat(data) for data in beats.values() if data]
    return any(beat is None or not beat.identity.is_certainly_gone() for beat in read)


def refuse_second_machine(folder: RunFolder, beats: Mapping[str, bytes]) -> None:
    """Refuse to work beside another machine where the folder cannot decide between two.

    Args:
        folder: The run.
        beats: Contents of every beat, by token.

    Raises:
        RunFolderError: If another machine has left a beat.
    """
    reason = folder.settings.one_machine
    if not reason:
        return
    for token, data in beats.items():
        beat = parse_beat(data)
        if beat is not None and beat.identity.boot != own_identity().boot:
            raise RunFolderError(
                f"{folder.out}: only one machine may work here, because {reason}; another one has begun, or this one "
                f"before it was restarted. If nobody is at it any more, remove {folder.state / 'beats' / token}"
            )
