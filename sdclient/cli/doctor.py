"""``sdclient doctor``: look at servers, payloads and folders, and say what is wrong."""

from __future__ import annotations

from pathlib import Path

import click

from sdclient.cli import options
from sdclient.cli.talk import emit
from sdclient.doctor import Finding, look_around, look_at_folder, look_at_server, probe_server


@click.command(epilog="Example:  sdclient doctor http://mac.local:7860 --payload bake --folder UPSCALED")
@click.argument("url", required=False)
@options.payload
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="An output folder to try out.")
@click.option("--probe", is_flag=True, help="Draw a few small images to find what is silently ignored; needs URL.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
def command(
    url: str | None, payload: str | None, sets: tuple[str, ...], folder: Path | None, *, probe: bool, as_json: bool
) -> int:
    """Look at a server, a payload and a folder, and say what is wrong.

    Without URL it looks for servers at the usual ports of this machine.
    """
    findings = look_around(payload, sets) if url is None and folder is None else []
    if probe and url is None:
        raise click.UsageError("--probe draws on one server: name it")
    if url is not None:
        findings += look_at_server(url, payload, sets)
        findings += probe_server(url, payload, sets) if probe else []
    if folder is not None:
        findings += look_at_folder(folder)
    for one in findings:
        if as_json:
            emit(one.to_json())
        else:
            click.echo(str(one))
    return _exit_code(findings)


def _exit_code(findings: list[Finding]) -> int:
    if any(one.level == "no server" for one in findings):
        return 3
    return 2 if any(one.level == "wrong" for one in findings) else 0
