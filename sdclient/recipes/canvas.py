"""Slices of pixel art, drawn over again and again without words, each pass over the one before.

::

    OUT/0001_original.png    32x32 pixels of a canvas, each as a block of 16x16
    OUT/0001.json            canvas, place, seeds, strengths and request: enough to make the slice again
    OUT/passes/0001_pass_<p>_1.png    what each pass made
    OUT/0001_generated.png · 0001_strip.png · 0001.gif    the last pass; all of them side by side; all in turn

A slice follows from its seed: which canvas, where on it, and the seed of every pass.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue, TypeAdapter, ValidationError

from sdclient.batch.plan import FileInput, Job, OutputInput, job_seed
from sdclient.errors import ConfigurationError
from sdclient.files import create_whole, storage_errors, write_durable
from sdclient.images import open_rgb, read_image_input
from sdclient.planning import JobList
from sdclient.schemas import Img2Img
from sdclient.steps.generate import GenerateSpec

if TYPE_CHECKING:
    from PIL import Image

PAYLOAD = "canvas"
PASSES = 4
SLICE_PX = 32
MIN_COLOURS = 2
STRENGTH = 0.4
PRESETS = {"as-documented": 0.05, "as-run": 0.8}
"""Strengths by name: what the original's page says, and what its program really did (a misspelt name was ignored)."""
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


def parse_strengths(text: str, passes: int | None = None) -> tuple[float, ...]:
    """Read strengths: one number or preset for all passes, or a list with one for each.

    Args:
        text: Such as ``0.4``, ``as-run`` or ``0.8,0.5,0.3``.
        passes: How many passes there are; None takes the list's length, or four.

    Raises:
        ConfigurationError: If a strength is none, or the list has another length.
    """
    values = tuple(_strength(part) for part in text.split(","))
    if len(values) == 1:
        return values * (PASSES if passes is None else passes)
    if passes not in (None, len(values)):
        raise ConfigurationError(
            f"--strength {text[:60]}: {len(values)} strengths for {passes} passes; give one a pass"
        )
    return values


def _strength(text: str) -> float:
    try:
        value = PRESETS[text.strip()] if text.strip() in PRESETS else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigurationError(
            f"--strength {text[:40]!r}: give a number from 0 to 1, {' or '.join(PRESETS)}, or a list such as 0.8,0.5,0.3"
        )
    return value


def choose_slice(canvases: Sequence[Canvas], rules: SliceRules, seed: int) -> Slice:
    """Choose a slice by a seed: a canvas, then a place anywhere on it that is not blank.

    Raises:
        ConfigurationError: If a canvas is smaller than a slice, or nothing but blank was found.
    """
    for canvas in canvases:
        _check_place(canvas, rules, 0, 0)
    rng = random.Random(seed)
    weights = [canvas.size[0] * canvas.size[1] if rules.by_area else 1 for canvas in canvases]
    for _ in range(_TRIES):
        (canvas,) = rng.choices(canvases, weights)
        x_px = rng.randint(0, canvas.size[0] - rules.slice_px)
        y_px = rng.randint(0, canvas.size[1] - rules.slice_px)
        if count_colours(canvas, rules, x_px, y_px) >= rules.min_colours:
            return _slice(canvas, rules, (x_px, y_px), seed)
    raise ConfigurationError(
        f"canvas: {_TRIES} random slices of {', '.join(one.name for one in canvases)} all have fewer than "
        f"{rules.min_colours} colours; lower --min-colours, or name a place with --slice X,Y"
    )


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


def _crop(canvas: Canvas, x_px: int, y_px: int, edge_px: int) -> Image.Image:
    return canvas.image.crop((x_px, y_px, x_px + edge_px, y_px + edge_px))


def enlarge_slice(canvas: Canvas, chosen: Slice, size_px: int) -> bytes:
    """Return a slice as a PNG whose every pixel has become a square block of one colour."""
    from PIL import Image

    piece = _crop(canvas, chosen.x_px, chosen.y_px, chosen.slice_px)
    return read_image_input(piece.resize((size_px, size_px), Image.Resampling.NEAREST))


def slice_name(number: int) -> str:
    """Return what files of a slice begin with."""
    return f"{number:04d}"


def number_slices(out: Path, slices: Sequence[Slice]) -> list[int]:
    """Return the number that each slice has in a folder, or would get next; nothing is written.

    Raises:
        StorageError: If one of the folder's files cannot be read.
    """
    records = list(_records(out))
    with storage_errors("read", out):
        # Of two that say the same, the lower number has it.
        numbers = {path.read_bytes(): number for number, path in reversed(records)}
    taken = {number for number, _ in records}
    free = (number for number in itertools.count(1) if number not in taken)
    for chosen in slices:
        if (data := chosen.to_bytes()) not in numbers:
            numbers[data] = next(free)
    return [numbers[chosen.to_bytes()] for chosen in slices]


def keep_slice(out: Path, canvas: Canvas, chosen: Slice, rules: SliceRules, *, first: int = 1) -> int:
    """Give a slice its number in a folder, and put down what it is; one that is there already keeps its own.

    Whoever creates the number's file first has it, so two runs never write over each other.

    Args:
        out: The folder.
        canvas: Where the slice is taken from.
        chosen: The slice.
        rules: How large it is enlarged.
        first: The lowest number it may get.

    Returns:
        The number.

    Raises:
        StorageError: If it cannot be written.
    """
    data = chosen.to_bytes()
    with storage_errors("make the folder", out):
        out.mkdir(parents=True, exist_ok=True)
    number = first
    while not _is_ours(out / f"{slice_name(number)}.json", data):
        number += 1
    original = out / f"{slice_name(number)}_original.png"
    if not original.is_file():
        write_durable(original, enlarge_slice(canvas, chosen, rules.size_px))
    return number


def _is_ours(path: Path, data: bytes) -> bool:
    with storage_errors("read", path):
        # Asked before it is created: a folder of many slices is then searched without writing.
        return path.read_bytes() == data if path.exists() else create_whole(path, data) or path.read_bytes() == data


def read_slices(out: Path) -> Iterator[tuple[int, Slice]]:
    """Read the slices of a folder with their numbers, in order.

    Raises:
        ConfigurationError: If one of the files is none of ours.
    """
    for number, path in _records(out):
        yield number, read_slice(path)


def _records(out: Path) -> Iterator[tuple[int, Path]]:
    paths = out.glob("[0-9]" * 4 + "*.json")
    return iter(sorted((int(path.stem), path) for path in paths if path.stem.isdecimal()))


@cache
def _adapter() -> TypeAdapter[Slice]:
    """Return what reads slices; made once, because making it takes longer than reading one."""
    return TypeAdapter(Slice)


def read_slice(path: Path) -> Slice:
    """Read the file of one slice, to make it again.

    Raises:
        ConfigurationError: If it is none.
    """
    try:
        return _adapter().validate_json(path.read_bytes())
    except (OSError, ValidationError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else f"{exc.error_count()} of its keys are missing or wrong"
        raise ConfigurationError(f"{path}: describes no slice ({reason}); name a file such as OUT/0001.json") from exc


def plan_slice(listed: JobList, rules: SliceRules, number: int, chosen: Slice) -> list[Job]:
    """Plan the passes over a slice, each over the result of the one before; a strength of 0 needs none."""
    source: FileInput | OutputInput = FileInput(".", f"{slice_name(number)}_original.png")
    planned: list[Job] = []
    columns = {"slice": slice_name(number), "canvas": chosen.canvas, "x_px": str(chosen.x_px), "y_px": str(chosen.y_px)}
    for step, (strength, seed) in enumerate(zip(chosen.strengths, chosen.seeds, strict=True), start=1):
        if not strength:
            continue
        changes: dict[str, JsonValue] = {"denoising_strength": strength, "seed": seed}
        own = {**columns, "pass": str(step), "strength": f"{strength:g}"}
        job = listed.add(rules.spec, pass_place(number, step), input=source, changes=changes, columns=own)
        planned.append(job)
        source = OutputInput(job.id)
    return planned


def pass_place(number: int, step: int) -> str:
    """Return the place of a pass's image."""
    return f"passes/{slice_name(number)}_pass_{step}"


def spec_of(request: Img2Img) -> GenerateSpec:
    """Return the spec of all passes.

    Raises:
        ConfigurationError: If the payload makes more than one image.
    """
    if request.image_count != 1:
        raise ConfigurationError("canvas: one image follows another; set batch_size and n_iter of the payload to 1")
    return GenerateSpec(request)


def recorded_request(spec: GenerateSpec) -> Mapping[str, JsonValue]:
    """Return the request of all passes as ``0001.json`` holds it: without what each pass has of its own."""
    return spec.request.model_dump(mode="json", exclude_unset=True, exclude={"denoising_strength", "seed"})


def strengths_of(request: Img2Img, passes: int | None) -> tuple[float, ...]:
    """Return the payload's own strength for every pass."""
    strength = STRENGTH if request.denoising_strength is None else request.denoising_strength
    return (strength,) * (PASSES if passes is None else passes)
