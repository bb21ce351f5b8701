"""How fast things start: imports and help against what they stand on, and compiling a request.

Run: ``python tests/bench/bench_start.py [--json FILE]``. Each figure is the median of child processes that alternate with
their baseline.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

from figures import Figure, arguments, child_s, command_line, in_turn, tell, timed

from sdclient.dialects import DIALECTS, dialect_named
from sdclient.dialects.base import ServerFacts
from sdclient.schemas import Txt2Img

BASE = "import requests, pydantic"
STARTS = [
    ("import sdclient", "import sdclient", BASE, 2.0),
    ("from sdclient import Client", "from sdclient import Client", BASE, 2.0),
    ("from sdclient import Client, Txt2Img", "from sdclient import Client, Txt2Img", BASE, 3.0),
    ("sdclient --help", command_line("--help"), "import click", 3.0),
    ("sdclient txt2img --help", command_line("txt2img", "--help"), BASE, 3.0),
    ("sdclient status OUT", command_line("status", "no-run-here"), BASE, 3.0),
]
"""What is started, the code, its baseline and the ratio to reach."""


def median_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the median milliseconds of one call."""
    return 1000 * statistics.median(timed(work) for _ in range(rounds))


def measure(rounds: int) -> Iterator[Figure]:
    """Measure everything."""
    for name, code, baseline, target in STARTS:
        ours, other = in_turn(lambda code=code: child_s(code), lambda code=baseline: child_s(code), rounds)
        yield Figure(f"{name} ({baseline})", ours, "s", target, other)
    for name in DIALECTS:
        dialect = dialect_named(name)
        request = Txt2Img.load("sdxl-refiner-ultrasharp").replace(prompt="a fox", seed=1)
        request = request.for_dialect(*dialect.overlay_names)
        facts = ServerFacts(name)
        value = median_ms(lambda: dialect.compile(request, facts), 30 * rounds)  # noqa: B023 - called before the next round
        yield Figure(f"compile a request for {name}", value, "ms", 1.0)


def main() -> None:
    """Print the table; write it as JSON where asked."""
    given = arguments(__doc__).parse_args()
    tell(measure(1 if given.quick else 15 if given.full else 7), given.json)


if __name__ == "__main__":
    main()
