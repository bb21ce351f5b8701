"""What one job, one look, one beat and one row cost, for the arithmetic of large runs.

Run: ``python tests/bench/bench_units.py [--json FILE]``. File operations are counted with strace, in the run folder only: a
call that names a file is one, and so is a flush. Each count is the difference of two runs, so that starts do not matter.
"""

from __future__ import annotations

import argparse
import collections
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench_batch import SMALL_PX, Child, finished, planned, servers, warm
from bench_report import make_run
from bench_scale import make
from figures import Figure, arguments, say, tell, timed

from sdclient.batch.beats import BEAT_BYTES, BeatWriter
from sdclient.batch.board import Board
from sdclient.batch.folder import RunFolder
from sdclient.batch.identity import new_token
from sdclient.batch.log import read_attempts

TRACED = "trace=%file,fsync,fdatasync"


def traced(before: Path) -> tuple[str, ...]:
    """Return how a command is traced into a file."""
    return ("strace", "-f", "-qq", "-y", "-o", str(before), "-e", TRACED)


def operations(trace: Path, out: Path) -> collections.Counter[str]:
    """Count what a traced process did in a run folder: flushes, listings and all."""
    counted: collections.Counter[str] = collections.Counter()
    for entry in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        # Asking for the size of a file that is open goes to no server.
        is_ours = str(out) in entry and not any(word in entry for word in ("/beats/", "resumed>", "AT_EMPTY_PATH"))
        if is_ours:
            is_listing = "O_NONBLOCK" in entry and "O_DIRECTORY" in entry
            counted["all"] += 1
            counted["flushes"] += "sync(" in entry
            counted["listings"] += is_listing
            counted["of a job"] += not is_listing
    return counted


def per_job(scratch: Path, jobs: int) -> Iterator[Figure]:
    """What a job of one image does."""
    counts: list[collections.Counter[str]] = []
    with servers(delay_s=0.0) as ([server], [url]):
        warm(server, url, SMALL_PX)
        for number in (jobs, 2 * jobs):
            run, trace = planned(folder := scratch / f"jobs{number}", number, SMALL_PX), folder / "trace"
            finished([Child("work", run.out, url, before=traced(trace))])
            counts.append(operations(trace, run.out))
    for kind, name in (("of a job", "file operations of a one-image job"), ("flushes", "  flushes among them")):
        yield Figure(name, (counts[1][kind] - counts[0][kind]) / jobs, "")


def per_look(scratch: Path, jobs: int) -> Iterator[Figure]:
    """What a look at a run of so many done jobs costs: all of it, as at the start and the end; else some 20 listings."""
    make(scratch, jobs)
    out, counts = scratch / "out", []
    for times in (1, 3):
        trace = scratch / f"trace{times}"
        command = [*traced(trace), sys.executable, __file__, "--look", str(out), str(times)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        counts.append(operations(trace, out))
    for kind, name in (
        ("all", f"file operations of a look at everything, {jobs:,} jobs"),
        ("listings", "  listings among them"),
    ):
        yield Figure(name, (counts[1][kind] - counts[0][kind]) / 2, "")
    board = Board(RunFolder.open(out), new_token())
    board.scan()
    yield Figure("  seconds of a look, warm, per 1,000 jobs", timed(board.scan) / jobs * 1000, "s")
    yield Figure("  listing done/, per 1,000 jobs", 1000 * timed(RunFolder.open(out).read_done) / jobs * 1000, "ms")


def per_row(scratch: Path, rows: int) -> Iterator[Figure]:
    """What the union of all logs costs for each row."""
    folder = make_run(scratch, rows, max(1, rows // 10))
    yield Figure("all logs in one, per 1,000 rows", 1000 * timed(lambda: read_attempts(folder)) / rows * 1000, "ms")
    size = sum(path.stat().st_size for path in folder.state.rglob("*.csv"))
    yield Figure("  bytes of a row", size / rows, "B")


def per_known_job(scratch: Path, jobs: int) -> Iterator[Figure]:
    """How much memory a worker needs for each job of the plan."""
    grown: list[int] = []
    for number in (jobs // 10, jobs):
        make(folder := scratch / f"known{number}", number)
        command = [sys.executable, __file__, "--look", str(folder / "out"), "1"]
        grown.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        plan = sum(path.stat().st_size for path in (folder / "out/.sdclient/plan").iterdir())
    yield Figure("memory of a worker for each job", (grown[1] - grown[0]) / (jobs - jobs // 10), "B")
    yield Figure("  plan on disk for each job", plan / jobs, "B")


def beats(scratch: Path) -> Iterator[Figure]:
    """What a sign of life costs: the count is two by its making, an open and a flush."""
    (scratch / "beats").mkdir(parents=True)
    writer = BeatWriter(scratch / "beats" / new_token(), beat_s=10, lease_s=90)
    yield Figure("a beat, written and flushed here", 1000 * min(timed(writer.beat) for _ in range(5)), "ms")
    yield Figure("  bytes of a beat", BEAT_BYTES, "B")


def look(out: Path, times: int) -> None:
    """Look at a run so often, and print the resident bytes."""
    import psutil

    board = Board(RunFolder.open(out), new_token())
    for _ in range(times):
        board.scan()
    print(json.dumps(psutil.Process().memory_info().rss))  # noqa: T201 - read by the process that started this one


def measure(scratch: Path, *, is_quick: bool) -> Iterator[Figure]:
    """Measure everything."""
    if shutil.which("strace"):
        yield from per_job(scratch, 3 if is_quick else 12)
        yield from per_look(scratch / "look", 500 if is_quick else 10_000)
    else:
        say("file operations: not counted, there is no strace here")
    yield from per_row(scratch / "rows", 200 if is_quick else 10_000)
    yield from per_known_job(scratch, 500 if is_quick else 20_000)
    yield from beats(scratch / "beat")


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = arguments(__doc__)
    parser.add_argument("--look", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.look:
        look(Path(given.look[0]), int(given.look[1]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        tell(measure(Path(scratch), is_quick=given.quick), given.json)


if __name__ == "__main__":
    main()
