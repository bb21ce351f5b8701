"""What people and programs see of a run that works: a narrow terminal, a log file, JSON lines, a callback."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdclient.batch.events import Event
from sdclient.progress import cell_width
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from sdclient.simulator import Simulator
from tests.conftest import CommandLine
from tests.integration.terminal import Terminal

SMALL = ["--set", "inherit=true", "--set", "width=128", "--set", "height=128"]


@pytest.fixture
def slow() -> Iterator[Simulator]:
    """A server that takes long enough to be asked how far it is."""
    with Simulator("a1111", delay_s=3) as simulator:
        yield simulator


def prompts(folder: Path, count: int) -> None:
    (folder / "prompts.txt").write_text(
        "".join(f"a fox that has a rather long name {number}\n" for number in range(count))
    )


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is POSIX")
def test_in_sixty_columns_one_line_moves_and_names_the_step(tmp_path: Path, cli: CommandLine, slow: Simulator) -> None:
    prompts(tmp_path, 2)
    words = ["generate", "prompts.txt", "--out", "OUT", *SMALL, "--set", "steps=30", "--url", slow.url]

    with Terminal(cli, *words, columns=60) as terminal:
        terminal.until("0/2")
        moving = "0/2" + terminal.until("OUT: 2 of 2 jobs done")

    painted = [part.rstrip() for part in moving.rstrip().split("\r") if part.strip()]
    assert all(cell_width(line) <= 59 for line in painted), painted
    assert "\n" not in moving.rstrip()
    assert any(re.search(r"0/2  finish unknown yet  \S+ step \d+/30$", line) for line in painted), painted
    assert painted[-1].startswith("2/2")


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is POSIX")
def test_a_run_that_goes_on_foretells_its_finish_by_the_times_of_its_log(
    tmp_path: Path, cli: CommandLine, slow: Simulator
) -> None:
    prompts(tmp_path, 2)
    words = ["generate", "prompts.txt", "--out", "OUT", *SMALL, "--url", slow.url]
    first = cli(*words, "--limit", "1")

    with Terminal(cli, *words, columns=60) as terminal:
        terminal.until("1/2")
        moving = terminal.until("OUT: 2 of 2 jobs done")

    assert "1 of 2 jobs done" in first.stderr
    assert re.search(r"  done about (?:tomorrow )?\d\d:\d\d \(estimate\)", moving)
    assert "finish unknown" not in moving


def test_a_log_file_has_whole_lines_that_are_never_drawn_over(
    tmp_path: Path, cli: CommandLine, a1111: Simulator
) -> None:
    prompts(tmp_path, 2)

    ended = cli("generate", "prompts.txt", "--out", "OUT", *SMALL, "--url", a1111.url)

    assert ended.code == 0
    assert "\r" not in ended.stderr
    assert ended.stderr.endswith("OUT: 2 of 2 jobs done, 2 of them now\n")


def test_a_callback_is_told_the_same_events_as_json_lines_tell(
    tmp_path: Path, cli: CommandLine, a1111: Simulator
) -> None:
    prompts(tmp_path, 2)
    seen: list[Event] = []
    request = Txt2Img(inherit=True, width=128, height=128)
    run = Run(tmp_path / "CALLED").add((tmp_path / "prompts.txt").read_text().splitlines(), request)

    run.start(a1111.url, listener=seen.append)
    ended = cli("generate", "prompts.txt", "--out", "OUT", *SMALL, "--url", a1111.url, "--json")

    told = [json.loads(line) for line in ended.stdout.splitlines()][1:-1]
    mine = [event.to_json() for event in seen]
    assert sorted((str(one["event"]), str(one["place"])) for one in mine) == sorted(
        (one["event"], one["place"]) for one in told
    )
    assert [set(one) for one in mine if one["event"] == "done"] == [set(one) for one in told if one["event"] == "done"]
    assert (mine[-1]["done"], told[-1]["done"]) == (2, 2)
