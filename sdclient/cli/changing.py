"""What a command does where a run was planned otherwise before: show the difference, and ask."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import click

from sdclient.batch.changed import Choice, PlanChange, redo_changed
from sdclient.batch.folder import STATE_FOLDER
from sdclient.cli.talk import is_watched, say
from sdclient.errors import ChangedPlanError, ConfigurationError
from sdclient.files import storage_errors
from sdclient.run import Run
from sdclient.transport import safe_url

F = TypeVar("F", bound=Callable[..., Any])  # click's decorators take and give any function


class ChangingOptions(TypedDict):
    """What `changing` adds, as click hands it over."""

    variant: str | None
    redo_changed: bool


def changing(function: F) -> F:
    """``--variant`` and ``--redo-changed``, of commands that plan."""
    function = click.option(
        "--redo-changed",
        is_flag=True,
        help="Where OUT was planned with other settings: make those images anew; the old ones are kept in "
        ".sdclient/replaced.",
    )(function)
    return click.option(
        "--variant",
        metavar="NAME",
        help="Make everything beside what is in OUT, as fox_NAME_1.png, from the same seeds.",
    )(function)


def open_run(out: Path, run_seed: int | None = None, *, given: ChangingOptions | None = None) -> Run:
    """Open or begin a run that asks, or was told, what to do where it is planned otherwise.

    Args:
        out: The output folder.
        run_seed: The run's seed; None draws one.
        given: What the user said about changes; None, of commands that cannot change a plan, refuses them.

    Raises:
        ConfigurationError: If the run has another seed.
    """
    if given is None:
        run = Run(out, run_seed=run_seed)
    else:
        decide = redo_changed if given["redo_changed"] else _ask
        run = Run(out, run_seed=run_seed, variant=given["variant"] or "", on_change=decide)
    chosen = run.folder.settings.run_seed
    if run_seed not in (None, chosen):
        raise ConfigurationError(
            f"{out}: was begun with --seed {chosen}, which does not change; leave --seed out, or use another folder"
        )
    return run


def has_run(out: Path) -> bool:
    """Tell whether a run was begun in a folder.

    Raises:
        StorageError: If the folder cannot be looked at.
    """
    with storage_errors("look at", out):
        return (out / STATE_FOLDER).is_dir()


def _ask(change: PlanChange) -> Choice:
    """Ask a person; where there is none, refuse with the commands to type."""
    if not (sys.stdin.isatty() and is_watched()):
        raise ChangedPlanError(f"{change}\n{_commands()}")
    say(str(change))
    answer = click.prompt(
        "  [r]edo them, make a [v]ariant beside them, or do [n]othing?",
        type=click.Choice(["r", "v", "n"]),
        default="n",
        show_choices=False,
        err=True,
    )
    if answer == "r":
        return Choice(redo=True)
    if answer == "v":
        return Choice(variant=click.prompt("  name of the variant, such as cfg6", err=True))
    raise ChangedPlanError(f"nothing was changed. Later, or in a script:\n{_commands()}")


def _commands() -> str:
    """Return what can be typed instead, without passwords in addresses."""
    typed = shlex.join(["sdclient", *(safe_url(word) if "://" in word else word for word in sys.argv[1:])])
    return (
        "  make them anew, the old images are kept:\n"
        f"    {typed} --redo-changed\n"
        "  keep them, and make a variant beside them:\n"
        f"    {typed} --variant NAME\n"
        "  or the same command with another output folder"
    )
