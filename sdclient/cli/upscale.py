"""``sdclient upscale``: draw over every image of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from sdclient.cli import options
from sdclient.cli.changing import ChangingOptions, changing, open_run
from sdclient.cli.cutouts import ThenOptions, then_options, then_segment
from sdclient.cli.running import Company, RunningOptions, end, work
from sdclient.cli.talk import say
from sdclient.planning import Order
from sdclient.schemas import Img2Img
from sdclient.schemas.sets import apply_sets

if TYPE_CHECKING:
    from typing_extensions import Unpack


class UpscaleOptions(RunningOptions, options.VersionOptions, ThenOptions, ChangingOptions):
    """The options that other commands have, too."""


@click.command(
    epilog="Example:  sdclient upscale GENERATIONS UPSCALED --payload bake --url http://mac.local:7860\n\n"
    "Run the same command on another machine, or `sdclient join UPSCALED`, to share the work.\n\n"
    "A prompt for each image:  sdclient upscale GENERATIONS UPSCALED --payload bake --prompts table.csv "
    "--set 'prompt={nation} family at home, {prompt}'\n\n"
    "While another program draws:  sdclient upscale GENERATIONS UPSCALED --payload bake --watch --idle-exit 5"
)
@click.argument("folder", metavar="IN", type=options.ImagesFolder("sdclient img2img draws over a single image"))
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@options.urls
@options.payload
@options.size_and_fit
@options.order
@click.option(
    "--prompts",
    metavar="FROM",
    help="A prompt for each image: sidecar (fox.txt beside fox.png), metadata (prompt, negative prompt and seed that the "
    "image itself tells), or a CSV or JSONL file with a column image and any of prompt, negative, seed, other fields "
    "(controls[0].weight), and columns of your own. What an image lacks it takes from --payload and --set; a prompt "
    "set with {names} in braces is filled from the columns, {stem} and {folder} ({{ is a brace).",
)
@options.versions
@click.option(
    "--import-log",
    "old_log",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A plain list of images of IN that another program has drawn over into OUT (logfile_upscales.txt): what is listed, "
    "there and sound counts as done; what is listed and broken is made again.",
)
@options.watching
@then_options
@changing
@options.running
def command(
    *,
    folder: Path,
    out: Path,
    urls: tuple[str, ...],
    payload: str | None,
    sets: tuple[str, ...],
    size: str | None,
    fit: Literal["pad", "crop"],
    order: Order,
    prompts: str | None,
    old_log: Path | None,
    is_watching: bool,
    idle_exit_s: float | None,
    **given: Unpack[UpscaleOptions],
) -> None:
    """Draw over every image below IN; results go to OUT, in the same folders.

    The same command again goes on where it stopped, and does nothing when all is done.
    """
    if not payload:
        raise click.UsageError("say how: --payload bake, creative-upscale-200, or a file of your own")
    plain, words = options.wording(sets, given)
    request = apply_sets(Img2Img.load(payload), plain)
    watch = options.watch(is_watching=is_watching, idle_exit_s=idle_exit_s)
    run = open_run(out, given=given, is_cut=given["then"] is not None)
    run.add_folder(folder, request, size=size, fit=fit, order=order, prompts=prompts, watch=watch, **words)
    if old_log is not None:
        for text in run.import_log(old_log, is_dry=given["dry_run"]).sentences():
            say(text)
    segmenter = then_segment(run, given, dry_run=given["dry_run"])
    end(work(run, Company(urls, segmenter), given))
