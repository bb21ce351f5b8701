"""What a bench tells: figures with what they are held against, as lines of one table and as JSON."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

HEADING = f"{'figure':72} {'ours':>10} {'':8} {'baseline':>10} {'ratio':>7} {'target':>9}"


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: What was measured, at which size, and in brackets what the baseline is.
        value: What it came to.
        unit: Of the value and of the baseline.
        baseline: The same of what it is held against; None where there is no such thing.
        target: What to reach; None where the figure is only told.
        by_ratio: The target is about value / baseline, not about the value.
        at_least: The target is to be reached from above.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    baseline: float | None = None
    by_ratio: bool = True
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        return self.value / self.baseline if self.baseline else None

    @property
    def reached(self) -> bool | None:
        """Tell whether the target is reached; None where there is none."""
        if self.target is None:
            return None
        seen = self.value if self.ratio is None or not self.by_ratio else self.ratio
        return seen >= self.target if self.at_least else seen <= self.target

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "baseline": self.baseline,
            "ratio": self.ratio,
            "target": self.target,
            "reached": self.reached,
        }


def line(figure: Mapping[str, object]) -> str:
    """Return a figure, as JSON has it, as a line of the table."""
    cells = {key: _number(figure[key]) for key in ("value", "baseline", "ratio", "target")}
    mark = {True: "reached", False: "MISSED", None: ""}[figure["reached"]]  # type: ignore[index]
    return (
        f"{figure['name']:72} {cells['value']:>10} {figure['unit']:8} {cells['baseline']:>10}"
        f" {cells['ratio']:>7} {cells['target']:>9}  {mark}".rstrip()
    )


def _number(value: object) -> str:
    if not isinstance(value, float | int):
        return ""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def _file_to_write(text: str) -> Path:
    """Refuse at once what could not be written ten minutes later."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: {'is a folder' if path.is_dir() else 'its folder is not there'}")
    return path


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """Return the options that every bench takes."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=_file_to_write, metavar="FILE", help="write the figures to this file")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--full", action="store_true", help="everything at its full size")
    sizes.add_argument("--quick", action="store_true", help="as small as it goes: to see that it runs, not to measure")
    return parser


def tell(figures: Iterable[Figure], file: Path | None) -> None:
    """Print figures as they come, and write them as JSON where asked."""
    told: list[dict[str, object]] = []
    say(HEADING)
    for figure in figures:
        told.append(figure.to_json())
        say(line(told[-1]))
    if file:
        write(told, file)


def write(told: Iterable[Mapping[str, object]], file: Path) -> None:
    """Write figures, as JSON has them, to a file."""
    file.write_text(json.dumps(list(told), indent=1) + "\n", encoding="utf-8")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def timed(act: Callable[[], object]) -> float:
    """Return the seconds something takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def child_s(code: str) -> float:
    """Return the seconds a fresh interpreter takes for ``code``."""
    command = [sys.executable, "-c", code]
    return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def in_turn(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> tuple[float, float]:
    """Return the medians of two measurements that take turns."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return statistics.median(one for one, _ in pairs), statistics.median(other for _, other in pairs)


def command_line(*words: str) -> str:
    """Return code that runs sdclient's command line; how it ends does not matter."""
    return f"import sys; sys.argv = {['sdclient', *words]!r}; from sdclient.cli import main\ntry: main()\nexcept SystemExit: pass"
