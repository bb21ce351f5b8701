"""How long a large run takes to be looked at: ``python tests/bench/bench_scale.py [--jobs N] [--json FILE]``.

100,000 jobs with ``--full``, a fifth of them else; the folder is made by one process and looked at by another, whose
time and memory are measured. And `sdclient status` of 10,000 jobs, as people type it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench_report import make_run
from figures import Figure, arguments, child_s, command_line, tell

from sdclient.batch.board import Board
from sdclient.run import Run
from sdclient.schemas import Img2Img

REQUEST = Img2Img(denoising_strength=0.3)
PER_FOLDER = 1000
FULL, REDUCED, QUICK = 100_000, 20_000, 1_000
GLANCED = 10_000


def make(folder: Path, jobs: int) -> None:
    """Make an input tree of ``jobs`` files and a run in which all but one are done."""
    for number in range(jobs):
        parent = folder / "in" / f"{number // PER_FOLDER:03d}"
        if number % PER_FOLDER == 0:
            parent.mkdir(parents=True)
        (parent / f"{number:06d}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    run = Run(folder / "out").add_folder(folder / "in", REQUEST).save()
    for job in run.jobs()[:-1]:
        run.folder.done_folder(job.id).mkdir(parents=True)
        (run.folder.done_folder(job.id) / "record.json").write_bytes(b"{}")


def look(folder: Path) -> dict[str, object]:
    """Do what a command does before its first request; return counts, seconds and memory."""
    import psutil

    wall, cpu = time.perf_counter(), time.process_time()
    run = Run(folder / "out").add_folder(folder / "in", REQUEST)
    counts = run.status().counts
    run.open_kinds()
    run.typical_s()
    board = Board(run.folder, "a" * 32)
    board.scan()
    is_found = board.take(frozenset({"img2img"})) is not None
    memory = psutil.Process().memory_info()
    return {
        **counts.to_json(),
        "is_found": is_found,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "rss_mb": memory.rss / 2**20,
    }


def looked_at(jobs: int) -> dict[str, float]:
    """Make a run and look at it from a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        make(Path(scratch), jobs)
        command = [sys.executable, __file__, "--look", scratch]
        told = subprocess.run(command, check=True, capture_output=True, text=True)
        return dict(json.loads(told.stdout))


def measure(jobs: int, glanced: int) -> Iterator[Figure]:
    """Measure everything."""
    seen = looked_at(jobs)
    reduced = "" if jobs >= FULL else f", reduced from {FULL:,}"
    yield Figure(f"from nothing to the first request, {jobs:,} jobs done{reduced}", seen["wall_s"], "s", 3.0)
    yield Figure("  memory of the process by then", seen["rss_mb"], "MB", 300.0)
    with tempfile.TemporaryDirectory() as scratch:
        # With records, rows and images as a run leaves them: status reads every one.
        make_run(Path(scratch) / "out", glanced, glanced)
        status = command_line("status", str(Path(scratch) / "out"), "--json")
        value = statistics.median(child_s(status) for _ in range(3))
        yield Figure(f"sdclient status OUT, {glanced:,} jobs", value, "s", 1.0)


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = arguments(__doc__)
    parser.add_argument("--jobs", type=int, help=f"how many jobs are done; {REDUCED:,} unless --full")
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.look:
        print(json.dumps(look(given.look)))  # noqa: T201 - read by the process that started this one
        return
    jobs = QUICK if given.quick else FULL if given.full else REDUCED
    tell(measure(given.jobs or jobs, QUICK if given.quick else GLANCED), given.json)


if __name__ == "__main__":
    main()
