"""The nations study as the two tables of EMIF-ImageGeneration: ``image_data.csv`` and ``metrics.csv``.

Both follow from the run folder alone, so they can be written again at any time. Where the originals
held the image itself in a cell, these hold its path and hash; the image only when it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sdclient.batch.log import image_rows, read_attempts
from sdclient.batch.publish import sha256_of
from sdclient.errors import RunFolderError
from sdclient.files import format_row, fsync_dir, fsync_file, resolve_inside, storage_errors
from sdclient.images import encode_base64
from sdclient.recipes.documents import Shelf
from sdclient.run import Run

IMAGE_DATA = "image_data.csv"
METRICS = "metrics.csv"
BASE64_COLUMN = "Base64 Code"
IMAGE_DATA_COLUMNS = (
    "Nation",
    "Category",
    "Filename",
    "CPU Usage (%)",
    "RAM Usage (MB)",
    "Path",
    "SHA256",
    "Size (bytes)",
    "Width (px)",
    "Height (px)",
    "Seed",
    "Prompt",
    "Payload",
)
"""Columns of ``image_data.csv``: EMIF's first, then ours; with images, ``Base64 Code`` comes third."""
METRICS_COLUMNS = ("Filename", "RAM Usage (MB)", "CPU Usage (%)", "Time (s)", "Path", "SHA256")
"""Columns of ``metrics.csv``: EMIF's first, then ours."""

Row = Mapping[str, str]


def require_own_tables(run: Run) -> None:
    """Refuse to write over tables that this run did not write: an older program's look the same, to the last column.

    Raises:
        StorageError: If one of the two is such a file.
    """
    shelf = Shelf(run.folder)
    for name in (IMAGE_DATA, METRICS):
        shelf.require_ours(name)


def export_emif(run: Run, *, with_base64: bool = False) -> tuple[Path, Path]:
    """Write EMIF's two tables from what is done so far.

    Args:
        run: A nations study.
        with_base64: Put every generated image into its row as well. Such cells are megabytes long: Python's own CSV
            reader refuses them until its field size limit is raised, and spreadsheets cut them.

    Returns:
        The paths of ``image_data.csv`` (generated images) and ``metrics.csv`` (baked images).

    Raises:
        StorageError: If they cannot be written, or are somebody else's; files that were there are unchanged then.
        RunFolderError: If a record is damaged, or an image that is wanted in the table is gone.
    """
    require_own_tables(run)
    figures = {row["job"]: row for row in read_attempts(run.folder)[0] if row.get("status") == "done"}
    specs = {job.id: job.spec for job in run.jobs()}
    rows = [row for row in image_rows(run.folder)[1] if "nation" in row]
    generated = [_image_data(row, figures, specs) for row in rows if row["kind"] == "txt2img"]
    baked = [_metrics(row, figures) for row in rows if row["kind"] == "img2img"]
    data = _write(run, IMAGE_DATA, _image_data_lines(run.out, generated, with_base64=with_base64))
    return data, _write(run, METRICS, [format_row(METRICS_COLUMNS), *(_line(row, METRICS_COLUMNS) for row in baked)])


def _image_data(row: Row, figures: Mapping[str, Row], specs: Mapping[str, str]) -> Row:
    return {
        **_shared(row, figures),
        "Nation": row["nation"],
        "Category": row["category"],
        "Size (bytes)": row["size_bytes"],
        "Width (px)": row["width_px"],
        "Height (px)": row["height_px"],
        "Seed": row["seed"],
        "Prompt": row["prompt"],
        "Payload": specs[row["job"]],
    }


def _metrics(row: Row, figures: Mapping[str, Row]) -> Row:
    return {**_shared(row, figures), "Time (s)": row["execute_s"]}


def _shared(row: Row, figures: Mapping[str, Row]) -> Row:
    measured = figures.get(row["job"], {})
    return {
        "Filename": row["image"].rpartition("/")[2],
        "CPU Usage (%)": measured.get("client_cpu_percent_mean", ""),
        "RAM Usage (MB)": measured.get("client_ram_used_mb_mean", ""),
        "Path": row["image"],
        "SHA256": row["sha256"],
    }


def _image_data_lines(out: Path, rows: Iterable[Row], *, with_base64: bool) -> Iterator[bytes]:
    before, after = IMAGE_DATA_COLUMNS[:2], IMAGE_DATA_COLUMNS[2:]
    if not with_base64:
        yield format_row(IMAGE_DATA_COLUMNS)
        yield from (_line(row, IMAGE_DATA_COLUMNS) for row in rows)
        return
    yield format_row((*before, BASE64_COLUMN, *after))
    for row in rows:
        # Not through format_row, which keeps cells to what a spreadsheet takes; base64 needs no quotes.
        image = encode_base64(_read(out, row["Path"])).encode()
        yield _line(row, before).rstrip(b"\n") + b"," + image + b"," + _line(row, after)


def _read(out: Path, place: str) -> bytes:
    try:
        return resolve_inside(out, place).read_bytes()
    except OSError as exc:
        raise RunFolderError(
            f"{out / place}: the image cannot be read ({exc.strerror}); bring it back, or leave the images out of the table"
        ) from exc


def _line(row: Row, columns: Iterable[str]) -> bytes:
    return format_row(row[name] for name in columns)


def _write(run: Run, name: str, lines: Iterable[bytes]) -> Path:
    """Write a table whole or not at all, a line at a time: with images in it, it may not fit into memory."""
    path = run.out / name
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    with storage_errors("write", path):
        try:
            with temporary.open("wb") as file:
                file.writelines(lines)
                file.flush()
                fsync_file(file.fileno())
            # Noted first: a program killed in between must not take its own table for somebody else's.
            Shelf(run.folder).note(name, sha256_of(temporary))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    fsync_dir(path.parent)
    return path
