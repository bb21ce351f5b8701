"""A worker's view of the run: what is done, who holds what, and which job to take next.

One scan lists ``claims/`` first and ``done/`` second, so that a claim removed in between is never
mistaken for a job that nobody has begun. What this worker itself did since the scan began is newer than
what the scan read, and stays.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from sdclient.batch.beats import Watcher, parse_beat, read_beats
from sdclient.batch.claims import CLAIMED, Epoch, Standing, is_token, standing
from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import Job, Plan
from sdclient.batch.rounds import Rounds
from sdclient.batch.survey import Counts, can_come, count_redone, dependents, survey, tally


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job that may be claimed, and the epoch to claim."""

    job: Job
    epoch: int


class Board:
    """Everything a worker knows of the run; safe to use from all its threads.

    Args:
        folder: The run.
        token: This worker.
        start_at: Where in the plan to begin looking, 0 to 1. Workers beginning at different places
            seldom reach for the same job.
        clock: Monotonic seconds.
        expected: Tells the kinds of jobs that this process may still plan.
    """

    def __init__(
        self,
        folder: RunFolder,
        token: str,
        *,
        start_at: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        expected: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self._folder = folder
        self._token = token
        self._start_at = start_at
        self._clock = clock
        self._expected = expected
        self._rounds = Rounds()
        self._watcher = Watcher(lease_s=folder.settings.lease_s, beat_s=folder.settings.beat_s)
        self._changed = threading.Condition()
        self._plan = Plan()
        self._done: set[str] = set()
        self._standings: dict[str, Standing] = {}
        self._states: Counter[str] = Counter()
        self._redone = 0
        self._claims: dict[str, tuple[Epoch, ...]] = {}
        self._mine: set[str] = set()
        self._touched: set[str] = set()
        self._ready: dict[str, deque[str]] = {}
        self._waiting_for: dict[str, list[str]] = {}
        # In the order of the plan: all generations before the first bake, so that a server seldom swaps models.
        self._kinds: list[str] = []
        self._version = 0
        self._lanes: Counter[str] = Counter()
        self._others: frozenset[str] = frozenset()
        self._is_alone = False

    @property
    def plan(self) -> Plan:
        """The plan as last read."""
        return self._plan

    # Reading

    def scan(self, *, whole: bool = True) -> list[str]:
        """Read the folder again; called by one thread only.

        Args:
            whole: List all of ``done/``; else what others did may be known a few looks later, unless nothing is left
                to be taken here.

        Returns:
            Ids of committed jobs that still have claims and are not ours: their files may need publishing.

        Raises:
            RunFolderError: If the plan is damaged.
            OSError: If the folder cannot be read.
        """
        with self._changed:
            self._touched.clear()
            known_done = set(self._done)
            whole = whole or not any(self._ready.get(kind) for kind, lanes in self._lanes.items() if lanes > 0)
        began_s = self._clock()
        beats = read_beats(self._folder.state / "beats")
        self._watcher.observe(beats, began_s, self._clock())
        # An empty beat is of one who died, or is, at its very first: it has claimed nothing.
        alive = [token for token, data in beats.items() if data and not self._watcher.is_gone(token)]
        self._is_alone = set(alive) <= {self._token}
        claims = self._folder.read_claims()
        groups = self._groups(claims)
        done = known_done | self._folder.read_done(None if whole else groups)
        plan = self._folder.read_plan()
        done &= plan.jobs.keys()
        # Outside the lock: with a hundred thousand jobs this takes a while, and lanes must not wait for it.
        standings = survey(plan.jobs, done, claims, self._is_stale)
        redone = count_redone(plan.jobs, done)
        others = self._kinds_of_others(beats)
        with self._changed:
            self._plan, self._others = plan, others
            # A job may be withdrawn by somebody who did not know yet that it is done.
            self._done = (self._done | done) & plan.jobs.keys()
            self._keep_newer(standings, claims)
            self._standings, self._claims = standings, claims
            self._states = Counter(one.state for one in standings.values())
            self._redone = redone
            self._list_ready()
            self._note_change()
            return [job for job in claims if job in self._done and job not in self._mine]

    def _groups(self, claims: Mapping[str, tuple[Epoch, ...]]) -> set[str]:
        last = {job: epochs[-1] for job, epochs in claims.items()}
        return self._rounds.groups(
            claims.keys(), [job for job, epoch in last.items() if epoch.end is None and self._is_stale(epoch)]
        )

    def _keep_newer(self, standings: dict[str, Standing], claims: dict[str, tuple[Epoch, ...]]) -> None:
        """Let what this worker did during the scan stand over what the scan read."""
        for job_id in self._touched:
            if job_id in self._done:
                standings.pop(job_id, None)
            elif job_id in standings and job_id in self._standings:
                standings[job_id] = self._standings[job_id]
                claims[job_id] = self._claims.get(job_id, ())
        for job_id in self._mine:
            if job_id in standings:
                standings[job_id] = CLAIMED

    def _is_stale(self, epoch: Epoch) -> bool:
        if epoch.owner == self._token:
            return False
        # Who claims has a beat. Where all others are gone, a claim without a name in it is one of theirs.
        return self._watcher.is_stale(epoch.owner) or (self._is_alone and not is_token(epoch.owner))

    def is_worker_gone(self, token: str) -> bool:
        """Tell whether another worker may be taken for dead, as of the last scan."""
        return token != self._token and self._watcher.is_stale(token)

    def _kinds_of_others(self, beats: Mapping[str, bytes]) -> frozenset[str]:
        """Return the kinds of jobs that other living workers can do."""
        kinds: set[str] = set()
        for token, data in beats.items():
            beat = parse_beat(data)
            if beat is not None and token != self._token and not self._watcher.is_stale(token):
                kinds |= beat.kinds
        return frozenset(kinds)

    def _list_ready(self) -> None:
        jobs = self._plan.jobs
        self._kinds = list(dict.fromkeys(job.kind for job in jobs.values()))
        self._ready = {}
        self._waiting_for = dependents(jobs, self._standings)
        order = list(self._standings)
        first = int(self._start_at * len(order))
        for job_id in order[first:] + order[:first]:
            job = jobs[job_id]
            if job.needs is None or job.needs in self._done:
                self._offer(job)

    def _offer(self, job: Job) -> None:
        known = self._standings.get(job.id)
        if known is not None and known.next_epoch is not None and job.id not in self._mine:
            self._ready.setdefault(job.kind, deque()).append(job.id)

    # Taking and giving back

    def take(self, kinds: AbstractSet[str]) -> Candidate | None:
        """Take the next job of these kinds that may be claimed; it counts as ours from here."""
        with self._changed:
            for kind in self._kinds:
                ready = self._ready.get(kind) if kind in kinds else None
                while ready:
                    job_id = ready.popleft()
                    known = self._standings.get(job_id)
                    if known is not None and known.next_epoch is not None and job_id not in self._mine:
                        self._mine.add(job_id)
                        self._put(job_id, CLAIMED)
                        return Candidate(self._plan.jobs[job_id], known.next_epoch)
        return None

    def has_ready(self, kinds: AbstractSet[str]) -> bool:
        """Tell whether a job of these kinds seems to be there to be taken."""
        with self._changed:
            return any(self._ready.get(kind) for kind in kinds)

    def lose(self, job_id: str) -> None:
        """Say that another was faster to claim a job; the next scan tells more."""
        with self._changed:
            self._mine.discard(job_id)
            # Not touched: nothing is known of it here that a scan would not know better.
            self._touched.discard(job_id)
            self._note_change()

    def end(self, job_id: str, epoch: Epoch) -> Standing:
        """Say how our try at a job ended without a commit; return where the job stands now."""
        with self._changed:
            epochs = (*(one for one in self._claims.get(job_id, ()) if one.number < epoch.number), epoch)
            # Whatever came before our own try was over when we won the claim.
            after = standing(epochs, lambda _: False)
            self._mine.discard(job_id)
            if job_id in self._standings:
                self._claims[job_id] = epochs
                self._put(job_id, after)
                self._offer(self._plan.jobs[job_id])
            self._note_change()
            return after

    def mark_done(self, job_id: str) -> None:
        """Say that a job is committed, by us or another; what waited for it becomes ready."""
        with self._changed:
            self._mine.discard(job_id)
            if job_id in self._plan.jobs:
                # Else it was withdrawn while it was under way: its image stays until the later revision takes its place.
                self._done.add(job_id)
            self._touched.add(job_id)
            before = self._standings.pop(job_id, None)
            if before is not None:
                self._states[before.state] -= 1
            for waiting in self._waiting_for.pop(job_id, []):
                self._offer(self._plan.jobs[waiting])
            self._note_change()

    def _put(self, job_id: str, after: Standing) -> None:
        self._states[self._standings[job_id].state] -= 1
        self._states[after.state] += 1
        self._standings[job_id] = after
        self._touched.add(job_id)

    def epochs(self, job_id: str) -> tuple[Epoch, ...]:
        """Return a job's claims as far as they are known."""
        return self._claims.get(job_id, ())

    # Waiting

    @property
    def version(self) -> int:
        """Grows with every change; for `wait`."""
        return self._version

    def wait(self, timeout_s: float, *, since: int) -> None:
        """Wait until something changed here since a version, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != since, timeout_s)

    def wake(self) -> None:
        """Wake everyone in `wait`."""
        with self._changed:
            self._note_change()

    def _note_change(self) -> None:
        self._version += 1
        self._changed.notify_all()

    def enter(self, kinds: AbstractSet[str]) -> None:
        """Say that a lane of this worker does jobs of these kinds."""
        with self._changed:
            self._lanes.update(kinds)

    def leave(self, kinds: AbstractSet[str]) -> None:
        """Say that a lane does no more jobs."""
        with self._changed:
            self._lanes.subtract(kinds)
            self._note_change()

    def own_kinds(self) -> frozenset[str]:
        """Return the kinds of jobs that this worker can still do, and those it may still plan (``+img2img``)."""
        with self._changed:
            kinds = frozenset(kind for kind, lanes in self._lanes.items() if lanes > 0)
        return kinds | coming(self._expected())

    def has_more(self, kinds: AbstractSet[str]) -> bool:
        """Tell whether a job of these kinds may still become ready.

        It may where somebody holds it (who may fail), and where everything it waits for can be done by a lane
        of this worker or by another living worker. Without the second a lane would wait for ever for a step
        that nobody in the run can do, or leave while its input is being made. And it may where somebody watches a
        folder for more.
        """
        with self._changed:
            if self._expected() & kinds or self._others & coming(kinds):
                return True
            hands = {kind for kind, lanes in self._lanes.items() if lanes > 0} | self._others | kinds
            return any(
                self._plan.jobs[job_id].kind in kinds
                and can_come(job_id, self._plan.jobs, self._done, self._standings, hands)
                for job_id, known in self._standings.items()
                if known.state != "set_aside"
            )

    def counts(self) -> Counts:
        """Count the jobs by where they stand."""
        with self._changed:
            return tally(len(self._plan.jobs), len(self._done), self._states, redone=self._redone)


def coming(kinds: AbstractSet[str]) -> frozenset[str]:
    """Return how a beat says that jobs of these kinds may still be planned."""
    return frozenset(f"+{kind}" for kind in kinds)


def awaited_kinds(folder: RunFolder) -> frozenset[str]:
    """Return the kinds of jobs that workers, living as far as one look can tell, may still plan."""
    beats = (parse_beat(data) for data in read_beats(folder.state / "beats").values())
    living = (beat.kinds for beat in beats if beat is not None and not beat.identity.is_certainly_gone())
    return frozenset(kind[1:] for kinds in living for kind in kinds if kind.startswith("+"))
