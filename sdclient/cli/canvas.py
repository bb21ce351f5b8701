"""``sdclient canvas``: slices of pixel art, drawn over again and again without words."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdclient.batch.differences import differences
from sdclient.batch.folder import STATE_FOLDER
from sdclient.batch.plan import job_seed
from sdclient.cli import options
from sdclient.cli.running import Company, RunningOptions, end, work
from sdclient.cli.talk import say
from sdclient.errors import ConfigurationError
from sdclient.planning import JobList
from sdclient.recipes.canvas import (
    MIN_COLOURS,
    PAYLOAD,
    PRESETS,
    SLICE_PX,
    Canvas,
    Slice,
    SliceRules,
    choose_slice,
    given_slice,
    keep_slice,
    number_slices,
    open_canvas,
    parse_strengths,
    plan_slice,
    read_slice,
    recorded_request,
    slice_name,
    spec_of,
    strengths_of,
)
from sdclient.recipes.canvas_documents import build_documents
from sdclient.run import Run
from sdclient.schemas import Img2Img
from sdclient.schemas.sets import apply_sets

if TYPE_CHECKING:
    from typing_extensions import Unpack

_PLACE = re.compile(r"(?:(.+):)?\s*(\d{1,9})\s*,\s*(\d{1,9})", re.DOTALL)
_MAX_COLOURS = 256
"""More than any canvas of pixel art has; r/Place had 16 to 32."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class Wish:
    """What slices are wanted.

    Attributes:
        canvases: The images to take them from.
        rules: How they are chosen and drawn over.
        places: Given places as (canvas, x, y); none means anywhere.
        recorded: A slice of before that is made again; None for new ones.
    """

    canvases: tuple[Canvas, ...]
    rules: SliceRules
    places: tuple[tuple[Canvas, int, int], ...] = ()
    recorded: Slice | None = None

    def slices(self, seed: int, rounds: range) -> list[tuple[Canvas, Slice]]:
        """Return the slices of some rounds: one each, or one for every given place."""
        if self.recorded is not None:
            return [(self.canvases[0], self.recorded)]
        return [one for number in rounds for one in self._round(job_seed(seed, "slice", str(number)))]

    def _round(self, seed: int) -> list[tuple[Canvas, Slice]]:
        if self.places:
            return [(canvas, given_slice(canvas, self.rules, (x, y), seed)) for canvas, x, y in self.places]
        chosen = choose_slice(self.canvases, self.rules, seed)
        return [(next(one for one in self.canvases if one.sha256 == chosen.canvas_sha256), chosen)]


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
@click.option("--slice", "places", multiple=True, metavar="[IMAGE:]X,Y", help="Take the slice here, not anywhere.")
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

    Without --seed every run takes new slices, after finishing what an earlier one left.
    """
    if documents_only:
        _build(Run.open(out), anew=True)
        return
    if not images:
        raise ConfigurationError("canvas: name one image or more to take slices from")
    recorded = None if again is None else read_slice(again)
    if recorded is not None:
        _refuse_beside_again(
            {"--strength": strength, "--passes": passes, "--slice": places, "--seed": seed, "--count": count - 1}
        )
    request = _request(payload, sets, recorded)
    strengths = strengths_of(request, passes) if strength is None else parse_strengths(strength, passes)
    rules = SliceRules(spec_of(request), strengths, slice_px, min_colours, by_area)
    canvases = tuple(_open(path) for path in images)
    wish = Wish(canvases, rules, _places(places, canvases))
    if recorded is not None:
        wish = _recorded(wish, recorded)
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
            code = _new(out, wish, wish.slices(chosen_seed, rounds), company, running)
        else:
            code = _work(run, company, running)
        if code or running["dry_run"] or running["as_json"] or not _wants_more():
            return code
        rounds = range(rounds.stop, rounds.stop + 1)


def _new(
    out: Path, wish: Wish, slices: Sequence[tuple[Canvas, Slice]], company: Company, running: RunningOptions
) -> int:
    """Plan slices, put down what they are once nothing stands in the way, and work."""
    listed = JobList()
    numbered = list(zip(number_slices(out, [chosen for _, chosen in slices]), slices, strict=True))
    for number, (canvas, chosen) in numbered:
        plan_slice(listed, wish.rules, number, chosen)
        say(_told(number, canvas, chosen, wish.rules.size_px))

    def keep() -> None:
        kept = [keep_slice(out, canvas, chosen, wish.rules, first=number) for number, (canvas, chosen) in numbered]
        if kept != [number for number, _ in numbered]:
            raise NumberTakenError(f"{out}: another command took a number for its slice at the same moment")

    try:
        return _work(Run(out).add_jobs(listed), company, running, keep)
    except NumberTakenError:
        # Now they have numbers of their own.
        return _new(out, wish, slices, company, running)


def _told(number: int, canvas: Canvas, chosen: Slice, size_px: int) -> str:
    steps = ", ".join(f"{strength:g}" for strength in chosen.strengths)
    where = f"{chosen.x_px},{chosen.y_px} of {canvas.name}"
    return f"slice {slice_name(number)}: {where}, enlarged to {size_px}x{size_px}, strengths {steps}"


class NumberTakenError(ConfigurationError):
    """Another command gave a slice the number that was planned for one of ours."""


def _work(run: Run, company: Company, running: RunningOptions, keep: Callable[[], None] = lambda: None) -> int:
    code = work(run, company, running, at_start=keep)
    if not running["dry_run"]:
        # Slices that nothing is sent for are put down without a start.
        keep()
        run.save()
        _build(run, anew=False)
    return code


def _unfinished(out: Path) -> Run | None:
    """Return the run whose slices an earlier command left unfinished."""
    if not (out / STATE_FOLDER).is_dir():
        return None
    run = Run.open(out)
    left = run.status().counts.left
    if not left:
        return None
    say(f"{out}: {left} passes are unfinished and come first; the same command then takes new slices")
    return run


def _build(run: Run, *, anew: bool) -> None:
    for one in build_documents(run, anew=anew):
        say(f"slice {slice_name(one.number)}: {', '.join(str(path) for path in one.paths)}")


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


def _places(texts: Sequence[str], canvases: Sequence[Canvas]) -> tuple[tuple[Canvas, int, int], ...]:
    return tuple(_place(text, canvases) for text in texts)


def _place(text: str, canvases: Sequence[Canvas]) -> tuple[Canvas, int, int]:
    match = _PLACE.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(
            f"--slice {text[:60]!r}: write X,Y, or IMAGE:X,Y, in pixels from the upper left corner"
        )
    name, x, y = match.groups()
    found = [one for one in canvases if name is None or one.name == Path(name).name]
    if len(found) != 1:
        known = ", ".join(one.name for one in canvases)
        raise ConfigurationError(f"--slice {text[:60]!r}: say on which canvas, as IMAGE:X,Y; given are {known}")
    return found[0], int(x), int(y)


def _recorded(wish: Wish, chosen: Slice) -> Wish:
    """Return the wish for a slice of before; its canvas must be one of those given, byte for byte."""
    canvas = next((one for one in wish.canvases if one.sha256 == chosen.canvas_sha256), None)
    if canvas is None:
        given = ", ".join(one.name for one in wish.canvases)
        raise ConfigurationError(
            f"--again: that slice was taken from {chosen.canvas} (sha256 {chosen.canvas_sha256[:12]}...), "
            f"and none of {given} is that file"
        )
    rules = replace(wish.rules, strengths=chosen.strengths, slice_px=chosen.slice_px, min_colours=1)
    again = replace(given_slice(canvas, rules, (chosen.x_px, chosen.y_px), chosen.seed), seeds=chosen.seeds)
    return replace(wish, canvases=(canvas,), rules=rules, recorded=again)
