"""How long a run of 100,000 done jobs takes to be looked at: ``python tests/bench/bench_scale.py [--jobs N] [--json FILE]``.

The folder is made by one process and looked at by another, whose time and memory are measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sdclient.batch.board import Board
from sdclient.run import Run
from sdclient.schemas import Img2Img

REQUEST = Img2Img(denoising_strength=0.3)
PER_FOLDER = 1000


def make(folder: Path, jobs: int) -> None:
    """Make an input tree of ``jobs`` files and a run in which all but one are done."""
    for number in range(jobs):
        parent = folder / "in" / f"{number // PER_FOLDER:03d}"
        if number % PER_FOLDER == 0:
            parent.mkdir(parents=True)
        (parent / f"{number:06d}.png").write_bytes(b"x")
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


def measure(jobs: int) -> dict[str, object]:
    """Make a run and look at it from a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        make(Path(scratch), jobs)
        command = [sys.executable, __file__, "--look", scratch]
        told = subprocess.run(command, check=True, capture_output=True, text=True)
        return dict(json.loads(told.stdout))


def main() -> None:
    """Print the figures; write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.look:
        print(json.dumps(look(given.look)))  # noqa: T201 - read by the process that started this one
        return
    figures = measure(given.jobs)
    print(json.dumps(figures, indent=1))  # noqa: T201 - a bench prints
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
