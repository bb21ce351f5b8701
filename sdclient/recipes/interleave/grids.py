"""The grids of interleave: all images of a chapter and style on one sheet, built from the records of the run."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sdclient.batch.publish import locate
from sdclient.errors import RunFolderError
from sdclient.files import safe_name
from sdclient.images import open_rgb
from sdclient.recipes.documents import Shelf, made_jobs, variant_end
from sdclient.recipes.interleave.config import GenerationConfig
from sdclient.recipes.interleave.plan import Frame, InterleavePlan
from sdclient.run import Run

if TYPE_CHECKING:
    from PIL import Image

MAX_SIDE_PX = 8192
_SOURCES = "sdclient_sources"


@dataclass(frozen=True, slots=True)
class BuiltGrids:
    """What was built.

    Attributes:
        grids: The grids that are there now.
        missing: A sentence for every grid that waits for images.
        remarks: A sentence for everything else people should know.
    """

    grids: tuple[Path, ...]
    missing: tuple[str, ...]
    remarks: tuple[str, ...]


def build_grids(run: Run, plan: InterleavePlan, generation: GenerationConfig) -> BuiltGrids:
    """Build every grid whose images are all there, and put images that were handed on unchanged beside the others.

    Again, it builds only what has changed.

    Raises:
        StorageError: If the folder cannot be written.
    """
    shelf = Shelf(run.folder)
    made, end = _made(run, plan), variant_end(run)
    if generation.save_individual:
        _put_copies(run, plan, shelf, made)
    grids: list[Path] = []
    missing: list[str] = []
    for (chapter, tag), frames in _sheets(plan.frames, all_chapters=generation.grid_all_chapters).items():
        absent = sum(frame.job not in made for frame in frames)
        if absent:
            missing.append(f"{tag} grid-{chapter}: {absent} of {len(frames)} images are still missing")
            continue
        place = f"{plan.folder}/{safe_name(f'{tag} grid-{chapter}')}{end}.png"
        try:
            grids.append(_put_grid(run, shelf, place, [made[frame.job] for frame in frames]))
        except RunFolderError as exc:
            missing.append(f"{tag} grid-{chapter}: {exc}")
    return BuiltGrids(tuple(grids), tuple(missing), tuple(shelf.remarks))


def _sheets(frames: Sequence[Frame], *, all_chapters: bool) -> dict[tuple[int, str], list[Frame]]:
    sheets: dict[tuple[int, str], list[Frame]] = {}
    for frame in frames:
        sheets.setdefault((frame.chapter, frame.tag), []).append(frame)
    if all_chapters:
        return {
            (chapter, tag): [frame for frame in frames if frame.tag == tag and frame.chapter <= chapter]
            for chapter, tag in sheets
        }
    return sheets


def _made(run: Run, plan: InterleavePlan) -> dict[str, str]:
    """Return by the jobs of the plan those whose images stand at their places: later revisions, or a variant's."""
    made = made_jobs(run)
    return {job.id: made[job.kind, job.place] for job in plan.jobs.jobs if (job.kind, job.place) in made}


def _put_copies(run: Run, plan: InterleavePlan, shelf: Shelf, made: Mapping[str, str]) -> None:
    end = variant_end(run)
    for frame in plan.frames:
        if not (frame.is_copy and frame.job in made):
            continue
        # One that is gone is missing in its grid, too, which says so.
        with suppress(RunFolderError):
            path = locate(run.folder, run.folder.record(made[frame.job]), 0)
            shelf.put(str(PurePosixPath(plan.images) / f"{frame.name}{end}_1{path.suffix}"), path.read_bytes())


def _put_grid(run: Run, shelf: Shelf, place: str, jobs: Sequence[str]) -> Path:
    records = [run.folder.record(job) for job in jobs]
    sources = hashlib.sha256(" ".join(record.files[0].sha256 for record in records).encode()).hexdigest()
    path = run.folder.out / place
    # The bytes too: what a grid says of itself stands before its pixels, and a cut off or edited one says the same.
    if _sources_of(path) == sources and shelf.holds(place):
        return path
    images = [locate(run.folder, record, 0).read_bytes() for record in records]
    return shelf.put(place, _png(draw_grid(images), sources))


def _sources_of(path: Path) -> str | None:
    """Return from what a grid was built, by what it says itself; None where it says nothing."""
    from PIL import Image

    try:
        image = Image.open(path)
        with image:
            return str(image.info.get(_SOURCES))
    except (OSError, ValueError, SyntaxError):
        return None


def draw_grid(images: Sequence[bytes], *, max_side_px: int = MAX_SIDE_PX) -> Image.Image:
    """Draw images on one sheet, row by row, on black; no row is left empty.

    Args:
        images: Image files, one at least. All cells are as large as the first; others are fitted in, never stretched.
        max_side_px: Where the sheet would be larger, its cells are made smaller.

    Returns:
        An RGB image of ceil(sqrt(n)) columns.

    Raises:
        CodecError: If one of them is no image.
    """
    from PIL import Image, ImageOps

    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    first = open_rgb(images[0])
    scale = min(1.0, max_side_px / (columns * first.width), max_side_px / (rows * first.height))
    cell = max(1, int(first.width * scale)), max(1, int(first.height * scale))
    sheet = Image.new("RGB", (columns * cell[0], rows * cell[1]))
    for index, data in enumerate(images):
        image = first if index == 0 else open_rgb(data)
        fitted = image if image.size == cell else ImageOps.pad(image, cell)
        sheet.paste(fitted, (index % columns * cell[0], index // columns * cell[1]))
    return sheet


def _png(image: Image.Image, sources: str) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    notes = PngInfo()
    notes.add_text(_SOURCES, sources)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=notes)
    return file.getvalue()
