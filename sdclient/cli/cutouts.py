"""How cut-outs are made, as options: those of ``sdclient segment``, and ``--then segment`` of the drawing commands."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, cast

import click

from sdclient.cli.fetching import fetch_with_progress, missing_model_first
from sdclient.cli.numbers import NumberRange
from sdclient.cli.options import added
from sdclient.errors import ConfigurationError
from sdclient.run import Run
from sdclient.segment import SegmentSettings
from sdclient.segment.settings import MAX_RATING_DIFFERENCE, MIN_MEAN_IOU, OUTPUTS

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
    options = (
        click.option("--model", required=True, metavar="MODEL", help=_MODEL_HELP),
        click.option("--device", help="cpu, cuda or mps. [default: the best there is]"),
        click.option("--half", is_flag=True, help="Encode images in half precision, for as long as masks agree with "
                     f"float32's to a mean IoU of {MIN_MEAN_IOU:g} and ratings to {MAX_RATING_DIFFERENCE:g}: the first "
                     "image and every hundredth after it are compared. Beyond that it says so and takes float32."),
        click.option(
            "--points-per-side", type=click.IntRange(1), default=32, show_default=True,
            help="Points asked along each side: 32 are 1,024 in all.",
        ),
        click.option("--points-per-batch", type=click.IntRange(1), default=64, show_default=True,
                     help="Points asked at once; fewer need less of a GPU's memory, the masks are the same."),
        click.option("--pred-iou-thresh", type=NumberRange(0, 1), default=0.88, show_default=True,
                     help="Drop masks that Segment Anything itself rates lower."),
        click.option("--stability-score-thresh", type=NumberRange(0, 1), default=0.95, show_default=True,
                     help="Drop masks that change more with their threshold."),
        click.option("--crop-n-layers", type=click.IntRange(0), default=0, show_default=True,
                     help="1 looks at the image's quarters too, 2 at its sixteenths as well: small things, and time."),
        click.option("--words", metavar="LIST",
                     help="Cut out what these words name, such as person,hair=0.2,cap; a number says how sure a find "
                     "must be, 0 to 1."),
        click.option("--option", "extra", multiple=True, metavar="NAME=VALUE",
                     help="An option of a plug-in, and of nothing else; repeatable."),
    )  # fmt: skip
    return added(options, function)


def choosing(function: F) -> F:
    """Add the options that say which objects are kept."""
    share = NumberRange(0, 1)
    options = (
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
    )  # fmt: skip
    return added(options, function)


def writing(function: F) -> F:
    """Add the options that say what is written."""
    options = (
        click.option("--output", default="cutout", show_default=True, metavar="LIST",
                     help=f"What to write of each image: {', '.join(OUTPUTS)}; any mix, with commas."),
        click.option("--feather", "feather_px", type=NumberRange(0, 256), default=0, metavar="PX",
                     help="Let edges fade over PX pixels."),
        click.option("--padding", "padding_px", type=click.IntRange(0), default=0, metavar="PX",
                     help="Space around the object of a crop."),
        click.option("--cover", is_flag=True,
                     help="Write the rest too: all cut-outs stacked are the image again, alpha too."),
        click.option("--coco", is_flag=True, help="Write coco.json for the whole run."),
        click.option("--polygons", is_flag=True,
                     help="Write coco.json with polygons in place of run lengths. They have no holes: those of an object "
                     "are filled."),
    )  # fmt: skip
    return added(options, function)


class CutoutOptions(TypedDict):
    """What `finding`, `choosing` and `writing` add, as click hands it over."""

    model: str
    device: str | None
    half: bool
    points_per_side: int
    points_per_batch: int
    pred_iou_thresh: float
    stability_score_thresh: float
    crop_n_layers: int
    words: str | None
    extra: tuple[str, ...]
    top_n: int | None
    min_area_fraction: float
    max_area_fraction: float
    min_score: float
    drop_border: bool
    nested: Nested
    fill_holes_px: int
    drop_islands_px: int
    output: str
    feather_px: float
    padding_px: int
    cover: bool
    coco: bool
    polygons: bool


def cutout_settings(given: CutoutOptions) -> SegmentSettings:
    """Return the settings that options ask for.

    Raises:
        ConfigurationError: If values do not go together, or a list is empty.
    """
    words = _split(given["words"])
    if given["words"] is not None and not words:
        raise ConfigurationError("segmentation: words is empty: name some, as in person,hair=0.2, or leave it out")
    return SegmentSettings(
        model=given["model"],
        device=given["device"],
        half=given["half"],
        points_per_side=given["points_per_side"],
        points_per_batch=given["points_per_batch"],
        pred_iou_thresh=given["pred_iou_thresh"],
        stability_score_thresh=given["stability_score_thresh"],
        crop_n_layers=given["crop_n_layers"],
        words=words,
        options=given["extra"],
        fill_holes_px=given["fill_holes_px"],
        drop_islands_px=given["drop_islands_px"],
        min_area_fraction=given["min_area_fraction"],
        max_area_fraction=given["max_area_fraction"],
        min_score=given["min_score"],
        drop_border=given["drop_border"],
        nested=given["nested"],
        top_n=given["top_n"],
        feather_px=given["feather_px"],
        padding_px=given["padding_px"],
        outputs=_split(given["output"]),
        cover=given["cover"],
        coco="polygons" if given["polygons"] else "rle" if given["coco"] else "none",
    )


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(part for part in (one.strip() for one in (text or "").split(",")) if part)


# What follows a drawing command


class ThenOptions(TypedDict):
    """What `then_options` adds, as click hands it over."""

    then: Literal["segment"] | None
    cutouts_model: str | None
    cutouts_set: tuple[str, ...]


def then_options(function: F) -> F:
    """Add ``--then segment``, ``--cutouts-model`` and ``--cutouts-set``."""
    options = (
        click.option(
            "--then",
            type=click.Choice(["segment"]),
            help="What to do with each image of this command once it is drawn: cut its objects out, into OUT/cutouts. With "
            "--variant, images that are planned just so already are not drawn again, and only their cut-outs lie beside.",
        ),
        click.option(
            "--cutouts-model",
            metavar="MODEL",
            help="With --then segment: which segmenter, as for sdclient segment --model.",
        ),
        click.option(
            "--cutouts-set",
            multiple=True,
            metavar="NAME=VALUE",
            help="With --then segment: any other option of sdclient segment, such as top=5, output=crop,mask or "
            "cover=yes; repeatable.",
        ),
    )
    return added(options, function)


def then_segment(run: Run, given: ThenOptions, *, dry_run: bool = False) -> SegmentSettings | None:
    """Plan what ``--then`` asks for, and return the settings to work with; None where nothing is asked for."""
    then, model, sets = given["then"], given["cutouts_model"], given["cutouts_set"]
    if (then is None) != (model is None):
        raise click.UsageError("--then segment and --cutouts-model MODEL go together: say which segmenter shall cut")
    if model is None:
        if sets:
            raise click.UsageError("--cutouts-set says how to cut out: give --then segment --cutouts-model MODEL too")
        return None
    settings = read_cutout_sets(model, sets)
    with run.on_trial() as keep:
        with missing_model_first(settings):
            run.add_cutouts_of_outputs(settings, only_added=True)
        # Compared with the plan before, and before that is written: a model that is nowhere must not enter it.
        if not fetch_with_progress(settings, dry_run=dry_run):
            # What cannot be opened here yet is looked at no further.
            return None
        keep()
    return settings


@click.command(add_help_option=False)
@finding
@choosing
@writing
def _cutting(**given: Unpack[CutoutOptions]) -> SegmentSettings:
    return cutout_settings(given)


def read_cutout_sets(model: str, sets: Sequence[str]) -> SegmentSettings:
    """Return the settings that ``top=5``, ``output=crop,mask``, ... ask for, by the names of the segment command's options.

    Raises:
        click.UsageError: If there is no such option, or the value is not one of its.
        ConfigurationError: If values do not go together.
    """
    words = [word for text in sets for word in _as_option(text)]
    try:
        # What --model takes need not look like a value: a file's name may begin with a dash.
        made = _cutting.main([f"--model={model}", *words], prog_name="--cutouts-set", standalone_mode=False)
    except click.UsageError as exc:
        raise click.UsageError(f"--cutouts-set: {exc.format_message()}") from exc
    return cast("SegmentSettings", made)


def _as_option(text: str) -> list[str]:
    """Return ``top=5`` as the words that the segment command would be given."""
    typed, equals, value = text.partition("=")
    name = typed.strip().lstrip("-").replace("_", "-")
    known = {word.lstrip("-"): param for param in _cutting.params for word in param.opts if param.name != "model"}
    if not equals or name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = (
            f"did you mean {near[0]}?" if near and equals else f"write NAME=VALUE, with NAME out of {', '.join(known)}"
        )
        raise click.UsageError(f"--cutouts-set {text[:60]!r}: {hint}")
    if not isinstance(known[name].type, click.types.BoolParamType):
        return [f"--{name}={value.strip()}"]
    try:
        is_on: bool = known[name].type.convert(value.strip(), known[name], None)
    except click.BadParameter as exc:
        raise click.UsageError(f"--cutouts-set {text[:60]!r}: say yes or no") from exc
    return [f"--{name}"] if is_on else []
