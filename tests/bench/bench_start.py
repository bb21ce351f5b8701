"""How fast things start: imports and help against what they stand on, and compiling a request.

Run: ``python tests/bench/bench_start.py [--json FILE]``. Each figure is the median of child processes that alternate with
their baseline; ratios only, since machines differ.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sdclient.dialects import DIALECTS, dialect_named
from sdclient.dialects.base import ServerFacts
from sdclient.schemas import Txt2Img

ROUNDS = 7
BASE = "import requests, pydantic"


def command(*words: str) -> str:
    """Return code that runs a command line; how it ends does not matter."""
    return f"import sys; sys.argv = {['sdclient', *words]!r}; from sdclient.cli import main\ntry: main()\nexcept SystemExit: pass"


def child_s(code: str) -> float:
    """Return the seconds a fresh interpreter takes for ``code``."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def against(code: str, baseline: str) -> tuple[float, float]:
    """Return the median seconds of ``code`` and of its baseline, taken in turn."""
    pairs = [(child_s(code), child_s(baseline)) for _ in range(ROUNDS)]
    return statistics.median(one for one, _ in pairs), statistics.median(other for _, other in pairs)


def median_s(work: Callable[[], object], rounds: int = 200) -> float:
    """Return the median seconds of one call."""
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def row(name: str, value: float, unit: str, baseline: float | None, target: float) -> dict[str, object]:
    """Return one line of the table; the target is a ratio where there is a baseline, else a value."""
    ratio = None if baseline is None else value / baseline
    reached = (value if ratio is None else ratio) <= target
    return {"name": name, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio, "target": target,
            "reached": reached}  # fmt: skip


def _starts() -> list[tuple[str, str, str, float]]:
    """Return what is started, and against what: name, code, baseline, target."""
    return [
        ("import sdclient / import requests, pydantic", "import sdclient", BASE, 2.0),
        ("from sdclient import Client / import requests, pydantic", "from sdclient import Client", BASE, 2.0),
        ("from sdclient import Client, Txt2Img / the same", "from sdclient import Client, Txt2Img", BASE, 3.0),
        ("sdclient --help / import click", command("--help"), "import click", 3.0),
        ("sdclient txt2img --help / import requests, pydantic", command("txt2img", "--help"), BASE, 3.0),
        ("sdclient status OUT / import requests, pydantic", command("status", "no-run-here"), BASE, 3.0),
    ]


def measure() -> list[dict[str, object]]:
    """Measure everything."""
    rows = [row(name, *_pair(code, baseline), target) for name, code, baseline, target in _starts()]
    for name in DIALECTS:
        dialect = dialect_named(name)
        request = Txt2Img.load("sdxl-refiner-ultrasharp").replace(prompt="a fox", seed=1)
        request = request.for_dialect(*dialect.overlay_names)
        facts = ServerFacts(name)
        seconds = median_s(lambda: dialect.compile(request, facts))  # noqa: B023 - called before the next round
        rows.append(row(f"compile for {name}", seconds * 1000, "ms", None, 1.0))
    return rows


def _pair(code: str, baseline: str) -> tuple[float, str, float]:
    ours, other = against(code, baseline)
    return ours, "s", other


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = measure()
    for one in rows:
        ratio = "" if one["ratio"] is None else f"ratio {one['ratio']:.2f}"
        mark = "reached" if one["reached"] else "MISSED"
        print(f"{one['name']:60} {one['value']:8.3f} {one['unit']:3} {ratio:12} target {one['target']}  {mark}")  # noqa: T201 - a bench prints
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
