"""``sdclient segment``: cut every object out of every image of a folder."""

from __future__ import annotations

import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from sdclient.cli import options
from sdclient.cli.changing import ChangingOptions, changing, has_run, open_run
from sdclient.cli.cutouts import CutoutOptions, choosing, cutout_settings, finding, writing
from sdclient.cli.fetching import fetch_with_progress, missing_model_first
from sdclient.cli.running import Company, RunningOptions, end, refuse_device_elsewhere, work
from sdclient.cli.talk import byte_size, emit, is_watched, plural, say
from sdclient.planning import Order
from sdclient.run import Run
from sdclient.segment import read_prompts
from sdclient.steps.segment import KINDS, SegmenterLane

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SegmentOptions(CutoutOptions, RunningOptions, ChangingOptions):
    """The options that other commands have, too."""


@click.command(
    epilog="Example:  sdclient segment UPSCALED CUTOUTS --model vit_b\n\n"
    "By word:  sdclient segment UPSCALED CUTOUTS --words person,hair,cap --model MODELS"
)
@click.argument("folder", metavar="IN", type=options.ImagesFolder("put a single image into a folder of its own"))
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@options.order
@options.watching
@finding
@click.option(
    "--prompts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Cut out what boxes and points in this CSV or JSON file show, image by image.",
)
@choosing
@writing
@changing
@options.running_without_servers
def command(
    *,
    folder: Path,
    out: Path,
    order: Order,
    is_watching: bool,
    idle_exit_s: float | None,
    prompts: Path | None,
    **given: Unpack[SegmentOptions],
) -> None:
    """Cut every object out of every image below IN.

    Each object becomes one PNG as large as its image, at the same position, and everything else transparent;
    objects.json beside them holds boxes, areas, scores and masks, and OUT/objects.csv lists all of them.
    At a terminal it asks after the first image whether to go on; not with --engine ray.
    """
    if given["words"] is not None and prompts:
        raise click.UsageError("--words and --prompts both say what to cut out: give one of them")
    settings = cutout_settings(given)
    refuse_device_elsewhere(given["engine"], settings)
    asked_for = None if prompts is None else read_prompts(prompts)
    watch = options.watch(is_watching=is_watching, idle_exit_s=idle_exit_s)
    run = open_run(out, given=given)
    with missing_model_first(settings):
        run.add_cutouts(folder, settings, prompts=asked_for, order=order, watch=watch)
    # Fetched when nothing stands in the way, and before a plan is written, which must not hold what cannot be opened.
    if not fetch_with_progress(settings, dry_run=given["dry_run"]):
        return
    segmenter = settings if has_run(out) else SegmenterLane(settings, takes_prompts=prompts is not None)
    look = FirstLook(run, as_json=given["as_json"])
    end(work(run, Company(segmenter=segmenter), given, after_first=look if look.is_new else None))


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What the first image of a run says about the others: told, and asked about where a person is there.

    Attributes:
        run: The run.
        as_json: Whether to speak JSON.
    """

    run: Run
    as_json: bool

    @property
    def is_new(self) -> bool:
        """True where no image of the run is cut up yet, and more than one is to be."""
        jobs = [job for job in self.run.jobs() if job.kind in KINDS]
        return len(jobs) > 1 and not self.run.folder.read_done() & {job.id for job in jobs}

    def __call__(self) -> bool:
        """Tell what is to come; return whether to go on."""
        plan = self.run.folder.read_plan()
        first = next((record for record in self.run.folder.records() if plan.jobs[record.job].kind in KINDS), None)
        if first is None:
            # OUT holds drawings, too, and the first job was one of those: it tells nothing of cut-outs.
            return True
        left = self.run.status().counts.left
        objects = cast("int", first.facts["objects"])
        size = sum(one.size_bytes for one in first.files)
        free = shutil.disk_usage(self.run.out).free
        if self.as_json:
            emit({"event": "first_image", "objects": objects, "files": len(first.files), "size_bytes": size,
                  "estimated_bytes": size * left, "free_bytes": free})  # fmt: skip
            return True
        say(
            f"the first image has {plural(objects, 'object')}: {plural(len(first.files), 'file')}, {byte_size(size)}. "
            f"{left} more like it take about {byte_size(size * left)} of {byte_size(free)} free"
        )
        return not (sys.stdin.isatty() and is_watched()) or _agreed()


def _agreed() -> bool:
    # Here Ctrl-C means no; elsewhere it lets what runs be finished.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return click.confirm("Go on?", default=True, err=True)
    except click.Abort:
        return False
    finally:
        signal.signal(signal.SIGINT, before)
