"""The demonstration: the nations study in small, on a simulated server, with a worker killed half-way."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from sdclient.batch.events import Event, Listener
from sdclient.batch.log import read_attempts
from sdclient.batch.record import Record
from sdclient.batch.survey import Counts
from sdclient.errors import RunError
from sdclient.files import resolve_inside
from sdclient.planning import JobList
from sdclient.recipes.nations import BAKE_PAYLOAD, GENERATE_PAYLOAD, QueueEntry, StudyPayloads, load_study, plan_nations
from sdclient.run import Run
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.segment import SegmentSettings

RUN_SEED = 7
QUEUE = tuple(QueueEntry(nation, category, 2) for nation in ("Italian", "Greek") for category in ("family", "working"))
SEGMENTER = SegmentSettings(model="classical")
_KILL_AFTER = 5
"""Jobs after which the first worker is killed: in the middle of the generations."""


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demonstration came to, counted on disk.

    Attributes:
        made: Images generated.
        baked: Images drawn over.
        cut_up: Images cut up.
        cutouts: Objects cut out.
        lost: Jobs that are not done, or whose files are missing or not what was committed.
        done_twice: Jobs committed more than once.
        requests: Generation requests the simulated server got, this time.
        killed_pid: Process id of the worker that was killed; None where none was.
        missing: Places of files that are gone or not what was committed.
    """

    made: int
    baked: int
    cut_up: int
    cutouts: int
    lost: int
    done_twice: int
    requests: int
    killed_pid: int | None
    missing: tuple[str, ...] = ()


def run_demo(out: Path, dialect: str, say: Callable[[str], None], listener: Listener | None = None) -> DemoResult:
    """Run the demonstration, or what is left of it.

    Args:
        out: The output folder.
        dialect: Whom the simulated server plays.
        say: Told what happens, in sentences.
        listener: Told of the second worker's events.

    Raises:
        RunError: If the work did not come to its end, or the folder holds another run.
    """
    payloads = StudyPayloads(Txt2Img.load(GENERATE_PAYLOAD), Img2Img.load(BAKE_PAYLOAD), SEGMENTER)
    listed = plan_nations(QUEUE, load_study(), payloads)
    run = Run(out, run_seed=RUN_SEED)
    _refuse_other_run(run, listed)
    run.add_jobs(listed).save()
    counts = run.status().counts
    if not counts.left:
        say(f"{out}: all {counts.jobs} jobs were done before; no server is started, no request is sent")
        return _count(run, requests=0, killed_pid=None)
    with simulated_server(dialect) as url:
        say(f"SIMULATED {dialect} server at {url}; cut-outs by the classical OpenCV segmenter, not by SAM")
        killed = None
        if counts.done < _KILL_AFTER:
            killed = _work_and_be_killed(run, url, listener)
            if killed is not None:
                done = run.status().counts.done
                say(
                    f"worker {killed} was killed on purpose (kill -9) after {done} of {counts.jobs} jobs; another goes on"
                )
        result = run.start(url, listener=listener)
        if result.counts.left or result.counts.set_aside:
            raise RunError(f"{out}: the demonstration did not finish: {result.counts.to_json()}, {result.left}")
        return _count(run, requests=_requests_sent(url), killed_pid=killed)


def _refuse_other_run(run: Run, listed: JobList) -> None:
    """Keep simulated images out of a real study, whose open jobs would be drawn here as well."""
    known = {(job.kind, job.place) for job in run.jobs()}
    if run.folder.settings.run_seed != RUN_SEED or not known <= {(job.kind, job.place) for job in listed.jobs}:
        raise RunError(f"{run.out}: holds a run that is not the demonstration's; give --out another folder")


@contextmanager
def simulated_server(dialect: str) -> Generator[str, None, None]:
    """Run a simulated server in a process of its own, as a real one would be; yields its address."""
    command = [sys.executable, "-m", "sdclient", "simulate", "--dialect", dialect, "--port", "0", "--json"]
    with _helper(command) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise RunError("the simulated server did not start; try: sdclient simulate")
            yield str(json.loads(line)["url"])
        finally:
            process.terminate()


def _helper(command: list[str]) -> subprocess.Popen[str]:
    """Start a process that Ctrl-C in the terminal does not reach: it is ended by us, in order."""
    detached = sys.platform != "win32"
    flags = 0 if detached else getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=detached,
        creationflags=flags,
    )


def _work_and_be_killed(run: Run, url: str, listener: Listener | None) -> int | None:
    """Start a worker in a process of its own and kill it in the middle of a job; returns its process id."""
    command = [sys.executable, "-m", "sdclient", "join", str(run.out), "--url", url, "--json"]
    with _helper(command) as worker:
        try:
            for line in worker.stdout or ():
                event = json.loads(line)
                _pass_on(event, listener)
                # Just after a job began, so that the server is at work when its worker dies.
                if event["event"] == "begun" and event["done"] >= _KILL_AFTER:
                    return worker.pid
            return None
        finally:
            worker.kill()


def _pass_on(event: dict[str, object], listener: Listener | None) -> None:
    """Show the first worker's done jobs as if they were ours, so that the bar moves."""
    if listener is None or event["event"] != "done":
        return
    names = [one.name for one in fields(Counts)]
    counts = Counts(**{name: int(str(event[name])) for name in names})
    listener(Event("done", counts, str(event.get("lane", "")), str(event.get("place", ""))))


def _requests_sent(url: str) -> int:
    with urllib.request.urlopen(f"{url}/__simulator__/log", timeout=10) as reply:  # noqa: S310 - our own simulator on loopback
        posts: dict[str, int] = json.load(reply)["posts"]
    return sum(number for path, number in posts.items() if path.endswith(("/txt2img", "/img2img")))


def _count(run: Run, *, requests: int, killed_pid: int | None) -> DemoResult:
    # Of a job that was made once more, only the latest counts.
    latest = {(job.kind, job.place): job for job in run.jobs()}
    kinds = {job.id: job.kind for job in latest.values()}
    records = [record for record in run.folder.records() if record.job in kinds]
    missing = {record.job: _unsound(run.out, record) for record in records}
    sound = [record for record in records if not missing[record.job]]
    rows, _ = read_attempts(run.folder)
    commits = [row["job"] for row in rows if row.get("status") == "done"]
    cuts = [record for record in sound if kinds[record.job] == "segment"]
    return DemoResult(
        made=sum(len(one.files) for one in sound if kinds[one.job] == "txt2img"),
        baked=sum(len(one.files) for one in sound if kinds[one.job] == "img2img"),
        cut_up=len(cuts),
        cutouts=sum(one.place.endswith(".png") for record in cuts for one in record.files),
        lost=len(kinds) - len(sound),
        done_twice=len(commits) - len(set(commits)),
        requests=requests,
        killed_pid=killed_pid,
        missing=tuple(place for places in missing.values() for place in places),
    )


def _unsound(out: Path, record: Record) -> list[str]:
    """Return the places of a record's files that are gone or changed."""
    return [
        one.place
        for one in record.files
        if not (path := resolve_inside(out, one.place)).is_file()
        or hashlib.sha256(path.read_bytes()).hexdigest() != one.sha256
    ]
