"""``sdclient generate``: draw a list of prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdclient.cli import options
from sdclient.cli.changing import ChangingOptions, changing, open_run
from sdclient.cli.cutouts import ThenOptions, then_options, then_segment
from sdclient.cli.running import Company, RunningOptions, end, work
from sdclient.prompts import likely_slips, read_prompts
from sdclient.schemas import Txt2Img
from sdclient.schemas.sets import apply_sets

if TYPE_CHECKING:
    from typing_extensions import Unpack


class GenerateOptions(RunningOptions, options.VersionOptions, ThenOptions, ChangingOptions):
    """The options that other commands have, too."""


@click.command(
    epilog="Example:  sdclient generate prompts.csv --payload sdxl-refiner-ultrasharp --out OUT\n\n"
    "A .txt file holds one prompt a line; .csv and .jsonl have a column prompt, and may have name, negative_prompt, "
    "seed, any other field of a request (controls[0].weight), and columns of your own.\n\n"
    "Of the columns:  sdclient generate nations.csv --set 'prompt={nation} family at home, {light}' --vary steps=20,30 --out OUT"
)
@click.argument("prompts", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@options.out_folder
@options.urls
@options.payload
@options.versions
@then_options
@changing
@options.running
def command(
    prompts: Path,
    out: Path,
    urls: tuple[str, ...],
    payload: str | None,
    sets: tuple[str, ...],
    **given: Unpack[GenerateOptions],
) -> None:
    """Draw every prompt of a list.

    The same command again goes on where it stopped, and does nothing when all is done.
    """
    plain, words = options.wording(sets, given)
    request = apply_sets(Txt2Img.load(payload) if payload else Txt2Img(), plain)
    rows = read_prompts(prompts, needs_prompt="prompt" not in words["templates"])
    run = open_run(out, given=given, is_cut=given["then"] is not None).add(rows, request, **words)
    run.remarks += likely_slips(rows, Txt2Img)
    segmenter = then_segment(run, given, dry_run=given["dry_run"])
    end(work(run, Company(urls, segmenter), given))
