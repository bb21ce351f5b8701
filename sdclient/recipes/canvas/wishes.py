"""Slices as people wish for them: anywhere, at a place, or as one of before; planned under the numbers they will get."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sdclient.batch.plan import job_seed
from sdclient.errors import ConfigurationError
from sdclient.planning import JobList
from sdclient.recipes.canvas.passes import plan_slice
from sdclient.recipes.canvas.records import keep_slice, number_slices, slice_name
from sdclient.recipes.canvas.slices import Canvas, Slice, SliceRules, choose_slice, given_slice

_PLACE = re.compile(r"(?:(.+):)?\s*(\d{1,9})\s*,\s*(\d{1,9})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place:
    """A place on a canvas, in pixels from its upper left corner."""

    canvas: Canvas
    x_px: int
    y_px: int


@dataclass(frozen=True, slots=True)
class Numbered:
    """A slice, the canvas it is taken from, the number it has or will get, and the edge it is enlarged to."""

    number: int
    canvas: Canvas
    chosen: Slice
    size_px: int

    def __str__(self) -> str:
        chosen = self.chosen
        steps = ", ".join(f"{strength:g}" for strength in chosen.strengths)
        where = f"{chosen.x_px},{chosen.y_px} of {chosen.canvas}"
        return f"slice {slice_name(self.number)}: {where}, enlarged to {self.size_px}x{self.size_px}, strengths {steps}"


class NumberTakenError(ConfigurationError):
    """Another command gave a slice the number that was planned for one of ours."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What slices are wanted.

    Attributes:
        canvases: The images to take them from.
        rules: How they are chosen and drawn over.
        places: Given places; none means anywhere.
        recorded: A slice of before that is made again; None for new ones.
    """

    canvases: tuple[Canvas, ...]
    rules: SliceRules
    places: tuple[Place, ...] = ()
    recorded: Slice | None = None

    def again(self, recorded: Slice) -> Wish:
        """Return the wish for a slice of before, as it was.

        Raises:
            ConfigurationError: If its canvas is none of those given, byte for byte.
        """
        canvas = next((one for one in self.canvases if one.sha256 == recorded.canvas_sha256), None)
        if canvas is None:
            given = ", ".join(one.name for one in self.canvases)
            raise ConfigurationError(
                f"--again: that slice was taken from {recorded.canvas} (sha256 {recorded.canvas_sha256[:12]}...), "
                f"and none of {given} is that file"
            )
        rules = replace(self.rules, strengths=recorded.strengths, slice_px=recorded.slice_px, min_colours=1)
        chosen = given_slice(canvas, rules, (recorded.x_px, recorded.y_px), recorded.seed)
        return replace(self, canvases=(canvas,), rules=rules, recorded=replace(chosen, seeds=recorded.seeds))

    def slices(self, out: Path, seed: int, rounds: range) -> list[Numbered]:
        """Return the slices of some rounds, one each, or one for every given place; nothing is written.

        Args:
            out: The folder that gives them their numbers.
            seed: What the slices follow from.
            rounds: Which rounds, from 1.

        Raises:
            ConfigurationError: If there is no such slice, or the payload's size makes no blocks of its pixels.
        """
        size_px = self.rules.size_px
        if self.recorded is not None:
            found = [(self.canvases[0], self.recorded)]
        else:
            found = [one for number in rounds for one in self._round(job_seed(seed, "slice", str(number)))]
        numbers = number_slices(out, [chosen for _, chosen in found])
        return [Numbered(number, *one, size_px) for number, one in zip(numbers, found, strict=True)]

    def _round(self, seed: int) -> list[tuple[Canvas, Slice]]:
        if self.places:
            return [
                (one.canvas, given_slice(one.canvas, self.rules, (one.x_px, one.y_px), seed)) for one in self.places
            ]
        chosen = choose_slice(self.canvases, self.rules, seed)
        return [(next(one for one in self.canvases if one.sha256 == chosen.canvas_sha256), chosen)]

    def plan(self, slices: Sequence[Numbered]) -> JobList:
        """Plan every pass over some slices."""
        listed = JobList()
        for one in slices:
            plan_slice(listed, self.rules, one.number, one.chosen)
        return listed

    def keep(self, out: Path, slices: Sequence[Numbered]) -> None:
        """Put down what slices are; those that are there stay as they are.

        Raises:
            NumberTakenError: If another command took one of their numbers meanwhile; now they have others.
            StorageError: If it cannot be written.
        """
        kept = [keep_slice(out, one.canvas, one.chosen, self.rules, first=one.number) for one in slices]
        if kept != [one.number for one in slices]:
            raise NumberTakenError(f"{out}: another command took a number for its slice at the same moment")


def parse_place(text: str, canvases: Sequence[Canvas]) -> Place:
    """Read a place: ``X,Y``, or ``IMAGE:X,Y`` where there are several canvases.

    Raises:
        ConfigurationError: If it is none, or the canvas is not clear.
    """
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
    return Place(found[0], int(x), int(y))
