"""``sdclient interleave``: every prompt of a text in every style, each image growing out of one before it."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdclient.cli import options
from sdclient.cli.changing import ChangingOptions, changing, open_run, reopen_run
from sdclient.cli.running import Company, RunningOptions, end, work
from sdclient.cli.talk import emit, is_watched, say
from sdclient.errors import StorageError
from sdclient.recipes.interleave import (
    InterleavePlan,
    build_grids,
    load_interleave,
    plan_interleave,
    read_chapters,
    request_of,
)
from sdclient.recipes.interleave.config import GenerationConfig
from sdclient.recipes.interleave.plan import PAYLOAD
from sdclient.recipes.interleave.preview import PreviewPage
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from sdclient.schemas.sets import apply_sets

if TYPE_CHECKING:
    from typing_extensions import Unpack


class InterleaveOptions(RunningOptions, ChangingOptions):
    """The options that other commands have, too."""


@click.command(
    epilog="Example:  sdclient interleave series.toml --out SERIES --url http://127.0.0.1:7860\n\n"
    "The configuration holds the blocks prompt_config, generation_config and style_configs; TOML, YAML or JSON."
)
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@options.out_folder
@options.urls
@click.option("--payload", default=PAYLOAD, show_default=True, metavar="FILE", help="How one image is drawn.")
@click.option("--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Change a field of that payload; repeatable.")
@click.option(
    "--seed", "run_seed", type=click.IntRange(0, 2**32 - 1), help="Seed of a new run; each image's follows from it."
)
@click.option("--documents-only", is_flag=True, help="Build the grids again from what is there; no server is asked.")
@changing
@options.running
def command(
    config: Path,
    out: Path,
    urls: tuple[str, ...],
    payload: str,
    sets: tuple[str, ...],
    run_seed: int | None,
    *,
    documents_only: bool,
    **running: Unpack[InterleaveOptions],
) -> None:
    """Draw every prompt of a text in every style; each image may grow out of the one before.

    The same command again goes on where it stopped, in the middle of a chain if need be.
    """
    wanted = load_interleave(config)
    generation = wanted.generation_config
    found = read_chapters(wanted.prompt_config, config.parent)
    for text in (*wanted.remarks(), *found.remarks):
        say(f"note: {text}")
    # What --set says wins over the configuration, and that over the payload.
    request = apply_sets(request_of(Txt2Img.load(payload), generation), sets)
    plan = plan_interleave(wanted, found.chapters, request)
    run = reopen_run(out, running) if documents_only else open_run(out, run_seed, given=running).add_jobs(plan.jobs)
    code = 0 if documents_only else _work(run, Company(urls), generation, running)
    if not running["dry_run"]:
        _tell(run, plan, generation, as_json=running["as_json"])
    end(code)


def _work(run: Run, company: Company, generation: GenerationConfig, running: RunningOptions) -> int:
    if not generation.shows_preview or running["dry_run"]:
        return work(run, company, running)
    try:
        preview = PreviewPage(run.out, generation.preview_max_windows)
    except StorageError as exc:
        # A preview is not worth an image.
        say(f"note: no preview: {exc}")
        return work(run, company, running)
    say(f"preview: {preview.path}")
    if is_watched() and not running["as_json"]:
        webbrowser.open(preview.path.resolve().as_uri())
    try:
        return work(run, company, running, also=preview)
    finally:
        preview.close()


def _tell(run: Run, plan: InterleavePlan, generation: GenerationConfig, *, as_json: bool) -> None:
    built = build_grids(run, plan, generation)
    for text in (*built.missing, *built.remarks):
        say(f"note: {text}")
    if as_json:
        emit({"event": "documents", "files": [str(path) for path in built.grids], "missing": list(built.missing)})
        return
    for path in built.grids:
        click.echo(path)
