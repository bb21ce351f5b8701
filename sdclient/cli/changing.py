"""What a command does where a run was planned otherwise before: show the difference, and ask."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import click

from sdclient.batch.changed import Choice, PlanChange, redo_changed
from sdclient.batch.folder import STATE_FOLDER
from sdclient.cli.talk import is_watched, say
from sdclient.errors import ChangedPlanError, ConfigurationError
from sdclient.files import command_line, storage_errors
from sdclient.run import Run
from sdclient.transport import safe_url

F = TypeVar("F", bound=Callable[..., Any])  # click's decorators take and give any function


class ChangingOptions(TypedDict):
    """What `changing` adds, as click hands it over."""

    variant: str | None
    redo_changed: bool


REDO_CHANGED = click.option(
    "--redo-changed",
    is_flag=True,
    help="Where OUT was planned with other settings: make those images anew; the old ones are kept in "
    ".sdclient/replaced.",
)


def changing(function: F) -> F:
    """``--variant`` and ``--redo-changed``, of commands that plan."""
    function = REDO_CHANGED(function)
    return click.option(
        "--variant",
        metavar="NAME",
        help="Make everything beside what is in OUT, as fox_NAME_1.png, from the same seeds.",
    )(function)


def open_run(out: Path, run_seed: int | None = None, *, given: ChangingOptions, is_cut: bool = False) -> Run:
    """Open or begin a run that asks, or was told, what to do where it is planned otherwise.

    Args:
        out: The output folder.
        run_seed: The run's seed; None draws one.
        given: What the user said about changes.
        is_cut: Whether its images are cut up: a variant then draws none twice of which only the cut-outs differ.

    Raises:
        ConfigurationError: If the run has another seed.
    """
    decide = redo_changed if given["redo_changed"] else _ask
    run = Run(out, run_seed=run_seed, variant=given["variant"] or "", on_change=decide)
    run.shares_drawings = is_cut
    chosen = run.folder.settings.run_seed
    if run_seed not in (None, chosen):
        raise ConfigurationError(
            f"{out}: was begun with --seed {chosen}, which does not change; leave --seed out, or use another folder"
        )
    return run


def reopen_run(out: Path, given: ChangingOptions) -> Run:
    """Open a run that exists, to look at what it made, or at one of its variants.

    Raises:
        RunFolderError: If there is none.
    """
    Run.open(out)
    return Run(out, variant=given["variant"] or "")


def refuse_changed(change: PlanChange) -> Choice:
    """Refuse a change where there are no variants and nobody is asked, with the commands to type.

    Raises:
        ChangedPlanError: Always.
    """
    raise ChangedPlanError(f"{change}\n{_commands(has_variants=False)}")


def has_run(out: Path) -> bool:
    """Tell whether a run was begun in a folder.

    Raises:
        StorageError: If the folder cannot be looked at.
    """
    with storage_errors("look at", out):
        return (out / STATE_FOLDER).is_dir()


def ask_to_redo(change: PlanChange) -> Choice:
    """Ask a person where there are no variants; where there is nobody, refuse with the commands to type.

    Raises:
        ChangedPlanError: If nothing shall be done.
    """
    return _ask(change, has_variants=False)


def _ask(change: PlanChange, *, has_variants: bool = True) -> Choice:
    """Ask a person; where there is none, refuse with the commands to type."""
    commands = _commands(has_variants=has_variants)
    if change.is_overtaken or not (sys.stdin.isatty() and is_watched()):
        raise ChangedPlanError(f"{change}\n{commands}")
    say(str(change))
    variant = " make a [v]ariant beside them," if has_variants else ""
    answer = click.prompt(
        f"  [r]edo them,{variant} or do [n]othing?",
        type=click.Choice(["r", "v", "n"] if has_variants else ["r", "n"]),
        default="n",
        show_choices=False,
        err=True,
    )
    if answer == "r":
        return Choice(redo=True)
    if answer == "v":
        return Choice(variant=click.prompt("  name of the variant, such as cfg6", err=True))
    raise ChangedPlanError(f"nothing was changed. Later, or in a script:\n{commands}")


def _commands(*, has_variants: bool = True) -> str:
    """Return what can be typed instead, without passwords in addresses."""
    typed = [safe_url(word) if "://" in word else word for word in sys.argv[1:]]
    beside = _line([*_without_variant(typed), "--variant", "NAME"])
    variant = f"  keep them, and make a variant beside them:\n    {beside}\n" if has_variants else ""
    return (
        "  make them anew, the old images are kept:\n"
        f"    {_line([*typed, '--redo-changed'])}\n"
        f"{variant}"
        "  or the same command with another output folder"
    )


def _line(words: list[str]) -> str:
    return command_line("sdclient", *words)


def _without_variant(words: list[str]) -> list[str]:
    """Leave out a variant's name that was typed: another one takes its place."""
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if "--variant" not in (before, word.partition("=")[0])
    ]
