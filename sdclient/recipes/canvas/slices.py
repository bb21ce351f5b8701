"""Canvases, the slices that are taken from them, and how: a slice follows from its seed."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from sdclient.batch.plan import job_seed
from sdclient.errors import ConfigurationError
from sdclient.images import open_rgb, read_image_input
from sdclient.recipes.canvas.strengths import PASSES, STRENGTH
from sdclient.steps.generate import GenerateSpec

if TYPE_CHECKING:
    from PIL import Image


SLICE_PX = 32
MIN_COLOURS = 2
_STEP_PX = 64
_TRIES = 1000


@dataclass(frozen=True, slots=True)
class Canvas:
    """An image to take slices from.

    Attributes:
        name: Its file's name.
        sha256: Of the file's bytes.
        image: RGB; what was transparent is white.
    """

    name: str
    sha256: str
    image: Image.Image

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.size


@dataclass(frozen=True, slots=True)
class Slice:
    """A piece of a canvas and how it is drawn over; the same slice gives the same requests.

    Attributes:
        canvas: File name of the canvas.
        canvas_sha256: Of that file.
        x_px: Left edge on the canvas.
        y_px: Upper edge on the canvas.
        slice_px: Edge of the piece on the canvas.
        seed: What canvas, place and the seeds follow from.
        strengths: Of each pass, 0 (nothing changes, nothing is sent) to 1.
        seeds: Of each pass.
        request: What is asked in every pass, apart from its strength and seed.
    """

    canvas: str
    canvas_sha256: str
    x_px: int
    y_px: int
    slice_px: int
    seed: int
    strengths: tuple[float, ...]
    seeds: tuple[int, ...]
    request: Mapping[str, JsonValue]

    def to_bytes(self) -> bytes:
        """Return the content of ``0001.json``."""
        return (json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n").encode()


@dataclass(frozen=True, slots=True)
class SliceRules:
    """How slices are chosen and drawn over.

    Attributes:
        spec: The payload; it says how large a slice is enlarged.
        strengths: Of each pass.
        slice_px: Edge of a slice on its canvas.
        min_colours: A slice of fewer colours is blank and not taken.
        by_area: Prefer large canvases by their area; False takes each canvas equally often.
    """

    spec: GenerateSpec
    strengths: tuple[float, ...] = (STRENGTH,) * PASSES
    slice_px: int = SLICE_PX
    min_colours: int = MIN_COLOURS
    by_area: bool = False

    @property
    def size_px(self) -> int:
        """Edge of the enlarged slice.

        Raises:
            ConfigurationError: If the payload's size is no square, no multiple of 64, or no multiple of the slice.
        """
        size = self.spec.request.size
        if size is None or size[0] != size[1] or size[0] % _STEP_PX or size[0] % self.slice_px:
            shown = "no size" if size is None else f"{size[0]}x{size[1]}"
            raise ConfigurationError(
                f"canvas: the payload says {shown}, and every pixel of a {self.slice_px}x{self.slice_px} slice becomes "
                f"a square block: width and height must be equal, a multiple of {_STEP_PX} and of {self.slice_px}"
            )
        return size[0]


def open_canvas(path: Path) -> Canvas:
    """Read a canvas; transparency becomes white, a palette its colours.

    Raises:
        ConfigurationError: If the file cannot be read.
        CodecError: If it is no image.
    """
    data = read_image_input(path)
    return Canvas(path.name, hashlib.sha256(data).hexdigest(), open_rgb(data, what=path.name))


def choose_slice(canvases: Sequence[Canvas], rules: SliceRules, seed: int) -> Slice:
    """Choose a slice by a seed: a canvas, then a place anywhere on it that is not blank.

    Raises:
        ConfigurationError: If a canvas is smaller than a slice, or nothing but blank was found.
    """
    for canvas in canvases:
        _check_place(canvas, rules, 0, 0)
    rng = random.Random(seed)
    left = list(canvases)
    while left:
        weights = [canvas.size[0] * canvas.size[1] if rules.by_area else 1 for canvas in left]
        (canvas,) = rng.choices(left, weights)
        if (place := _place_on(canvas, rules, rng)) is not None:
            return _slice(canvas, rules, place, seed)
        left.remove(canvas)
    raise ConfigurationError(
        f"canvas: {_TRIES} random slices of {' and as many of '.join(one.name for one in canvases)} all have fewer "
        f"than {rules.min_colours} colours; lower --min-colours, or name a place with --slice X,Y"
    )


def _place_on(canvas: Canvas, rules: SliceRules, rng: random.Random) -> tuple[int, int] | None:
    """Return a place that is not blank; None where none was found.

    The canvas stays: were it chosen anew for every blank place, one that is mostly blank would hardly ever come.
    """
    for _ in range(_TRIES):
        x_px = rng.randint(0, canvas.size[0] - rules.slice_px)
        y_px = rng.randint(0, canvas.size[1] - rules.slice_px)
        if count_colours(canvas, rules, x_px, y_px) >= rules.min_colours:
            return x_px, y_px
    return None


def given_slice(canvas: Canvas, rules: SliceRules, place_xy: tuple[int, int], seed: int) -> Slice:
    """Take the slice at a place, in pixels from the upper left corner of the canvas.

    Raises:
        ConfigurationError: If the place is not on the canvas, or blank.
    """
    _check_place(canvas, rules, *place_xy)
    found = count_colours(canvas, rules, *place_xy)
    if found < rules.min_colours:
        raise ConfigurationError(
            f"{canvas.name}: the slice at {place_xy[0]},{place_xy[1]} has {found} colours, {rules.min_colours} are "
            "asked for; choose another place, or lower --min-colours"
        )
    return _slice(canvas, rules, place_xy, seed)


def count_colours(canvas: Canvas, rules: SliceRules, x_px: int, y_px: int) -> int:
    """Return how many colours a slice has."""
    return len(_crop(canvas, x_px, y_px, rules.slice_px).getcolors(rules.slice_px**2) or ())


def _check_place(canvas: Canvas, rules: SliceRules, x_px: int, y_px: int) -> None:
    width_px, height_px = canvas.size
    edge = rules.slice_px
    if min(width_px, height_px) < edge:
        raise ConfigurationError(
            f"{canvas.name}: {width_px}x{height_px} pixels are smaller than a {edge}x{edge} slice; "
            "give a larger canvas, or a smaller --slice-px"
        )
    if not (0 <= x_px <= width_px - edge and 0 <= y_px <= height_px - edge):
        raise ConfigurationError(
            f"{canvas.name}: a slice at {x_px},{y_px} would leave the canvas of {width_px}x{height_px} pixels; "
            f"x goes from 0 to {width_px - edge}, y from 0 to {height_px - edge}"
        )


def _slice(canvas: Canvas, rules: SliceRules, place_xy: tuple[int, int], seed: int) -> Slice:
    numbers = range(1, len(rules.strengths) + 1)
    seeds = tuple(job_seed(seed, "img2img", f"pass {number}") for number in numbers)
    strengths, request = tuple(rules.strengths), recorded_request(rules.spec)
    return Slice(canvas.name, canvas.sha256, *place_xy, rules.slice_px, seed, strengths, seeds, request)


def recorded_request(spec: GenerateSpec) -> Mapping[str, JsonValue]:
    """Return the request of all passes as ``0001.json`` holds it."""
    return spec.request.model_dump(mode="json", exclude_unset=True)


def _crop(canvas: Canvas, x_px: int, y_px: int, edge_px: int) -> Image.Image:
    return canvas.image.crop((x_px, y_px, x_px + edge_px, y_px + edge_px))


def enlarge_slice(canvas: Canvas, chosen: Slice, size_px: int) -> bytes:
    """Return a slice as a PNG whose every pixel has become a square block of one colour."""
    from PIL import Image

    piece = _crop(canvas, chosen.x_px, chosen.y_px, chosen.slice_px)
    return read_image_input(piece.resize((size_px, size_px), Image.Resampling.NEAREST))
