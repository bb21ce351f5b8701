"""``sdclient nations``: ask for nations, generate, bake and cut out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from sdclient.batch.plan import latest_jobs
from sdclient.cli import options
from sdclient.cli.changing import ChangingOptions, changing, has_run, open_run
from sdclient.cli.cutouts import read_cutout_sets
from sdclient.cli.fetching import fetch_with_progress
from sdclient.cli.running import Company, RunningOptions, end, work
from sdclient.cli.talk import plural, say, table
from sdclient.errors import ConfigurationError, MissingExtraError, SegmentationError
from sdclient.planning import JobList
from sdclient.recipes.nations import (
    BAKE_PAYLOAD,
    GENERATE_PAYLOAD,
    SUFFIX,
    QueueEntry,
    Study,
    StudyPayloads,
    add_up,
    has_paired_seeds,
    load_queue,
    load_study,
    parse_count,
    plan_nations,
)
from sdclient.recipes.nations_emif import export_emif, require_own_tables
from sdclient.run import Run
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.schemas.sets import apply_sets
from sdclient.segment import SegmentSettings

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")
_CUTOUTS = "Cut the objects out? none, classical (OpenCV), vit_b, vit_l, vit_h, or a checkpoint file"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NO_CUTOUTS = ("", "none", "no", "n")


class NationsOptions(RunningOptions, ChangingOptions):
    """The options that other commands have, too."""


@click.command(
    name="nations",
    epilog="Example:  sdclient nations --out STUDY --url http://127.0.0.1:7860\n\n"
    "Without questions:  sdclient nations --plan queue.csv --cutouts vit_b --out STUDY",
)
@options.out_folder
@options.urls
@click.option("--plan", type=_FILE, help="A CSV: nation, category, count.")
@click.option("--study", type=_FILE, help="A CSV of other nations: nation, category, prompt.")
@click.option("--suffix", default=SUFFIX, metavar="TEXT", help="What every prompt ends with; '' for nothing.")
@click.option("--payload", default=GENERATE_PAYLOAD, show_default=True, metavar="FILE", help="How to draw from words.")
@click.option("--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Change a field of that payload; repeatable.")
@click.option("--bake-payload", default=BAKE_PAYLOAD, show_default=True, metavar="FILE", help="How to draw over.")
@click.option(
    "--bake-set", "bake_sets", multiple=True, metavar="FIELD=VALUE", help="Change a field of that payload; repeatable."
)
@click.option("--no-bake", is_flag=True, help="Leave drawing over out.")
@click.option(
    "--cutouts",
    metavar="MODEL",
    help="vit_b, vit_l, vit_h, a checkpoint file, classical, a plug-in, or none. Left out, it asks; with --plan, none.",
)
@click.option(
    "--cutouts-set",
    "cutouts_sets",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other option of sdclient segment, such as top=5, output=crop,mask or cover=yes; repeatable.",
)
@click.option(
    "--seed", "run_seed", type=click.IntRange(0, 2**32 - 1), help="Seed of a new study; each image's follows from it."
)
@click.option("--paired-seeds", is_flag=True, help="One list of seeds for all nations, so that their sets compare.")
@click.option(
    "--export-emif",
    is_flag=True,
    help="Write image_data.csv and metrics.csv, with --plan after the images; alone, of a study that is there.",
)
@click.option("--base64", "with_base64", is_flag=True, help="With --export-emif: put the images into image_data.csv.")
@changing
@options.running
def command(
    *,
    out: Path,
    urls: tuple[str, ...],
    plan: Path | None,
    study: Path | None,
    suffix: str,
    payload: str,
    sets: tuple[str, ...],
    bake_payload: str,
    bake_sets: tuple[str, ...],
    cutouts: str | None,
    cutouts_sets: tuple[str, ...],
    run_seed: int | None,
    no_bake: bool,
    paired_seeds: bool,
    export_emif: bool,
    with_base64: bool,
    **running: Unpack[NationsOptions],
) -> None:
    """Queue nations at work and at home; generate, bake (draw over) and cut out every image.

    A nation and category named twice means so many more. Counts are in all for one folder: the same queue
    again goes on where it stopped.
    """
    if with_base64 and not export_emif:
        raise ConfigurationError("--base64 puts images into EMIF's table; say --export-emif, too")
    if export_emif and plan is None:
        _export(_open_study(out), with_base64=with_base64)
        return
    known = load_study(study, suffix=suffix)
    generate = apply_sets(Txt2Img.load(payload), sets)
    bake = None if no_bake else apply_sets(Img2Img.load(bake_payload), bake_sets)
    queue = load_queue(plan, known) if plan is not None else ask_queue(known)
    if not queue:
        say("the queue is empty; nothing to do")
        return
    _print_queue(queue)
    segmenter = _segmenter(cutouts, cutouts_sets, may_ask=plan is None, dry_run=running["dry_run"])
    run = open_run(out, run_seed, given=running)
    if export_emif:
        # Not after hours of drawing.
        require_own_tables(run)
    before = _planned(run)
    paired = _paired_run_seed(run, is_wanted=paired_seeds)
    segmenter = _add(
        run,
        lambda cutting: plan_nations(queue, known, StudyPayloads(generate, bake, cutting), paired_run_seed=paired),
        segmenter,
        dry_run=running["dry_run"],
    )
    _say_new(run, before)
    code = work(run, Company(urls, segmenter), running)
    if export_emif and not running["dry_run"]:
        _export(run, with_base64=with_base64)
    end(code)


def _add(
    run: Run, plan: Callable[[SegmentSettings | None], JobList], segmenter: SegmentSettings | None, *, dry_run: bool
) -> SegmentSettings | None:
    """Plan a study; of known weights that are missing a dry run says so, and only compares cut-outs with the plan.

    Returns:
        The segmenter to work with.
    """
    with run.on_trial() as keep:
        run.add_jobs(plan(segmenter))
        # Not before all this was compared with the plan that is there.
        if segmenter is None or fetch_with_progress(segmenter, dry_run=dry_run):
            keep()
            return segmenter
    run.add_jobs(plan(None))
    return None


def _paired_run_seed(run: Run, *, is_wanted: bool) -> int | None:
    """Return the seed that the list of all nations follows from; None where each image has its own.

    How a study was begun holds, so that the option need not be said again.
    """
    begun = has_paired_seeds(run.jobs())
    if is_wanted and begun is False:
        raise ConfigurationError(
            f"{run.out}: was begun without --paired-seeds, and its images have seeds of their own, which does not "
            "change; leave --paired-seeds out, or use another folder"
        )
    if begun and not is_wanted:
        say(f"{run.out}: was begun with --paired-seeds; new images are paired, too")
    return run.folder.settings.run_seed if is_wanted or begun else None


def ask_queue(study: Study) -> list[QueueEntry]:
    """Ask for nation, category and count until ``done``; wrong answers are asked again.

    Raises:
        ConfigurationError: If the answers end before ``done``.
    """
    queue: list[QueueEntry] = []
    while (entry := _ask_entry(study)) is not None:
        before = sum(one.count for one in queue if (one.nation, one.category) == (entry.nation, entry.category))
        queue.append(entry)
        if before:
            more = f"{entry.count} more, {before + entry.count} in all"
            say(f"{entry.nation} {entry.category} was in the queue with {before}: {more}")
    return add_up(queue)


def _ask_entry(study: Study) -> QueueEntry | None:
    say("Nations:")
    say(table([(f"{number:>2}.", nation) for number, nation in enumerate(study.nations, start=1)]))
    nation = _ask("Number of the nation (or 'done' to start)", _or_done(study.nation))
    if nation is None:
        return None
    categories = " or ".join(study.categories(nation))
    category = _ask(f"Category ({categories})", lambda text: study.category(nation, text))
    return QueueEntry(nation, category, _ask("How many images", parse_count))


def _or_done(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda text: None if text.strip().casefold() == "done" else parse(text)


def _ask(question: str, parse: Callable[[str], T], default: str | None = None) -> T:
    while True:
        answer = _answer(question, default)
        try:
            return parse(answer)
        except (ConfigurationError, SegmentationError, MissingExtraError) as exc:
            say(str(exc))


def _answer(question: str, default: str | None) -> str:
    try:
        return str(click.prompt(question, err=True, type=str, default=default))
    except click.Abort as exc:
        # click makes one of Ctrl-C and the end of the answers; only the first means "stop".
        if not isinstance(exc.__context__, EOFError):
            raise
        say()
        raise AnswersEndedError(
            f"the answers ended at {question!r:.60}, and nothing was planned; "
            "end them with a line that says done, or give --plan FILE"
        ) from None


class AnswersEndedError(ConfigurationError):
    """Standard input ended where an answer was wanted."""


def _print_queue(queue: list[QueueEntry]) -> None:
    say("Queue:")
    rows = [
        (f"{number}.", entry.nation, entry.category, str(entry.count)) for number, entry in enumerate(queue, start=1)
    ]
    say(table(rows))


def _segmenter(model: str | None, sets: tuple[str, ...], *, may_ask: bool, dry_run: bool) -> SegmentSettings | None:
    read_cutout_sets("any", sets)  # a slip is told before a model is asked for
    settings = partial(_settings, sets=sets, dry_run=dry_run)
    if model is not None:
        if sets and model.strip() in _NO_CUTOUTS:
            raise click.UsageError(
                f"--cutouts-set says how to cut out, and --cutouts {model} cuts nothing out: leave one away"
            )
        return settings(model)
    if may_ask:
        try:
            # Fetched at once: who is asked can still say something else.
            return _ask(_CUTOUTS, partial(settings, is_asked=True), default="none")
        except AnswersEndedError:
            # The answers came from a file, which may well end with the queue.
            pass
    say("no cut-outs are made, as none were asked for; say --cutouts vit_b, classical or none")
    return None


def _settings(model: str, *, sets: tuple[str, ...], dry_run: bool, is_asked: bool = False) -> SegmentSettings | None:
    """Return the settings of a segmenter that can be opened here: a plan does not change, so a slip must not enter it."""
    if model.strip() in _NO_CUTOUTS:
        return None
    settings = read_cutout_sets(model, sets)
    if settings.words:
        from sdclient.segment.words import find_word_models

        find_word_models(model)
    elif model != "classical" and not _is_plugin(model):
        from sdclient.segment.doors import require_segment_anything
        from sdclient.segment.weights import KNOWN_WEIGHTS, find_checkpoint

        if model not in KNOWN_WEIGHTS:
            find_checkpoint(model)
        require_segment_anything()
    if is_asked and not dry_run:
        fetch_with_progress(settings)
    return settings


def _is_plugin(model: str) -> bool:
    from sdclient.segment.plugins import find_plugin

    return find_plugin(model) is not None


def _planned(run: Run) -> int:
    """Return how many jobs a run counts: those made once more count once."""
    return len(latest_jobs({job.id: job for job in run.jobs()}))


def _say_new(run: Run, before: int) -> None:
    if before:
        new = plural(_planned(run) - before, "new job")
        say(f"{plural(before, 'job')} planned in {run.out} before, and {new} now: counts are in all")


def _open_study(out: Path) -> Run:
    """Open the run of a study; refuse a folder that holds none, or a run of something else."""
    run = Run.open(out) if has_run(out) else None
    if run is None or not any("nation" in job.columns for job in run.jobs()):
        raise ConfigurationError(f"{out}: holds no study to write EMIF's tables of; to make one, too, give --plan FILE")
    return run


def _export(run: Run, *, with_base64: bool) -> None:
    for path in export_emif(run, with_base64=with_base64):
        say(f"written: {path}")
