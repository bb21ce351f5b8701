"""Every command is listed, helped, and has an example."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

import sdclient.cli
from sdclient.cli.app import ALIASES, COMMANDS, app
from tests.conftest import CommandLine

NAMES = [name for group in COMMANDS.values() for name in group]
NO_COMMANDS = {"__init__", "app", "changing", "cluster", "cutouts", "fetching", "options", "running", "single",
               "stepbar", "stopping", "talk"}  # fmt: skip


def test_every_module_of_the_command_line_is_a_listed_command() -> None:
    folder = Path(sdclient.cli.__file__).parent

    assert {path.stem for path in folder.glob("*.py")} - NO_COMMANDS == set(NAMES)


@pytest.mark.parametrize("name", [*NAMES, *ALIASES])
def test_every_command_has_a_help_text_with_an_example(name: str) -> None:
    context = click.Context(app, info_name="sdclient")
    command = app.get_command(context, name)

    assert command is not None
    text = command.get_help(click.Context(command, info_name=name, parent=context))
    assert "Example" in text
    assert f"sdclient {ALIASES.get(name, name)}" in text
    assert all(
        parameter.help
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.name != "output"
    )


def test_the_top_level_help_fits_one_screen(cli: CommandLine) -> None:
    ended = cli("--help")

    assert ended.code == 0
    assert len(ended.stdout.splitlines()) <= 40
    assert all(name in ended.stdout for name in NAMES)


def test_no_line_of_the_commands_of_payload_is_cut_short(cli: CommandLine) -> None:
    ended = cli("payload", "--help")

    assert "  snapshot" in ended.stdout
    assert not [line for line in ended.stdout.splitlines() if line.endswith("...") and "ARGS" not in line]


@pytest.mark.parametrize("name", ["generate", "upscale", "segment", "join"])
def test_help_shows_what_everybody_wants_before_what_a_cluster_needs(name: str) -> None:
    command = app.get_command(click.Context(app), name)

    assert command is not None
    names = [parameter.name for parameter in command.params]
    assert names.index("limit") < names.index("as_json") < names.index("engine")


@pytest.mark.parametrize("name", ["txt2img", "img2img", "replay"])
def test_what_takes_one_server_does_not_offer_several(name: str) -> None:
    command = app.get_command(click.Context(app), name)

    assert command is not None
    assert "several" not in command.get_help(click.Context(command))


def test_a_mistyped_command_names_the_close_one(cli: CommandLine) -> None:
    ended = cli("upscal")

    assert ended.code == 2
    assert "Did you mean upscale?" in ended.stderr
