"""What people look at of a slice: its last image, a strip of all of them, and all of them in turn as a GIF.

Built from the run's records alone, so they can be built again at any time, without a server.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdclient.errors import RunFolderError
from sdclient.files import resolve_inside
from sdclient.images import open_rgb, read_image_input
from sdclient.recipes.canvas.passes import pass_place
from sdclient.recipes.canvas.records import original_name, read_slices, slice_name
from sdclient.recipes.canvas.slices import Slice
from sdclient.recipes.documents import Shelf
from sdclient.run import Run

if TYPE_CHECKING:
    from PIL import Image

_FRAME_MS = 700
_LAST_FRAME_MS = 1800
"""The last image stays longer, so that the eye sees where the loop ends."""


@dataclass(frozen=True, slots=True)
class SliceDocuments:
    """What was built for one slice.

    Attributes:
        number: The slice.
        paths: The last image, the strip and the GIF.
        remarks: A sentence for every file of somebody else's, or changed by hand, that was kept aside.
    """

    number: int
    paths: tuple[Path, ...]
    remarks: tuple[str, ...] = ()


def build_documents(run: Run, *, anew: bool = False) -> list[SliceDocuments]:
    """Build the documents of every slice whose passes are all done.

    Args:
        run: A run of canvas slices.
        anew: Build those that are there and not older than their images too.

    Returns:
        What was built; slices that are not finished, or were built before, are left out.

    Raises:
        RunFolderError: If an image of a done pass is gone.
        StorageError: If something cannot be written.
    """
    made = _made_images(run)
    built: list[SliceDocuments] = []
    for number, chosen in read_slices(run.out):
        frames = slice_frames(run.out, number, chosen, made)
        if frames and (anew or not _is_built(run.out, number, frames)):
            built.append(_build(run, number, frames))
    return built


def slice_frames(out: Path, number: int, chosen: Slice, made: Mapping[str, Path]) -> list[Path]:
    """Return the images of a slice in order, the original first; empty while passes are missing.

    Args:
        out: The output folder.
        number: The slice.
        chosen: What it is.
        made: The images of done passes, by their places.
    """
    original = out / original_name(number)
    frames = [original] if original.is_file() else []
    for step, strength in enumerate(chosen.strengths, start=1):
        # A strength of 0 changes nothing, and nothing was sent.
        frame = made.get(pass_place(number, step)) if strength else frames[-1] if frames else None
        if frame is None:
            return []
        frames.append(frame)
    return frames


def _made_images(run: Run) -> dict[str, Path]:
    places = {job.id: job.place for job in run.jobs()}
    # In the order of the plan: of a pass that was made again, the last one counts.
    return {places[one.job]: resolve_inside(run.out, one.files[0].place) for one in run.folder.records() if one.files}


def _documents(out: Path, number: int, last: Path) -> tuple[Path, Path, Path]:
    name = slice_name(number)
    return out / f"{name}_generated{last.suffix}", out / f"{name}_strip.png", out / f"{name}.gif"


def _is_built(out: Path, number: int, frames: Sequence[Path]) -> bool:
    documents = _documents(out, number, frames[-1])
    if not all(path.is_file() for path in documents):
        return False
    newest_ns = max((path.stat().st_mtime_ns for path in frames if path.is_file()), default=0)
    return min(path.stat().st_mtime_ns for path in documents) >= newest_ns


def _build(run: Run, number: int, frames: Sequence[Path]) -> SliceDocuments:
    try:
        data = [path.read_bytes() for path in frames]
    except OSError as exc:
        raise RunFolderError(
            f"{exc.filename}: an image of slice {number} cannot be read ({exc.strerror}); bring it back, or `sdclient redo` it"
        ) from exc
    images = [open_rgb(one, what=path.name) for one, path in zip(data, frames, strict=True)]
    shelf = Shelf(run.folder)
    contents = data[-1], strip_of(images), gif_of(images)
    documents = zip(_documents(run.out, number, frames[-1]), contents, strict=True)
    paths = tuple(shelf.put(path.name, content) for path, content in documents)
    return SliceDocuments(number, paths, tuple(shelf.remarks))


def strip_of(images: Sequence[Image.Image]) -> bytes:
    """Return images side by side as a PNG, the first at the left, all at the height of the first."""
    from PIL import Image

    height_px = images[0].height
    fitted = [one if one.height == height_px else _to_height(one, height_px) for one in images]
    strip = Image.new("RGB", (sum(one.width for one in fitted), height_px))
    left_px = 0
    for one in fitted:
        strip.paste(one, (left_px, 0))
        left_px += one.width
    return read_image_input(strip)


def gif_of(images: Sequence[Image.Image]) -> bytes:
    """Return images in turn as an endless GIF of the first one's size."""
    first = images[0]
    frames = [one if one.size == first.size else one.resize(first.size) for one in images]
    # One palette of its own for each frame: pixel art and what becomes of it share few colours.
    paletted = [one.quantize(256) for one in frames]
    file = io.BytesIO()
    times_ms = [_FRAME_MS] * (len(frames) - 1) + [_LAST_FRAME_MS]
    paletted[0].save(file, "GIF", save_all=True, append_images=paletted[1:], duration=times_ms, loop=0, optimize=False)
    return file.getvalue()


def _to_height(image: Image.Image, height_px: int) -> Image.Image:
    return image.resize((max(1, round(image.width * height_px / image.height)), height_px))
