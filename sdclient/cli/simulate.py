"""``sdclient simulate``: start a simulated server."""

from __future__ import annotations

import json

import click

from sdclient.cli.numbers import NumberRange
from sdclient.cli.talk import emit, say
from sdclient.errors import ConfigurationError
from sdclient.simulator import DIALECTS, FAULTS, Simulator

_WIDTH = max(len(name) for name in FAULTS)
_FAULT_LINES = "\n".join(f"  {name:<{_WIDTH}}  {line}" for name, line in FAULTS.items())
_EPILOG = f"""\b
Examples:
  sdclient simulate --dialect drawthings --port 7860 --delay 2
  sdclient simulate --fault reset:p=0.02 --fault black:p=0.01 --seed 7
\b
Faults, as NAME[:p=SHARE][,n=NUMBER][,s=SECONDS][,mb=SIZE][,on=all]:
  p is the share of the requests that get it (1), n the one request that does;
  only requests that make images are hit, unless on=all is given.
\b
{_FAULT_LINES}
"""


@click.command(epilog=_EPILOG)
@click.option("--dialect", type=click.Choice(DIALECTS), default="a1111", show_default=True, help="Whom to play.")
@click.option("--server-version", default="", metavar="V", help="Which version of it, for example 1.8 of a1111.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0 takes a free one.")
@click.option("--delay", type=NumberRange(0), default=0.0, metavar="S", help="Seconds of painting per image.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything that is left to chance.")
@click.option("--auth", metavar="USER:PASSWORD", help="Ask for these credentials (A1111, Forge, SD.Next).")
@click.option("--fault", "faults", multiple=True, metavar="NAME[:p=SHARE]", help="What goes wrong; repeatable.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A server setting; VALUE is JSON or text; repeatable.",
)
@click.option("--prerendered", is_flag=True, help="Paint each size once: costs no processor time, for benches.")
@click.option("--json", "as_json", is_flag=True, help="Tell the address as one JSON object on stdout.")
def command(
    *,
    dialect: str,
    server_version: str,
    host: str,
    port: int,
    delay: float,
    seed: int,
    auth: str | None,
    faults: tuple[str, ...],
    options: tuple[str, ...],
    prerendered: bool,
    as_json: bool,
) -> None:
    """Start a server that behaves like a real one, paints simple pictures, and needs no GPU."""
    pair, settings = _pair(auth), dict(_setting(option) for option in options)
    try:
        simulator = Simulator(
            dialect,
            host=host,
            port=port,
            delay_s=delay,
            auth=pair,
            seed=seed,
            options=settings,
            version=server_version,
            faults=faults,
            prerendered=prerendered,
        )
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    _serve(simulator, f"{host}:{port}", as_json=as_json)


def _serve(simulator: Simulator, address: str, *, as_json: bool) -> None:
    try:
        simulator.start()
    except OSError as exc:
        raise ConfigurationError(f"{address}: cannot listen here ({exc}); choose another --port") from exc
    try:
        # A Ctrl-C right after these words must find the way out, too: the server's threads would live on.
        if as_json:
            emit({"simulated": simulator.dialect, "url": simulator.url})
        say(f"SIMULATED {simulator.dialect} server at {simulator.url} (Ctrl-C ends it)")
        simulator.serve_forever()
    except KeyboardInterrupt:
        say()
    finally:
        simulator.stop()


def _pair(auth: str | None) -> tuple[str, str] | None:
    if auth is None:
        return None
    user, colon, password = auth.partition(":")
    if not colon:
        raise click.UsageError("--auth: write it as user:password")
    return user, password


def _setting(option: str) -> tuple[str, object]:
    key, equals, value = option.partition("=")
    if not equals:
        raise click.UsageError("--option: write it as KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
