"""The guide's pages about looking at runs: every column, event and option they name exists, and none is missing."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import get_args

import click
import pytest

from sdclient.batch.events import EventName
from sdclient.batch.log import ATTEMPT_COLUMNS, IMAGE_COLUMNS
from sdclient.cli.app import app

EXAMPLES = Path(__file__).parents[3] / "examples"
PAGES = ["columns.md", "two-macs-and-a-nas.md", "gpu-box-and-laptop.md", "not-measured.md", "progress.md"]


def commands(page: str) -> list[list[str]]:
    text = (EXAMPLES / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("sdclient ")]


def documented(page: str, title: str) -> set[str]:
    text = (EXAMPLES / page).read_text(encoding="utf-8").split(title, 1)[1].split("\n## ", 1)[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([a-z0-9_]+)`", cell)}


def test_every_column_of_images_is_documented_and_no_other() -> None:
    assert documented("columns.md", "## images.csv") == set(IMAGE_COLUMNS)


def test_every_column_of_attempts_is_documented() -> None:
    assert documented("columns.md", "## attempts.csv") == set(ATTEMPT_COLUMNS)


@pytest.mark.parametrize("title", ["## images.csv", "## attempts.csv"])
def test_every_column_of_figures_has_its_unit(title: str) -> None:
    units = {"_px": "pixels", "_bytes": "bytes", "_s": "seconds", "_wh": "Wh", "_mb": "MiB", "_mb_mean": "MiB"}
    units |= {"_mb_max": "MiB", "_percent_mean": "%", "_percent_max": "%", "_w_mean": "W", "started": "UTC"}
    text = (EXAMPLES / "columns.md").read_text(encoding="utf-8").split(title, 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]

    found = {name: unit for cell, _, unit in rows for name in re.findall(r"`(\w+)`", cell)}

    for name, unit in found.items():
        wanted = max((end for end in units if name.endswith(end)), key=len, default="")
        assert units.get(wanted, "") in unit, name
    assert sum(bool(unit) for unit in found.values()) >= 5


def test_what_is_not_measured_names_shares_of_macos_and_plug_in_meters() -> None:
    shares = (EXAMPLES / "not-measured.md").read_text(encoding="utf-8").split("**Shared folders**", 1)[1]

    assert "SMB between two real Macs" in shares
    assert "macOS's own NFS" in shares


def test_every_event_is_documented() -> None:
    told = documented("progress.md", "| `event` | meaning |")

    assert told == {*get_args(EventName), "planned", "stalled", "ended"}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_has_the_options_it_is_given(page: str) -> None:
    for name, *args in commands(page):
        command = app.get_command(click.Context(app), name)
        assert command is not None, name
        known = {option for parameter in command.params for option in parameter.opts}
        assert {arg.split("=")[0] for arg in args if arg.startswith("--")} <= known, (name, args)


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (EXAMPLES / page).read_text(encoding="utf-8")

    assert all((EXAMPLES / target).is_file() for target in re.findall(r"\]\(([a-z-]+\.md)\)", text))
