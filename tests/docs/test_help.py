"""Every command is listed, helped, and has an example."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import sdclient.cli
from sdclient.cli.app import ALIASES, COMMANDS, app
from tests.conftest import CommandLine

NAMES = [name for group in COMMANDS.values() for name in group]


def test_every_command_that_is_written_is_listed_and_the_other_way_round() -> None:
    folder = Path(sdclient.cli.__file__).parent

    # What several commands share has no function of this name.
    commands = {path.stem for path in folder.glob("*.py") if "\ndef command(" in path.read_text(encoding="utf-8")}
    assert commands == set(NAMES)


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


def commands() -> Iterator[click.Command]:
    context = click.Context(app)
    for name in NAMES:
        command = app.get_command(context, name)
        if isinstance(command, click.Group):
            yield from command.commands.values()
        elif command is not None:
            yield command


def test_every_option_that_may_be_given_several_times_says_so() -> None:
    many = [
        (command.name, option)
        for command in commands()
        for option in command.params
        # Where one server is meant, a second is taken only to be refused.
        if isinstance(option, click.Option) and option.multiple and "The server" not in (option.help or "")
    ]

    silent = [
        (name, option.opts[0])
        for name, option in many
        if not any(word in (option.help or "") for word in ("repeatable", "several"))
    ]

    assert len(many) > 20
    assert silent == []


def test_the_help_of_replay_says_which_server_is_asked_inside_of_a_run_and_outside() -> None:
    command = app.get_command(click.Context(app), "replay")

    assert command is not None
    told = " ".join(command.get_help(click.Context(command)).split())
    assert "Inside a run folder the request is known exactly, and without --url the server that made the image" in told
    assert "no server is known from it: give --url, or SDCLIENT_URL or sdclient.toml names one" in told


@pytest.mark.parametrize(("shell", "word"), [("bash", "complete "), ("zsh", "compdef"), ("fish", "complete ")])
def test_one_command_switches_completion_on(tmp_path: Path, shell: str, word: str) -> None:
    assert word in _as_installed(tmp_path, _SDCLIENT_COMPLETE=f"{shell}_source")


def test_what_is_begun_is_completed(tmp_path: Path) -> None:
    commands = _as_installed(tmp_path, _SDCLIENT_COMPLETE="bash_complete", COMP_WORDS="sdclient re", COMP_CWORD="1")
    options = _as_installed(
        tmp_path, _SDCLIENT_COMPLETE="bash_complete", COMP_WORDS="sdclient report --", COMP_CWORD="2"
    )

    assert {line.split(",")[1] for line in commands.splitlines()} == {"replay", "report", "redo", "retry"}
    assert {"plain,--embed", "plain,--grid", "plain,--open"} <= set(options.splitlines())


def _as_installed(home: Path, **environment: str) -> str:
    """Run the program under the name that it is installed by; a shell's completion goes by that name."""
    program = "import sys; from sdclient.cli import main; sys.argv = ['sdclient']; main()"
    paths = os.pathsep.join(filter(None, sys.path))
    env = {**os.environ, "HOME": str(home), "PYTHONPATH": paths, **environment}
    return subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60, check=True
    ).stdout


def test_a_mistyped_command_names_the_close_one(cli: CommandLine) -> None:
    ended = cli("upscal")

    assert ended.code == 2
    assert "Did you mean upscale?" in ended.stderr
