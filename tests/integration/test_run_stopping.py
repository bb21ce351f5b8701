"""Ctrl-C once, twice, three times, and SIGTERM, on real processes and every kind of server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sdclient.progress import LanePace, Step
from sdclient.simulator import DIALECTS, Simulator
from tests.conftest import CommandLine
from tests.integration.terminal import Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
INTERRUPTIBLE = {"a1111", "forge"}
SIZE = ("--set", "width=128", "--set", "height=128", "--set", "steps=8", "--set", "inherit=true")


def begin(cli: CommandLine, server: Simulator, *more: str) -> tuple[str, ...]:
    (cli.folder / "prompts.txt").write_text("a fox\na hare\na lynx\na wolf\n", encoding="utf-8")
    return ("generate", "prompts.txt", "--out", "out", "--url", server.url, *SIZE, *more)


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_drawing(server: Simulator, cli: CommandLine) -> bool:
    """A claim is there, and the request has arrived: the simulator logs only what it has answered."""
    claims = cli.folder / "out" / ".sdclient" / "claims"
    return claims.is_dir() and any(claims.iterdir()) and server._workshop._current is not None


def ends(out: Path) -> list[str]:
    return [json.loads(path.read_text(encoding="utf-8"))["ended"] for path in (out / ".sdclient/claims").glob("*.end")]


def open_claims(out: Path) -> list[str]:
    folder = out / ".sdclient" / "claims"
    return [path.name for path in folder.iterdir() if path.suffix != ".end" and not Path(f"{path}.end").exists()]


def stopped(process: subprocess.Popen[str]) -> tuple[float, str]:
    began = time.monotonic()
    _, stderr = process.communicate(timeout=60)
    assert "Traceback" not in stderr
    return time.monotonic() - began, stderr


@pytest.mark.parametrize(
    "dialect", [pytest.param(one, marks=() if one in ("a1111", "drawthings") else pytest.mark.slow) for one in DIALECTS]
)
def test_sigterm_ends_what_runs_on_every_kind_of_server_and_gives_the_claims_back(
    cli: CommandLine, dialect: str
) -> None:
    with Simulator(dialect, delay_s=120) as server:
        with cli.start(*begin(cli, server)) as process:
            until(lambda: is_drawing(server, cli))
            process.send_signal(signal.SIGTERM)
            seconds, stderr = stopped(process)
        interrupts = [one.path for one in server.log if one.path.endswith("/interrupt")]

    out = cli.folder / "out"
    assert process.returncode == 130
    assert seconds < 30
    assert open_claims(out) == []
    assert set(ends(out)) == {"released"}
    assert not list((out / ".sdclient" / "beats").iterdir())
    assert len(interrupts) == (1 if dialect in INTERRUPTIBLE else 0)
    assert ("it paints its image to the end for nobody" in stderr) == (dialect not in INTERRUPTIBLE)


def test_a_second_ctrl_c_ends_what_the_first_would_have_waited_for(cli: CommandLine) -> None:
    with Simulator("drawthings", delay_s=60) as server, Terminal(cli, *begin(cli, server)) as terminal:
        until(lambda: is_drawing(server, cli))
        terminal.type("\x03")
        terminal.until("1 job is finished first, how long is not known before the first images; Ctrl-C again ends it,")
        terminal.type("\x03")
        terminal.until("cannot be interrupted: it paints its image to the end for nobody, for how long is not known")
        code = terminal.ended()

    assert code == 130
    assert open_claims(cli.folder / "out") == []


def test_the_first_ctrl_c_says_how_long_and_finishes_what_runs(cli: CommandLine) -> None:
    with Simulator("drawthings", delay_s=3) as server, Terminal(cli, *begin(cli, server)) as terminal:
        # An image lies in its place a moment before it is counted, and only what was counted tells how long one takes.
        terminal.until("1/4  [")
        until(lambda: is_drawing(server, cli))
        terminal.type("\x03")
        terminal.until("1 job is finished first, about ")
        code = terminal.ended()
        drawn = sum(one.method == "POST" for one in server.log)

    assert code == 130
    assert len(list((cli.folder / "out").glob("*.png"))) == drawn == 2
    assert open_claims(cli.folder / "out") == []


def test_a_third_ctrl_c_leaves_at_once_and_the_same_command_goes_on(cli: CommandLine) -> None:
    with Simulator("drawthings", delay_s=600) as server, Terminal(cli, *begin(cli, server)) as terminal:
        until(lambda: is_drawing(server, cli))
        for words in ("finished first", "leaves at once"):
            terminal.type("\x03")
            terminal.until(words)
        terminal.type("\x03")
        code = terminal.ended()
    with Simulator("drawthings") as server:
        again = cli(*begin(cli, server))

    assert code == 130
    assert again.code == 0
    assert len(list((cli.folder / "out").glob("*.png"))) == 4


@pytest.mark.parametrize(
    ("held_s", "step", "usual_s", "left_s"),
    [
        ([10, 20, 12], None, None, 7),
        ([3], None, None, 0),
        ([], Step(0.25), None, 15),
        ([], Step(None), 8, 3),
        ([], None, None, None),
    ],
    ids=["its own times", "late", "its steps", "as usual", "unknown"],
)
def test_how_long_a_job_still_takes(
    held_s: list[float], step: Step | None, usual_s: float | None, left_s: float | None
) -> None:
    lane = LanePace(place="a", began_s=100)
    lane.held_s.extend(held_s)

    assert lane.left_s(105, step, usual_s) == left_s
