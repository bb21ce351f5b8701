"""Every figure in one table: ``python tests/bench/run.py [--json FILE] [--full | --quick] [--only PART]``.

The benches run one after another, each a process of its own; at most ten minutes on two idle cores. What takes longer is
done at a smaller size, and its name says so; ``--full`` does all of it. Ratios hold on any machine, seconds on this one.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from figures import HEADING, arguments, line, say, write

PARTS = ("start", "batch", "segment", "scale", "report", "units")


def measure(part: str, options: Sequence[str]) -> list[dict[str, Any]] | None:
    """Run one bench; return its figures, None where it failed. What it says besides goes to stderr."""
    script = Path(__file__).with_name(f"bench_{part}.py")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "figures.json"
        ended = subprocess.run(
            [sys.executable, str(script), *options, "--json", str(file)], stdout=subprocess.DEVNULL, check=False
        )
        if ended.returncode or not file.exists():
            return None
        return list(json.loads(file.read_text(encoding="utf-8")))


def machine() -> str:
    """Say what this ran on."""
    import psutil

    cores, memory = psutil.cpu_count(), psutil.virtual_memory().total / 2**30
    load = psutil.getloadavg()[0]
    return f"{platform.platform()}, Python {platform.python_version()}, {cores} cores, {memory:.0f} GB, load {load:.1f}"


def main() -> int:
    """Print the table; write it as JSON where asked; return 1 where a bench failed."""
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure only this; repeatable")
    given = parser.parse_args()
    options = ["--full"] if given.full else ["--quick"] if given.quick else []
    told: list[dict[str, Any]] = []
    failed: list[str] = []
    say(machine())
    say(HEADING)
    for part in given.only or PARTS:
        began = time.monotonic()
        figures = measure(part, options)
        say(f"-- {part}, {time.monotonic() - began:.0f} s" + ("" if figures is not None else ": FAILED"))
        for figure in figures or []:
            say(line(figure))
        told += figures or []
        failed += [part] if figures is None else []
    if given.json:
        write(told, given.json)
    missed = [str(figure["name"]).strip() for figure in told if figure["reached"] is False]
    say(f"{len(told)} figures, {len(missed)} behind their target{': ' if missed else ''}{'; '.join(missed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
