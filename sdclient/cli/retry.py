"""``sdclient retry``: let jobs that were set aside be tried again."""

from __future__ import annotations

from pathlib import Path

import click

from sdclient.cli.joining import join_command
from sdclient.cli.talk import emit, plural, say
from sdclient.files import command_line
from sdclient.run import Run


@click.command(
    epilog="Example:  sdclient retry OUT '*Greek*'\n\nThen `sdclient join OUT`, or the command that began the run."
)
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def command(out: Path, patterns: tuple[str, ...], *, as_json: bool) -> None:
    """Let jobs that were set aside in OUT be tried again, all or those whose place or name fits a PATTERN.

    Mend the cause first: the input, the file in the way, or the server.
    """
    run = Run.open(out)
    jobs = run.retry(*patterns)
    if as_json:
        emit({"retried": [job.place for job in jobs], "join": join_command(run) if jobs else None})
        return
    for job in jobs:
        click.echo(job.place)
    if jobs:
        say(f"{plural(len(jobs), 'job')} may be tried again; to try: {join_command(run)}")
    else:
        say(_nothing(out, len(run.status().set_aside)))


def _nothing(out: Path, set_aside: int) -> str:
    if not set_aside:
        return f"{out}: nothing is set aside, so there is nothing to retry"
    return (
        f"{out}: {plural(set_aside, 'job')} set aside, and none that fits, or only such as wait for an input that was "
        f"set aside: {command_line('sdclient', 'status', out)} lists them"
    )
