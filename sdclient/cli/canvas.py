"""``sdclient canvas``: slices of pixel art, drawn over again and again without words."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdclient.batch.differences import differences
from sdclient.batch.told import note_told, read_told
from sdclient.cli import options
from sdclient.cli.changing import has_run
from sdclient.cli.running import Company, RunningOptions, end, work
from sdclient.cli.talk import emit, plural, remark, say
from sdclient.errors import ConfigurationError
from sdclient.recipes.canvas import (
    MIN_COLOURS,
    PAYLOAD,
    PRESETS,
    SLICE_PX,
    Canvas,
    Numbered,
    NumberTakenError,
    Slice,
    SliceRules,
    Wish,
    build_documents,
    open_canvas,
    parse_place,
    parse_strengths,
    read_slice,
    recorded_request,
    spec_of,
    strange_records,
    strengths_of,
)
from sdclient.run import Run
from sdclient.schemas import Img2Img
from sdclient.schemas.sets import apply_sets

if TYPE_CHECKING:
    from typing_extensions import Unpack

_MAX_COLOURS = 256
"""More than any canvas of pixel art has; r/Place had 16 to 32."""
_MOST_SHOWN = 20
"""Slices on the screen; each has a file that says what it is."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    name="canvas",
    epilog="Example:  sdclient canvas place.png --out SLICES --count 3 --url http://127.0.0.1:7860\n\n"
    "One slice again:  sdclient canvas place.png --again SLICES/0002.json --out AGAIN",
)
@click.argument("images", metavar="IMAGE…", nargs=-1, type=_FILE)
@options.out_folder
@options.urls
@options.payload
@click.option("--count", type=click.IntRange(1, 10_000), default=1, show_default=True, help="How many slices.")
@click.option("--passes", type=click.IntRange(1, 1000), help="How often each is drawn over. [default: 4]")
@click.option(
    "--strength",
    metavar="LIST",
    help=f"0 to 1, a list with one a pass such as 0.8,0.5,0.3, {' or '.join(PRESETS)}. [default: the payload's]",
)
@click.option(
    "--slice", "places", multiple=True, metavar="[IMAGE:]X,Y", help="Take the slice here, not anywhere; repeatable."
)
@click.option("--slice-px", type=click.IntRange(1, 2048), default=SLICE_PX, show_default=True, help="Edge of a slice.")
@click.option(
    "--min-colours", type=click.IntRange(1), default=MIN_COLOURS, show_default=True, help="Fewer are a blank slice."
)
@click.option("--by-area", is_flag=True, help="Take slices from large canvases more often.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="The same seed gives the same slices and images.")
@click.option(
    "--again", type=_FILE, metavar="FILE", help="Make the slice of this file again as it was, such as OUT/0002.json."
)
@click.option("--documents-only", is_flag=True, help="Build strips and GIFs anew; no server is needed.")
@options.running
def command(
    *,
    images: tuple[Path, ...],
    out: Path,
    urls: tuple[str, ...],
    payload: str | None,
    sets: tuple[str, ...],
    count: int,
    passes: int | None,
    strength: str | None,
    places: tuple[str, ...],
    slice_px: int,
    min_colours: int,
    by_area: bool,
    seed: int | None,
    again: Path | None,
    documents_only: bool,
    **running: Unpack[RunningOptions],
) -> None:
    """Cut small squares out of pixel art and draw over each, without words, each pass over the one before.

    Without --seed every run takes new slices, after finishing what an earlier one left. What was drawn is never drawn
    otherwise: with another payload or other strengths the same place becomes a slice of its own, beside the one there.
    """
    if documents_only:
        _build(Run.open(out), anew=True, as_json=running["as_json"])
        return
    recorded = None if again is None else read_slice(again)
    if not images:
        which = "one image or more to take slices from" if recorded is None else f"the image it was: {recorded.canvas}"
        raise ConfigurationError(f"canvas: name {which}")
    if recorded is not None:
        strength_set = any(one.startswith("denoising_strength") for one in sets)
        given = {"--strength": strength, "--passes": passes, "--slice": places, "--count": count - 1}
        _refuse_beside_again({**given, "--seed": seed, "--set denoising_strength": strength_set})
    request = _request(payload, sets, recorded)
    strengths = strengths_of(request, passes) if strength is None else parse_strengths(strength, passes)
    rules = SliceRules(spec_of(request), strengths, slice_px, min_colours, by_area)
    canvases = tuple(_open(path) for path in images)
    wish = Wish(canvases, rules, tuple(parse_place(text, canvases) for text in places))
    if recorded is not None:
        wish = wish.again(recorded)
    end(_rounds(out, wish, Company(urls), running, seed=seed, count=count))


def _refuse_beside_again(given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if value or (name == "--seed" and value is not None):
            raise ConfigurationError(f"--again takes place, seeds and strengths from the file; leave {name} out")


def _request(payload: str | None, sets: Sequence[str], recorded: Slice | None) -> Img2Img:
    """Return what is asked in every pass: of the record where one is given, unless another payload is."""
    if recorded is None or payload is not None:
        request = Img2Img.load(payload or PAYLOAD)
    else:
        request = Img2Img.from_mapping(recorded.request, where="--again")
    request = apply_sets(request, sets)
    if recorded is not None and (now := recorded_request(spec_of(request))) != recorded.request:
        told = differences(recorded.request, now)
        say(f"note: this is not what the slice was made with, so its images will differ: {told}")
    return request


def _open(path: Path) -> Canvas:
    canvas = open_canvas(path)
    if canvas.image.getcolors(_MAX_COLOURS) is None:
        say(
            f"note: {path} has more than {_MAX_COLOURS} colours: if it is pixel art, it was resized or saved as JPEG, "
            "and its pixels are not the artists' own; take the original if you can"
        )
    return canvas


def _rounds(out: Path, wish: Wish, company: Company, running: RunningOptions, *, seed: int | None, count: int) -> int:
    """Work slice by slice for as long as somebody wants another one; returns the exit code."""
    chosen_seed = secrets.randbits(32) if seed is None else seed
    rounds = range(1, count + 1)
    while True:
        run = _unfinished(out) if seed is None and wish.recorded is None else None
        if run is None:
            code = _new(out, wish, partial(wish.slices, out, chosen_seed, rounds), company, running)
        else:
            code = _work(run, company, running)
        # A slice of before is one, and it is made.
        is_all = wish.recorded is not None or running["dry_run"] or running["as_json"]
        if code or is_all or not _wants_more():
            return code
        rounds = range(rounds.stop, rounds.stop + 1)


def _new(out: Path, wish: Wish, choose: Callable[[], list[Numbered]], company: Company, running: RunningOptions) -> int:
    """Plan slices, put down what they are once nothing stands in the way, and work."""
    slices = choose()
    for one in slices[:_MOST_SHOWN]:
        say(str(one))
    if (more := len(slices) - _MOST_SHOWN) > 0:
        say(f"and {plural(more, 'slice')} more")
    listed = wish.plan(slices)
    run = Run(out).add_jobs(listed)
    if wish.recorded is not None and listed.jobs and all(run.folder.is_done(job.id) for job in listed.jobs):
        say(f"note: {out} has this slice, and nothing is made again; name another --out")
    try:
        return _work(run, company, running, partial(wish.keep, out, slices))
    except NumberTakenError:
        # Now they have numbers of their own.
        return _new(out, wish, choose, company, running)


def _work(run: Run, company: Company, running: RunningOptions, keep: Callable[[], None] = lambda: None) -> int:
    code = work(run, company, running, at_start=keep)
    if not running["dry_run"]:
        # Slices that nothing is sent for are put down without a start.
        keep()
        run.save()
        _build(run, anew=False, as_json=running["as_json"])
    return code


def _unfinished(out: Path) -> Run | None:
    """Return the run whose slices an earlier command left unfinished."""
    if not has_run(out):
        return None
    run = Run.open(out)
    left = run.status().counts.left
    if not left:
        return None
    say(f"{out}: {left} passes are unfinished and come first; the same command then takes new slices")
    return run


def _build(run: Run, *, anew: bool, as_json: bool) -> None:
    built = build_documents(run, anew=anew)
    strange, told = strange_records(run.out), read_told(run.folder.state)
    # Once a run: they may stay there for as long as slices are taken.
    note_told(run.folder.state, strange)
    kept_aside = (text for one in built for text in one.remarks)
    for text in (*(one for one in strange if one not in told), *kept_aside):
        remark(text, as_json=as_json)
    paths = [str(path) for one in built for path in one.paths]
    if as_json:
        emit({"event": "documents", "files": paths})
        return
    for path in paths:
        click.echo(path)


def _wants_more() -> bool:
    if not sys.stdin.isatty():
        return False
    try:
        answer = click.prompt("Another slice? y or N", err=True, default="", show_default=False)
    except click.Abort:
        # Nothing is under way: both Ctrl-C and Ctrl-D are a no.
        say()
        return False
    return str(answer).strip().casefold() not in ("", "n", "no")
