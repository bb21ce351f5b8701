"""``sdclient serve``: the page of a run, live."""

from __future__ import annotations

import ipaddress
import webbrowser
from pathlib import Path

import click

from sdclient.batch.folder import RunFolder
from sdclient.cli.talk import emit, say
from sdclient.report.serve import DEFAULT_PORT, LOOPBACK, PageServer


@click.command(epilog="Example:  sdclient serve OUT --open")
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen at; 0 takes a free one.",
)
@click.option(
    "--host", default=LOOPBACK, show_default=True, help="Address to listen at; 0.0.0.0 shows it to the network."
)
@click.option("--open", "is_opened", is_flag=True, help="Open the page in a browser.")
@click.option("--json", "as_json", is_flag=True, help="Tell the address as one JSON object.")
def command(out: Path, *, port: int, host: str, is_opened: bool, as_json: bool) -> None:
    """Show the run in OUT as a page that keeps itself up to date, until Ctrl-C.

    It sees the work of every machine that shares the folder, and changes nothing. Whoever has the whole address,
    with the token in it, can look; nobody else can.
    """
    with PageServer(RunFolder.open(out), host=host, port=port) as server:
        if not _is_loopback(host):
            say(f"listening at {host}: everybody in this network who has the address sees the images")
        if as_json:
            emit({"url": server.url})
        else:
            click.echo(server.url)
            say("Ctrl-C ends it")
        if is_opened:
            webbrowser.open(server.url)
        server.serve()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
