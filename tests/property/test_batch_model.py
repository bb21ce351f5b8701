"""Workers that crash, sleep, see stale listings and lose replies at any file operation: the real code, driven by chance.

Every worker is made of the batch's own parts, with a clock of ours. An audit hook stands before every call that
changes a file: there a worker dies, another one works in between, or the call happens and reports an error.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sdclient.batch.again import redo, wanted
from sdclient.batch.attempts import Attempts, Try
from sdclient.batch.beats import Beat
from sdclient.batch.board import Board
from sdclient.batch.claims import Epoch
from sdclient.batch.events import Teller
from sdclient.batch.folder import RunFolder, RunSettings
from sdclient.batch.identity import ProcessIdentity, new_token
from sdclient.batch.inputs import Inputs
from sdclient.batch.lane import Executed
from sdclient.batch.plan import OutputInput, job_id, latest_jobs
from sdclient.batch.publish import roll_forward, second_place
from sdclient.batch.survey import Counts
from sdclient.batch.sweep import sweep
from sdclient.batch.verdict import ServerState
from sdclient.errors import CancelledError, RejectedError, RunFolderError, ServerFaultError, StorageError
from tests.file_changes import HOOK, CrashError
from tests.practice_lane import ALL_KINDS, PracticeLane, plan_jobs

LEASE_S, BEAT_S, STALE_S = 90.0, 10.0, 60.0
MOST_REDONE = 3
MEMORY = Path("/dev/shm")  # noqa: S108 - flushing to memory costs nothing


class StaleFolder(RunFolder):
    """A run folder seen through caches that may be old."""

    stale_since: float | None = None
    old: tuple[dict[str, tuple[Epoch, ...]], set[str]] | None = None

    def read_claims(self) -> dict[str, tuple[Epoch, ...]]:
        return dict(self.old[0]) if self.old is not None else super().read_claims()

    def read_done(self, groups: Iterable[str] | None = None) -> set[str]:
        if self.old is None:
            return super().read_done(groups)
        return {job for job in self.old[1] if groups is None or job[:2] in groups}

    def is_done(self, job: str) -> bool:
        return job in self.old[1] if self.old is not None else super().is_done(job)

    def go_stale(self, now: float) -> None:
        self.old = (super().read_claims(), super().read_done())
        self.stale_since = now

    def refresh(self) -> None:
        self.old = self.stale_since = None


@dataclass(frozen=True)
class Fate:
    """What befalls a worker: nothing, a crash, a lost reply, or a step of another worker, before its n-th change of a file."""

    kind: str
    countdown: int
    other: int


fates = st.builds(
    Fate,
    st.sampled_from(["none", "crash", "lost reply", "take", "finish", "scan", "sweep"]),
    st.integers(1, 14),
    st.integers(0, 4),
)


class ModelWorker:
    """One worker, step by step."""

    def __init__(self, out: Path, world_s: Callable[[], float]) -> None:
        def clock() -> float:
            return world_s() + self.ahead_s

        self.token = new_token()
        self.folder = StaleFolder(out, RunSettings(1, LEASE_S, BEAT_S), sleep=lambda _: None)
        self.board = Board(self.folder, self.token, clock=clock)
        self.board.enter(ALL_KINDS)
        teller = Teller(Counts)
        self.attempts = Attempts(self.folder, self.board, self.token, inputs=Inputs(self.folder), teller=teller)
        self.lane = PracticeLane()
        self.held: tuple[Try, Executed] | None = None
        self.is_alive = True
        self.is_paused = False
        self.ahead_s = 0.0
        self.beats = 0
        self.left_over: set[str] = set()
        self.beat()

    def beat(self) -> None:
        self.beats += 1
        who = ProcessIdentity("another machine", "", 1, "1")
        data = Beat(self.beats, who, kinds=ALL_KINDS).to_bytes()
        (self.folder.state / "beats" / self.token).write_bytes(data)

    def scan(self) -> None:
        found = set(self.board.scan(whole=False))
        for job in found & self.left_over:
            try:
                roll_forward(self.folder, job, [one.number for one in self.board.epochs(job)])
            except (StorageError, RunFolderError):  # noqa: PERF203 - the next scan tries again
                continue
        self.left_over = found

    def take(self) -> None:
        candidate = self.board.take(ALL_KINDS)
        if candidate is None or self.held is not None:
            return
        one = self.attempts.claim(candidate, self.lane)
        if one is None:
            return
        try:
            prepared = self.attempts.prepare(one)
        except Exception as exc:  # noqa: BLE001 - as the pipeline does
            self.attempts.fail(one, exc, ServerState())
            return
        self.held = (one, prepared.execute())

    def finish(self) -> None:
        if self.held is None:
            return
        one, executed = self.held
        try:
            self.attempts.finish(one, executed)
        except CancelledError as exc:
            self.attempts.fail(one, exc, ServerState())
        self.held = None

    def fail(self, error: Exception) -> None:
        if self.held is not None:
            self.attempts.fail(self.held[0], error, ServerState())
            self.held = None

    def sweep(self) -> None:
        if self.held is None:
            sweep(self.folder, self.token, self.board.is_worker_gone)


class SharedFolder(RuleBasedStateMachine):
    """Up to five workers on one folder."""

    def __init__(self) -> None:
        super().__init__()
        HOOK.install()
        HOOK.disarm()
        self.root = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.now = 1000.0
        folder = RunFolder.create(self.root / "out", run_seed=1, lease_s=LEASE_S, beat_s=BEAT_S)
        first = plan_jobs(folder, ["set/a", "set/b"])
        plan_jobs(folder, ["set/c"], kind="img2img", inputs=[OutputInput(first[0].id)])
        self.folder = folder
        self.spawned: list[ModelWorker] = []
        self.workers = [self.spawn(), self.spawn()]
        self.redone = 0
        self.were_listings_old = False
        self.records: dict[str, bytes] = {}
        self.foreign: dict[Path, bytes] = {}

    def spawn(self) -> ModelWorker:
        worker = ModelWorker(self.root / "out", lambda: self.now)
        self.spawned.append(worker)
        return worker

    def teardown(self) -> None:
        HOOK.disarm()
        try:
            self.end_well()
        finally:
            # The kernel closes the files of a process that dies; these workers are all in one that lives.
            for worker in self.spawned:
                worker.attempts.close()
            shutil.rmtree(self.root)

    def act(self, worker: ModelWorker, step: Callable[[], None]) -> None:
        """Take one step of a worker; what may go wrong with it goes wrong."""
        if not worker.is_alive or worker.is_paused:
            return
        was_active, HOOK.is_active = HOOK.is_active, True
        try:
            step()
        except CrashError:
            worker.is_alive = False
            HOOK.disarm()
        except StorageError:
            # What was finished stays in memory and is tried again.
            pass
        finally:
            HOOK.is_active = was_active

    # What the world does

    @rule(seconds=st.floats(1, 40))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + BEAT_S)
            for worker in self.workers:
                since = worker.folder.stale_since
                if since is not None and self.now - since > STALE_S:
                    worker.folder.refresh()
                if worker.is_alive and not worker.is_paused:
                    worker.beat()
                    self.act(worker, worker.scan)

    @precondition(lambda self: len(self.workers) < 5)
    @rule()
    def another_begins(self) -> None:
        self.workers.append(self.spawn())

    @rule(index=st.integers(0, 4))
    def falls_asleep_or_wakes(self, index: int) -> None:
        worker = self.workers[index % len(self.workers)]
        worker.is_paused = not worker.is_paused

    @rule(index=st.integers(0, 4), seconds=st.floats(0, 1000))
    def a_clock_jumps(self, index: int, seconds: float) -> None:
        # A monotonic clock never goes back, but it may leap: a machine that slept, a virtual one that was moved.
        self.workers[index % len(self.workers)].ahead_s += seconds

    @rule(index=st.integers(0, 4))
    def sees_old_listings(self, index: int) -> None:
        self.workers[index % len(self.workers)].folder.go_stale(self.now)
        self.were_listings_old = True

    @precondition(lambda self: not self.foreign)
    @rule(name=st.sampled_from(["a", "b", "c"]))
    def a_file_of_the_users_appears(self, name: str) -> None:
        path = self.folder.out / "set" / f"{name}_1.png"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"mine")
            self.foreign[path] = b"mine"

    @precondition(lambda self: self.redone < MOST_REDONE)
    @rule(name=st.sampled_from(["a", "b", "c"]))
    def somebody_wants_one_anew(self, name: str) -> None:
        if redo(self.folder, wanted([f"set/{name}"])).jobs:
            self.redone += 1

    @precondition(lambda self: self.redone < MOST_REDONE)
    @rule(name=st.sampled_from(["b", "c"]))
    def somebody_asks_otherwise(self, name: str) -> None:
        plan = self.folder.read_plan()
        before = next(job for job in latest_jobs(plan.jobs).values() if job.place == f"set/{name}")
        if not self.folder.is_done(before.id):
            number = before.revision + 1
            after = replace(before, id=job_id(before.kind, before.place, number), revision=number)
            self.folder.add([after], plan.specs, withdrawn=[before.id])
            self.redone += 1

    # What workers do, and what befalls them at one of their file operations

    def meet(self, fate: Fate) -> None:
        if fate.kind == "crash":
            HOOK.arm(fate.countdown)
        elif fate.kind == "lost reply":
            HOOK.arm(fate.countdown, lose_reply=True)
        elif fate.kind != "none":
            other = self.workers[fate.other % len(self.workers)]
            HOOK.arm(fate.countdown, action=lambda: self.act(other, getattr(other, fate.kind)))

    @rule(index=st.integers(0, 4), step=st.sampled_from(["scan", "take", "sweep"]), fate=fates)
    def works(self, index: int, step: str, fate: Fate) -> None:
        worker = self.workers[index % len(self.workers)]
        self.act(worker, worker.scan)
        self.meet(fate)
        self.act(worker, getattr(worker, step))
        HOOK.disarm()

    @rule(index=st.integers(0, 4), fate=fates)
    def finishes(self, index: int, fate: Fate) -> None:
        worker = self.workers[index % len(self.workers)]
        self.act(worker, worker.scan)
        self.act(worker, worker.take)
        self.meet(fate)
        self.act(worker, worker.finish)
        HOOK.disarm()

    @rule(
        index=st.integers(0, 4), error=st.sampled_from([ServerFaultError("x"), CancelledError("x"), RejectedError("x")])
    )
    def fails(self, index: int, error: Exception) -> None:
        worker = self.workers[index % len(self.workers)]
        self.act(worker, lambda: worker.fail(error))

    # What must hold

    @invariant()
    def committed_jobs_never_change(self) -> None:
        for job in self.folder.read_done():
            data = (self.folder.done_folder(job) / "record.json").read_bytes()
            assert self.records.setdefault(job, data) == data, "a job was committed twice"

    @invariant()
    def committed_files_are_complete(self) -> None:
        for job in self.records:
            for one in self.folder.record(job).files:
                places = [self.folder.done_folder(job) / one.name, self.folder.out / one.place]
                places.append(self.folder.out / second_place(one.place, job))
                places.append(self.folder.state / "replaced" / job / one.name)
                found = [hashlib.sha256(path.read_bytes()).hexdigest() for path in places if path.is_file()]
                assert one.sha256 in found, "a committed file is lost"

    @invariant()
    def files_of_the_users_are_untouched(self) -> None:
        for path, data in self.foreign.items():
            assert path.read_bytes() == data

    def end_well(self) -> None:
        """While one worker lives, every job comes to its end, and nothing is left over."""
        last = self.spawn()
        for worker in self.workers:
            worker.is_alive = False
        for _ in range(60):
            self.now += BEAT_S
            last.beat()
            last.scan()
            last.take()
            last.finish()
        counts = last.board.counts()
        assert counts.done + counts.set_aside == counts.jobs == 3
        last.sweep()
        self.committed_jobs_never_change()
        self.committed_files_are_complete()
        self.files_of_the_users_are_untouched()
        done = self.folder.read_done()
        for job in done:
            assert [path.name for path in self.folder.done_folder(job).iterdir()] == ["record.json"]
        assert list((self.folder.state / "parts").iterdir()) == []
        assert not {job for job in self.folder.read_claims() if job in done}
        self.the_latest_stands_in_its_place()
        self.each_is_made_from_the_latest()

    def the_latest_stands_in_its_place(self) -> None:
        done = self.folder.read_done()
        for job in latest_jobs(self.folder.read_plan().jobs).values():
            for one in self.folder.record(job.id).files if job.id in done else ():
                path = self.folder.out / one.place
                aside = self.folder.out / second_place(one.place, job.id)
                # Who does not see that the one before is done takes its image for one of the user's, and leaves it.
                is_aside = path in self.foreign or (self.were_listings_old and aside.exists())
                found = (aside if is_aside else path).read_bytes()
                assert hashlib.sha256(found).hexdigest() == one.sha256, "an older image stands there"

    def each_is_made_from_the_latest(self) -> None:
        done = self.folder.read_done()
        latest = {job.place: job.id for job in latest_jobs(self.folder.read_plan().jobs).values()}
        if {latest["set/a"], latest["set/c"]} <= done:
            made, over = self.folder.record(latest["set/a"]), self.folder.record(latest["set/c"])
            assert over.facts["input_sha256"] == made.files[0].sha256, "it was made from an image that is replaced"


@pytest.mark.parametrize(
    ("runs", "steps"),
    [
        pytest.param(60, 30, id="some"),
        pytest.param(2000, 40, id="many", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
        pytest.param(50_000, 60, id="marathon", marks=[pytest.mark.marathon, pytest.mark.timeout(0)]),
    ],
)
def test_no_job_is_lost_or_done_twice_whatever_happens(runs: int, steps: int) -> None:
    profile = settings(
        max_examples=runs,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(SharedFolder, settings=profile)
