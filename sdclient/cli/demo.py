"""``sdclient demo``: run the whole chain once against a simulated server."""

from __future__ import annotations

import time
from pathlib import Path

import click

from sdclient.cli import options
from sdclient.cli.app import EXIT_INTERRUPTED
from sdclient.cli.talk import Progress, duration, emit, say
from sdclient.demo import DemoResult, run_demo
from sdclient.files import command_line
from sdclient.simulator import DIALECTS

_SHOWN = 5


@click.command(epilog="Example:  sdclient demo --out demo")
@options.out_folder
@click.option("--dialect", type=click.Choice(DIALECTS), default="drawthings", show_default=True, help="Whom to play.")
@click.option("--json", "as_json", is_flag=True, help="Tell the result as one JSON object.")
def command(out: Path, dialect: str, *, as_json: bool) -> int:
    """Queue two nations, generate, bake and cut out, on a simulated server; kill a worker half-way and go on.

    Run again, it finds everything done and sends no request.
    """
    began = time.monotonic()
    progress = Progress(24, 0, as_json=False)
    try:
        result = run_demo(out, dialect, say, progress)
    except KeyboardInterrupt:
        progress.close()
        again = command_line("sdclient", "demo", "--out", out, "--dialect", dialect)
        say(f"\nstopped; the same command goes on: {again}")
        return EXIT_INTERRUPTED
    finally:
        progress.close()
    if as_json:
        emit({name: getattr(result, name) for name in DemoResult.__slots__})
    else:
        _tell(result, out, time.monotonic() - began)
    return 1 if result.lost or result.done_twice else 0


def _tell(result: DemoResult, out: Path, wall_s: float) -> None:
    lines = [
        "The server was SIMULATED: it paints simple pictures and needs no GPU.",
        (
            f"made {result.made}, baked {result.baked}, cut out {result.cutouts} objects of {result.cut_up} images "
            "(classical OpenCV segmenter, not SAM)"
        ),
        f"lost {result.lost}, done twice {result.done_twice}, requests sent {result.requests}"
        + _repeated(result)
        + f", in {duration(wall_s)}",
        f"look at: {out / 'generated'}, {out / 'baked'}, {out / 'cutouts'}; {out / 'images.csv'}, {out / 'attempts.csv'}",
        (
            "your own server: sdclient doctor http://127.0.0.1:7860, then: "
            "sdclient nations --out STUDY --url http://127.0.0.1:7860"
        ),
    ]
    if result.missing:
        shown = ", ".join(result.missing[:_SHOWN])
        more = f" and {len(result.missing) - _SHOWN} more" if len(result.missing) > _SHOWN else ""
        lines = [
            f"missing or changed: {shown}{more}",
            f"make them again: {command_line('sdclient', 'verify', out, '--repair')}, then this command",
        ]
    click.echo("\n".join(lines))


def _repeated(result: DemoResult) -> str:
    again = result.requests - result.made - result.baked
    return f" ({again} under way when the worker was killed, and sent again)" if again > 0 else ""
