"""A lane without a server, and a worker process around it: for tests of the batch that must be fast.

Run as a program it takes part in a run: ``python tests/practice_lane.py OUT [--delay S] [--limit N]``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from pydantic import JsonValue

from sdclient.batch.folder import RunFolder
from sdclient.batch.health import HealthPolicy
from sdclient.batch.lane import Task
from sdclient.batch.patience import PatiencePolicy
from sdclient.batch.plan import FileInput, Job, OutputInput, make_job, spec_id
from sdclient.batch.record import Outcome, OutFile
from sdclient.batch.worker import Worker, WorkerResult, WorkerSettings
from sdclient.client import Client
from sdclient.errors import CancelledError
from sdclient.files import write_new_file
from sdclient.steps.generate import ServerLane, refuse_foreign

SPEC = {"request": {"prompt": "practice"}}
ALL_KINDS = frozenset({"txt2img", "img2img", "segment"})
QUICK = {
    "health": HealthPolicy(first_open_s=0.01, longest_open_s=0.02, retries=1000),
    "patience": PatiencePolicy(first_s=0.01, longest_s=0.05),
}


def quick(limit: int | None = None, scan_s: float = 0.05, inputs: Mapping[str, Path] | None = None) -> WorkerSettings:
    """Return settings of a worker that never waits long."""
    return WorkerSettings(limit=limit, inputs=inputs or {}, scan_s=scan_s, **QUICK)


def content(task: Task) -> bytes:
    """Return what a job's only file holds: the same for every try on every machine."""
    seed = task.job.changes.get("seed", task.seed)
    return f"{task.job.place} {seed} {task.job.revision}\n".encode()


def plan_jobs(
    folder: RunFolder,
    places: Iterable[str],
    *,
    kind: str = "txt2img",
    inputs: Sequence[FileInput | OutputInput | None] = (),
) -> list[Job]:
    """Plan one job for every place."""
    places = list(places)
    given = [*inputs, *([None] * (len(places) - len(inputs)))]
    jobs = [make_job(kind, place, SPEC, input=one) for place, one in zip(places, given, strict=True)]
    return folder.add(jobs, {spec_id(SPEC): SPEC})


class PracticeLane:
    """Writes one small file for every job.

    Args:
        name: What it is called.
        kinds: What it does.
        delay_s: How long a job is "drawn".
        trouble: What to raise, one after the other, by stage and place: ``{("execute", "a"): [error, …]}``.
    """

    def __init__(
        self,
        name: str = "practice",
        *,
        kinds: frozenset[str] = ALL_KINDS,
        delay_s: float = 0.0,
        trouble: Mapping[tuple[str, str], Sequence[BaseException]] | None = None,
    ) -> None:
        self.name = name
        self.dialect = "practice"
        self.kinds = kinds
        self.delay_s = delay_s
        self.trouble = {key: list(errors) for key, errors in (trouble or {}).items()}
        self.executed: list[str] = []
        self.inputs: dict[str, bytes] = {}
        self.gate: threading.Event | None = None
        self.running = threading.Event()
        self.held = 0
        self.most_held = 0
        self._lock = threading.Lock()

    def server_rss_mb(self) -> float | None:
        return None

    def prepare(self, task: Task) -> PracticeJob:
        with self._lock:
            self.held += 1
            self.most_held = max(self.held, self.most_held)
        try:
            self.stumble("prepare", task)
            refuse_foreign(task, 1)
            if task.input_path is not None:
                self.inputs[task.job.place] = task.input_path.read_bytes()
        except BaseException:
            self.let_go()
            raise
        return PracticeJob(self, task)

    def stumble(self, stage: str, task: Task) -> None:
        errors = self.trouble.get((stage, task.job.place))
        if errors:
            raise errors.pop(0)

    def let_go(self) -> None:
        with self._lock:
            self.held -= 1


class PracticeJob:
    """A job in all its stages."""

    def __init__(self, lane: PracticeLane, task: Task) -> None:
        self._lane = lane
        self._task = task
        self._cancelled = threading.Event()

    @property
    def seed(self) -> int:
        return self._task.seed

    def execute(self) -> PracticeJob:
        lane = self._lane
        try:
            lane.running.set()
            if lane.gate is not None:
                while not lane.gate.wait(0.01):
                    if self._cancelled.is_set():
                        break
            if self._cancelled.wait(lane.delay_s):
                raise CancelledError("ended on request")  # noqa: TRY301 - as a step does
            lane.stumble("execute", self._task)
        except BaseException:
            lane.let_go()
            raise
        lane.executed.append(self._task.job.place)
        return self

    def cancel(self) -> None:
        self._cancelled.set()

    def finish(self, part: Path) -> Outcome:
        self._lane.stumble("finish", self._task)
        data = content(self._task)
        place = f"{self._task.job.place}_1.png"
        name = PurePosixPath(place).name
        write_new_file(part / name, data)
        self._lane.let_go()
        file = OutFile(name, place, hashlib.sha256(data).hexdigest(), len(data), {"seed": self._task.seed})
        facts: dict[str, JsonValue] = {"seed": self._task.seed}
        if self._task.input_path is not None:
            facts["input_sha256"] = hashlib.sha256(self._lane.inputs[self._task.job.place]).hexdigest()
        return Outcome((file,), facts, {"seed": str(self._task.seed)})


def work(folder: RunFolder, lane: PracticeLane | None = None, **settings: object) -> WorkerResult:
    """Work on a run until its end."""
    return Worker(folder, [lane or PracticeLane()], quick(**settings)).run()  # type: ignore[arg-type]


def become(user: int) -> None:
    """Give up root's rights for those of another user."""
    # After a small run of its own: what is imported only then may lie where the other user cannot read.
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder.create(Path(name) / "out")
        plan_jobs(folder, ["a"])
        work(folder)
    os.setuid(user)


def take_part(words: Sequence[str]) -> dict[str, object]:
    """Take part in a run as the command line says; return what became of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--scan", type=float, default=0.1)
    parser.add_argument("--name", default="practice")
    parser.add_argument("--user", type=int, help="give up root's rights for this user's")
    parser.add_argument("--server", help="draw on this server instead")
    args = parser.parse_args(words)
    if args.user is not None:
        become(args.user)
    lane = PracticeLane(args.name, delay_s=args.delay)
    lanes = [ServerLane(Client(args.server))] if args.server else [lane]
    began = time.monotonic()
    result = Worker(RunFolder.create(args.out), lanes, quick(limit=args.limit, scan_s=args.scan)).run()
    return {
        "made": result.made,
        "executed": lane.executed,
        "counts": result.counts.to_json(),
        "trouble": str(result.trouble or ""),
        "problems": list(result.problems),
        "seconds": time.monotonic() - began,
    }


def bear() -> None:
    """Fork a worker for every line of arguments on stdin, and tell its process id."""
    # Nobody waits for them: the system itself forgets those that end.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                take_part(json.loads(line))
            finally:
                os._exit(0)
        print(pid, flush=True)  # noqa: T201 - how it talks


if __name__ == "__main__":
    if sys.argv[1:] == ["--nursery"]:
        bear()
    else:
        json.dump(take_part(sys.argv[1:]), sys.stdout)
