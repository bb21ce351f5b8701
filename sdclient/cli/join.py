"""``sdclient join``: take part in a run that was begun here or elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdclient.cli import options
from sdclient.cli.fetching import fetch_with_progress
from sdclient.cli.running import Company, RunningOptions, end, work
from sdclient.run import Run

if TYPE_CHECKING:
    from typing_extensions import Unpack


@click.command(epilog="Example:  sdclient join /Volumes/share/UPSCALED --url http://127.0.0.1:7860")
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@options.urls
@click.option("--model", metavar="FILE", help="Where the checkpoint of the run's segmenter lies on this machine.")
@click.option("--device", help="Where to cut out on this machine: cpu, cuda or mps. [default: the best there is]")
@click.option(
    "--in",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the input images lie on this machine, if not where the plan says.",
)
@options.running
def command(
    out: Path,
    urls: tuple[str, ...],
    model: str | None,
    device: str | None,
    folder: Path | None,
    **running: Unpack[RunningOptions],
) -> None:
    """Take part in the run in OUT; nothing has to be typed again.

    Works on the machine where it was begun, to go on, and on any other that sees the folder, to share the work.
    """
    run = Run.open(out)
    settings = run.segment_settings()
    if settings is not None:
        settings = replace(settings, model=model or settings.model, device=device)
    if settings is not None and not fetch_with_progress(settings, dry_run=running["dry_run"]):
        return
    inputs = {} if folder is None else dict.fromkeys(run.input_roots(), folder)
    end(work(run, Company(urls, settings, inputs), running))
