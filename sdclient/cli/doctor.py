"""``sdclient doctor``: look at servers, payloads and folders, and say what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from sdclient.cli import options
from sdclient.cli.talk import emit, plural, say
from sdclient.doctor import (
    Finding,
    findings_text,
    look_around,
    look_at_folder,
    look_at_machine,
    look_at_server,
    probe_server,
)


@click.command(epilog="Example:  sdclient doctor http://mac.local:7860 --payload bake --folder UPSCALED")
@click.argument("url", required=False)
@options.payload
@options.dialect
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The output folder to try out. [default: the folder you are in]",
)
@click.option("--probe", is_flag=True, help="Draw a few small images to find what is silently ignored; needs URL.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
def command(
    url: str | None,
    payload: str | None,
    sets: tuple[str, ...],
    dialect: str | None,
    folder: Path | None,
    *,
    probe: bool,
    as_json: bool,
) -> int:
    """Look at a server, a payload and a folder, and say what is wrong.

    Without URL it looks for servers at the usual ports of this machine; with --folder alone, at the folder only.

    Exit code: 0 nothing is wrong (there may be notes), 2 something is, 3 no server answers.
    """
    if sets and payload is None:
        raise click.UsageError("--set changes a payload: name it with --payload")
    if url is None and (probe or dialect is not None):
        raise click.UsageError(f"{'--probe' if probe else '--dialect'} is for one server: name it")
    findings: list[Finding] = []
    if url is not None:
        findings += look_at_server(url, payload, sets, dialect=dialect)
        has_answered = findings[0].level == "good"
        findings += probe_server(url, payload, sets, dialect=dialect) if probe and has_answered else []
    elif folder is None or payload is not None:
        findings += look_around(payload, sets)
    findings += look_at_folder(folder) if folder is not None else _working_folder()
    findings.append(look_at_machine())
    _tell(findings, as_json=as_json)
    return _exit_code(findings)


def _working_folder() -> Iterator[Finding]:
    # Nobody said that images shall go here: what it cannot do is no fault yet.
    for one in look_at_folder(Path()):
        level = "note" if one.level == "wrong" else one.level
        yield replace(one, level=level, subject="this folder")


def _tell(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        for one in findings:
            emit(one.to_json())
        return
    click.echo(findings_text(findings))
    wrong = sum(one.level in ("wrong", "no server") for one in findings)
    say(_summary(wrong, sum(one.level == "note" for one in findings)))


def _summary(wrong: int, notes: int) -> str:
    """Return the last line. A note may be a file that is missing, so it is not passed over for a server that draws."""
    to_read = f"{plural(notes, 'note')} to read"
    if wrong:
        return f"{plural(wrong, 'thing')} to mend" + (f", {to_read}" if notes else "")
    return f"nothing must be mended; {to_read}" if notes else "nothing is wrong"


def _exit_code(findings: list[Finding]) -> int:
    if any(one.level == "no server" for one in findings):
        return 3
    return 2 if any(one.level == "wrong" for one in findings) else 0
