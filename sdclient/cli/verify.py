"""``sdclient verify``: check every image of a run against its record."""

from __future__ import annotations

from pathlib import Path

import click

from sdclient.cli.app import EXIT_FAILED
from sdclient.cli.joining import planned_again
from sdclient.cli.talk import emit, plural, say
from sdclient.files import command_line
from sdclient.run import Run


@click.command(epilog="Example:  sdclient verify OUT --repair")
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option("--quick", is_flag=True, help="Compare hashes only; decode nothing.")
@click.option(
    "--repair", is_flag=True, help="Plan what is damaged, missing or outdated once more; `sdclient join` makes it."
)
@click.option("--yes", is_flag=True, help="Do not ask before --repair.")
@click.option(
    "--in",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the input images lie on this machine, if not where the plan says.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding instead of text.")
def command(out: Path, folder: Path | None, *, quick: bool, repair: bool, yes: bool, as_json: bool) -> int:
    """Check that every file of OUT is there, is the one its record names and decodes, and was made from what is there now.

    Exit code: 0 nothing is wrong, 1 something is, also where --repair plans it once more.
    """
    run = Run.open(out)
    inputs = {} if folder is None else dict.fromkeys(run.input_roots(), folder)
    findings = run.verify(inputs=inputs, decode=not quick)
    for one in findings:
        if as_json:
            emit({"place": one.place, "flaw": one.flaw, "message": one.message, "repairable": one.is_repairable})
        else:
            click.echo(one.message)
    broken = [one for one in findings if one.is_repairable]
    counts = run.status().counts
    if not findings:
        say(
            f"{out}: {counts.done} of {plural(counts.jobs, 'job')} done; all their files are there and what their records say"
        )
    elif broken and not repair:
        say(f"{len(broken)} can be made again: {command_line('sdclient', 'verify', out, '--repair')}")
    if repair and broken and (yes or _agreed(len(broken))):
        redone = run.repair(findings)
        for text in redone.left_out:
            say(text)
        if redone.jobs:
            say(planned_again(run, len(redone.jobs)))
    return EXIT_FAILED if findings else 0


def _agreed(number: int) -> bool:
    try:
        return click.confirm(f"Plan {plural(number, 'file')} once more?", err=True)
    except click.Abort as exc:
        # click makes one of Ctrl-C and the end of the answers; only the first means "stop".
        if not isinstance(exc.__context__, EOFError):
            raise
        say()
        raise click.UsageError("nobody answers here, so nothing is planned; with --yes nobody is asked") from None
