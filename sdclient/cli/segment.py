"""``sdclient segment``: cut every object out of every image of a folder; and ``--then segment`` of the drawing commands."""

from __future__ import annotations

import logging
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from sdclient.batch.folder import STATE_FOLDER
from sdclient.cli import options
from sdclient.cli.changing import ChangingOptions, changing, open_run
from sdclient.cli.running import Company, RunningOptions, end, work
from sdclient.cli.talk import byte_size, emit, is_watched, say
from sdclient.planning import Order
from sdclient.run import Run
from sdclient.segment import SegmentSettings, read_prompts
from sdclient.segment.settings import OUTPUTS
from sdclient.steps.segment import KINDS, SegmenterLane
from sdclient.weights import provide_weights

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from sdclient.segment.settings import Nested

F = TypeVar("F", bound=Callable[..., Any])  # click's decorators take and give any function

_MODEL_HELP = (
    "vit_b, vit_l or vit_h (Segment Anything, fetched once), a checkpoint file of it, classical (OpenCV without weights, "
    "for plain backgrounds), or a plug-in's name; with --words the folder of their models."
)


def finding(function: F) -> F:
    """Add the options that say how objects are found."""
    for option in (
        click.option("--model", required=True, metavar="MODEL", help=_MODEL_HELP),
        click.option("--device", help="cpu, cuda or mps. [default: the best there is]"),
        click.option(
            "--points-per-side", type=click.IntRange(1), default=32, show_default=True, help="Points asked, squared."
        ),
        click.option("--points-per-batch", type=click.IntRange(1), default=64, show_default=True,
                     help="Points asked at once; fewer need less of a GPU's memory, the masks are the same."),
        click.option("--pred-iou-thresh", type=click.FloatRange(0, 1), default=0.88, show_default=True,
                     help="Drop masks that Segment Anything itself rates lower."),
        click.option("--stability-score-thresh", type=click.FloatRange(0, 1), default=0.95, show_default=True,
                     help="Drop masks that change more with their threshold."),
        click.option("--crop-n-layers", type=click.IntRange(0), default=0, show_default=True,
                     help="1 looks at the image's quarters too, 2 at its sixteenths as well: small things, and time."),
        click.option("--words", metavar="LIST", help="Cut out what these words name, such as person,hair=0.2,cap."),
        click.option(
            "--prompts",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Cut out what boxes and points in this CSV or JSON file show, image by image.",
        ),
        click.option("--option", "extra", multiple=True, metavar="NAME=VALUE", help="An option of a plug-in."),
    ):  # fmt: skip
        function = option(function)
    return function


def choosing(function: F) -> F:
    """Add the options that say which objects are kept."""
    share = click.FloatRange(0, 1)
    for option in (
        click.option("--top", "top_n", type=click.IntRange(1), metavar="N", help="Keep only the N largest objects."),
        click.option("--min-area", "min_area_fraction", type=share, default=0.0005, show_default=True,
                     help="Smallest share of the image an object may have."),
        click.option("--max-area", "max_area_fraction", type=share, default=0.9, show_default=True,
                     help="Largest share of the image an object may have."),
        click.option("--min-score", type=share, default=0.0, show_default=True, help="Lowest score."),
        click.option("--drop-border", is_flag=True, help="Leave out what reaches the image's edge."),
        click.option("--nested", type=click.Choice(["both", "wholes", "parts"]), default="both", show_default=True,
                     help="What to keep of objects inside others; objects.json names each one's parent."),
        click.option("--fill-holes", "fill_holes_px", type=click.IntRange(0), default=0, metavar="PX",
                     help="Fill holes of at most PX pixels."),
        click.option("--drop-islands", "drop_islands_px", type=click.IntRange(0), default=0, metavar="PX",
                     help="Drop separate pieces of fewer than PX pixels."),
    ):  # fmt: skip
        function = option(function)
    return function


def writing(function: F) -> F:
    """Add the options that say what is written."""
    for option in (
        click.option("--output", default="cutout", show_default=True, metavar="LIST",
                     help=f"What to write of each image: {', '.join(OUTPUTS)}; any mix, with commas."),
        click.option("--feather", "feather_px", type=click.FloatRange(0, 256), default=0, metavar="PX",
                     help="Let edges fade over PX pixels."),
        click.option("--padding", "padding_px", type=click.IntRange(0), default=0, metavar="PX",
                     help="Space around the object of a crop."),
        click.option("--cover", is_flag=True, help="Write the rest too: all cut-outs stacked are the image again."),
        click.option("--coco", is_flag=True, help="Write coco.json for the whole run."),
        click.option("--polygons", is_flag=True, help="Write coco.json with polygons in place of run lengths."),
    ):  # fmt: skip
        function = option(function)
    return function


class SegmentOptions(RunningOptions, ChangingOptions):
    """The options that other commands have, too."""


@click.command(
    epilog="Example:  sdclient segment UPSCALED CUTOUTS --model vit_b\n\n"
    "By word:  sdclient segment UPSCALED CUTOUTS --words person,hair,cap --model MODELS"
)
@click.argument("folder", metavar="IN", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@options.order
@options.watching
@finding
@choosing
@writing
@changing
@options.running
def command(
    *,
    folder: Path,
    out: Path,
    order: Order,
    is_watching: bool,
    idle_exit_s: float | None,
    model: str,
    device: str | None,
    points_per_side: int,
    points_per_batch: int,
    pred_iou_thresh: float,
    stability_score_thresh: float,
    crop_n_layers: int,
    words: str | None,
    prompts: Path | None,
    extra: tuple[str, ...],
    top_n: int | None,
    min_area_fraction: float,
    max_area_fraction: float,
    min_score: float,
    drop_border: bool,
    nested: Nested,
    fill_holes_px: int,
    drop_islands_px: int,
    output: str,
    feather_px: float,
    padding_px: int,
    cover: bool,
    coco: bool,
    polygons: bool,
    **running: Unpack[SegmentOptions],
) -> None:
    """Cut every object out of every image below IN.

    Each object becomes one PNG as large as its image, at the same position, and everything else transparent;
    objects.json beside them holds boxes, areas, scores and masks, and OUT/objects.csv lists all of them.
    """
    if words and prompts:
        raise click.UsageError("--words and --prompts both say what to cut out: give one of them")
    settings = SegmentSettings(
        model=model,
        device=device,
        points_per_side=points_per_side,
        points_per_batch=points_per_batch,
        pred_iou_thresh=pred_iou_thresh,
        stability_score_thresh=stability_score_thresh,
        crop_n_layers=crop_n_layers,
        words=_split(words),
        options=extra,
        fill_holes_px=fill_holes_px,
        drop_islands_px=drop_islands_px,
        min_area_fraction=min_area_fraction,
        max_area_fraction=max_area_fraction,
        min_score=min_score,
        drop_border=drop_border,
        nested=nested,
        top_n=top_n,
        feather_px=feather_px,
        padding_px=padding_px,
        outputs=_split(output),
        cover=cover,
        coco="polygons" if polygons else "rle" if coco else "none",
    )
    asked_for = None if prompts is None else read_prompts(prompts)
    if not fetch_with_progress(model, dry_run=running["dry_run"]):
        return
    # A plan does not change: a model that cannot be opened must not enter it.
    segmenter = settings if (out / STATE_FOLDER).is_dir() else SegmenterLane(settings)
    watch = options.watch(is_watching=is_watching, idle_exit_s=idle_exit_s)
    run = open_run(out, given=running).add_cutouts(folder, settings, prompts=asked_for, order=order, watch=watch)
    look = FirstLook(run, as_json=running["as_json"])
    end(work(run, Company(segmenter=segmenter), running, after_first=look if look.is_new else None))


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(part for part in (one.strip() for one in (text or "").split(",")) if part)


def fetch_with_progress(model: str, *, dry_run: bool = False) -> bool:
    """Fetch a model's weights where they are missing, with a bar where a person looks on; False for a dry run without."""
    from sdclient.segment.weights import KNOWN_WEIGHTS, models_folder

    # What a segmenter does about too little memory is for people to know.
    logging.getLogger("sdclient.segment").setLevel(logging.WARNING)
    known = KNOWN_WEIGHTS.get(model)
    if known is None or (models_folder() / known.file_name).is_file():
        return True
    told = f"{known.file_name} ({byte_size(known.size_bytes)}) into {models_folder()}"
    if dry_run:
        say(f"{model}: its weights are not here yet; without --dry-run this fetches {told}, then looks further")
        return False
    say(f"fetching {told}; if that is broken off, the same command goes on")
    from tqdm import tqdm

    with tqdm(total=known.size_bytes, unit="B", unit_scale=True, file=sys.stderr, disable=not is_watched()) as bar:

        def show(here: int, _total: int) -> None:
            bar.n = here
            bar.refresh()

        provide_weights(model, on_progress=show)
    return True


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
        first = next(record for record in self.run.folder.records() if plan.jobs[record.job].kind in KINDS)
        left = self.run.status().counts.left
        objects = first.facts.get("objects")
        size = sum(one.size_bytes for one in first.files)
        free = shutil.disk_usage(self.run.out).free
        if self.as_json:
            emit({"event": "first_image", "objects": objects, "files": len(first.files), "size_bytes": size,
                  "estimated_bytes": size * left, "free_bytes": free})  # fmt: skip
            return True
        say(
            f"the first image has {objects} objects: {len(first.files)} files, {byte_size(size)}. "
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


# What follows a drawing command


def then_options(function: F) -> F:
    """Add ``--then segment`` and ``--cutouts-model``."""
    function = click.option(
        "--cutouts-model",
        metavar="MODEL",
        help="With --then segment: which segmenter, as for sdclient segment --model.",
    )(function)
    return click.option(
        "--then",
        type=click.Choice(["segment"]),
        help="What to do with each image once it is drawn: cut its objects out, into OUT/cutouts.",
    )(function)


def then_segment(
    run: Run, then: Literal["segment"] | None, model: str | None, *, dry_run: bool = False
) -> SegmentSettings | None:
    """Plan what ``--then`` asks for, and return the settings to work with; None where nothing is asked for."""
    if (then is None) != (model is None):
        raise click.UsageError("--then segment and --cutouts-model MODEL go together: say which segmenter shall cut")
    if model is None:
        return None
    settings = SegmentSettings(model=model)
    # A plan does not change: a model that is nowhere must not enter it.
    if not fetch_with_progress(model, dry_run=dry_run):
        return None
    run.add_cutouts_of_outputs(settings)
    return settings
