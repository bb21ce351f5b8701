"""The CSV log of a worker, and the merged views that people read.

``done/`` is the truth, the log is history: one file per worker process, one row per attempt, one
``write()`` a row. The views ``images.csv`` and ``attempts.csv`` are written whole and may be lost.
"""

from __future__ import annotations

import csv
import logging
import os
import posixpath
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from statistics import median

from pydantic import JsonValue

from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import FileInput, Job, OutputInput, latest_done
from sdclient.batch.record import OutFile, Record
from sdclient.batch.views import table_mark, write_view
from sdclient.errors import RunFolderError, StorageError
from sdclient.files import RowLog, format_rows, read_rows, storage_errors

log = logging.getLogger(__name__)

_TAIL_BYTES = 65_536
# All that servers' images may come with: the ending follows the bytes.
_IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".bmp"})
_FIGURE = re.compile(r"\d+(\.\d+)?")

ATTEMPT_COLUMNS = (
    "job",
    "kind",
    "place",
    "status",
    "files",
    "attempt",
    "seed",
    "server",
    "dialect",
    "worker",
    "started",
    "wall_s",
    "prepare_s",
    "execute_s",
    "finish_s",
    "client_cpu_percent_mean",
    "client_cpu_percent_max",
    "client_ram_used_mb_mean",
    "client_ram_used_mb_max",
    "server_rss_mb",
    "gpu_percent_mean",
    "gpu_memory_mb_max",
    "gpu_power_w_mean",
    "energy_wh",
    "energy_above_idle_wh",
    "energy_source",
    "error",
    "message",
)
"""Columns of the log, in order. An empty cell means unknown."""

IMAGE_COLUMNS = (
    "image",
    "kind",
    "job",
    "width_px",
    "height_px",
    "size_bytes",
    "sha256",
    "pixels_sha256",
    "seed",
    "prompt",
    "negative_prompt",
    "input",
    "server",
    "dialect",
    "started",
    "execute_s",
    "attempt",
    "losses",
    "changed",
)
"""Columns of ``images.csv`` before the user's own."""


OnImages = Callable[[Sequence[Mapping[str, str]]], object]
"""Takes the rows of ``images.csv``."""


class AttemptLog:
    """This worker's own CSV file, made with its first row; nobody else writes to it. Threads may share it."""

    def __init__(self, folder: RunFolder, token: str) -> None:
        self._path = folder.state / "log" / f"{token}.csv"
        self._lock = threading.Lock()
        self._rows: RowLog | None = None

    def write(self, cells: Mapping[str, str]) -> None:
        """Append one row; a full disk is a message here, since ``done/`` is the truth."""
        try:
            with self._lock:
                self._rows = self._rows or RowLog(self._path, ATTEMPT_COLUMNS)
                self._rows.append([cells.get(name, "") for name in ATTEMPT_COLUMNS])
        except StorageError as exc:
            log.warning("the log row of job %s is missing: %s", cells.get("job"), exc)

    def close(self) -> None:
        """Close the file; a row that is lost at the last moment is a message, too."""
        with self._lock:
            rows, self._rows = self._rows, None
        try:
            if rows is not None:
                rows.close()
        except StorageError as exc:
            log.warning("the end of the log may be missing: %s", exc)


def read_attempts(folder: RunFolder) -> tuple[list[dict[str, str]], list[str]]:
    """Read all workers' logs together, and rebuild the rows that a kill or a power cut took.

    Returns:
        Every row, oldest first, and a sentence for every line and record that could not be read.

    Raises:
        StorageError: If the folder cannot be read.
    """
    rows, problems = read_logs(folder)
    logged = {row.get("job", "") for row in rows if row.get("status") == "done"}
    with storage_errors("read the run in", folder.out):
        rows += _missing_rows(folder, logged, problems)
    rows.sort(key=lambda row: row.get("started", ""))
    return rows, problems


def read_logs(folder: RunFolder) -> tuple[list[dict[str, str]], list[str]]:
    """Read all workers' logs as they are.

    Returns:
        The rows, and a sentence for every line that could not be read.

    Raises:
        StorageError: If a log cannot be read.
    """
    rows: list[dict[str, str]] = []
    problems: list[str] = []
    for path in log_paths(folder, problems):
        found, trouble = read_rows(path)
        rows += found
        problems += trouble
    return rows, problems


def log_paths(folder: RunFolder, problems: list[str]) -> Iterable[Path]:
    """Give the workers' logs by name; a folder of such a name becomes a sentence in ``problems``."""
    for path in sorted((folder.state / "log").glob("*.csv")):
        if path.is_dir():
            problems.append(f"{path}: a folder, and no log; left out")
        else:
            yield path


def _missing_rows(folder: RunFolder, logged: AbstractSet[str], problems: list[str]) -> Iterable[dict[str, str]]:
    """Rebuild the row of every done job whose worker was killed before it wrote one."""
    # A job is done once, so any row that says so is its own: only the few records without one are opened.
    for record in folder.records(problems, but=logged):
        job = folder.job(record.job)
        if job is not None:
            yield dict.fromkeys(ATTEMPT_COLUMNS, "") | done_cells(job, record)


def typical_seconds(folder: RunFolder, *, rows_per_kind: int = 200) -> dict[str, float]:
    """Return the median seconds a job of each kind held its lane, by the last rows of the logs.

    Only the ends of the logs are read: it is an estimate, and a run may have a hundred thousand rows.

    Args:
        folder: The run.
        rows_per_kind: Rows of each kind that are enough.
    """
    times: dict[str, list[float]] = {}
    for path in sorted((folder.state / "log").glob("*.csv")):
        for row in _last_rows(path):
            known = times.setdefault(row["kind"], [])
            if row["status"] == "done" and row["execute_s"] and len(known) < rows_per_kind:
                known.append(float(row["execute_s"]))
    return {kind: median(values) for kind, values in times.items() if values}


def last_server(folder: RunFolder, kinds: AbstractSet[str]) -> str:
    """Return the name of the server that was at a run last, by the ends of the logs; empty where none is told there.

    Args:
        folder: The run.
        kinds: What servers do.
    """
    paths = sorted((folder.state / "log").glob("*.csv"))
    rows = [row for path in paths for row in _last_rows(path) if row["kind"] in kinds]
    return max(rows, key=lambda row: row["started"])["server"] if rows else ""


def _last_rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            # The first piece may be half a row, or the head: neither has a figure where figures stand.
            lines = file.read().decode("utf-8", "replace").split("\n")[1:]
    except OSError:
        return []
    rows: list[dict[str, str]] = []
    for line in lines:
        row: dict[str, str] = dict(zip(ATTEMPT_COLUMNS, _cells(line), strict=False))
        if _FIGURE.fullmatch(row.get("execute_s", "")):
            rows.append(row)
    return rows


def _cells(line: str) -> list[str]:
    try:
        return [cell for row in csv.reader([line]) for cell in row]
    except csv.Error:
        return []


def done_cells(job: Job, record: Record) -> dict[str, str]:
    """Return the cells of a done job's row that follow from its record."""
    facts = record.facts
    return {
        "job": job.id,
        "kind": job.kind,
        "place": job.place,
        "status": "done",
        "files": " ".join(one.place.replace(" ", "%20") for one in record.files),
        "attempt": str(record.attempt),
        "worker": record.token[:8],
        **{name: _text(facts.get(name)) for name in ("seed", "server", "dialect", "started", "execute_s")},
    }


def image_rows(folder: RunFolder, problems: list[str] | None = None) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and rows of ``images.csv``: one row per image, the user's columns at the end.

    Args:
        folder: The run.
        problems: Takes a sentence for every record that cannot be read.

    Raises:
        StorageError: If the folder cannot be read.
    """
    trouble: list[str] = [] if problems is None else problems
    own: dict[str, None] = {}
    rows: list[dict[str, str]] = []
    with storage_errors("read the run in", folder.out):
        plan = folder.read_plan()
        current = latest_done(plan.jobs, folder.read_done())
        for record in folder.records(trouble):
            job = current.get(record.job)
            if job is None:
                # Redone: its images have given their places to those of a later revision. Or planned a moment ago.
                continue
            columns = {_own_column(name): text for name, text in inherited_columns(plan.jobs, job).items()}
            own.update(dict.fromkeys(columns))
            images = [one for one in record.files if _is_image(job, one.place)]
            rows += [_image_row(job, plan.specs[job.spec], record, one) | columns for one in images]
    return [*IMAGE_COLUMNS, *own], rows


def _is_image(job: Job, place: str) -> bool:
    stem, suffix = posixpath.splitext(place.lower())
    # Layer files and lists are no images, and the previews beside cut-outs only show what the image shows.
    is_preview = job.kind == "segment" and stem.endswith(("_overlay", "_sheet"))
    return suffix in _IMAGE_SUFFIXES and not is_preview


def _own_column(name: str) -> str:
    # A column of the user's must not take the place of one of ours.
    return f"own_{name}" if name in IMAGE_COLUMNS else name


def inherited_columns(jobs: Mapping[str, Job], job: Job) -> dict[str, str]:
    """Return a job's own columns over those of the jobs whose outputs it comes from."""
    chain: list[Job] = []
    current: Job | None = job
    while current is not None:
        chain.append(current)
        current = jobs.get(current.needs or "")
    columns: dict[str, str] = {}
    for one in reversed(chain):
        columns.update(one.columns)
    return columns


def _image_row(job: Job, spec: Mapping[str, JsonValue], record: Record, one: OutFile) -> dict[str, str]:
    request = spec.get("request")
    merged: dict[str, object] = {**request, **job.changes} if isinstance(request, dict) else dict(job.changes)
    if "imported" in record.facts:
        # Another program made it, and nobody knows from which words.
        merged = {}
    cells = {name: _text(one.facts.get(name, record.facts.get(name))) for name in IMAGE_COLUMNS}
    cells |= {
        "image": one.place,
        "kind": job.kind,
        "job": job.id,
        "size_bytes": str(one.size_bytes),
        "sha256": one.sha256,
        "prompt": _text(merged.get("prompt")),
        "negative_prompt": _text(merged.get("negative_prompt")),
        "attempt": str(record.attempt),
        "input": _input_cell(job),
        "losses": _count(record.facts.get("losses")),
        "changed": _count(record.facts.get("changed")),
    }
    return cells


def _input_cell(job: Job) -> str:
    if isinstance(job.input, FileInput):
        return f"{job.input.root}/{job.input.path}"
    return f"job:{job.input.job}:{job.input.index}" if isinstance(job.input, OutputInput) else ""


def _count(value: JsonValue) -> str:
    return str(len(value)) if isinstance(value, list | dict) else ""


def _text(value: object) -> str:
    return "" if value is None else str(value)


def write_views(folder: RunFolder, on_images: OnImages | None = None) -> list[str]:
    """Write ``images.csv`` and ``attempts.csv`` anew.

    Args:
        folder: The run.
        on_images: Given the rows of ``images.csv``, for whoever needs them, too.

    Returns:
        A sentence for everything that was not right; a refused replace is one of them, never an error.
    """
    problems: list[str] = []

    def write_images() -> None:
        columns, rows = image_rows(folder, problems)
        if on_images is not None:
            on_images(rows)
        _write_csv(folder.out / "images.csv", columns, rows)

    def write_attempts() -> None:
        rows, trouble = read_attempts(folder)
        problems.extend(trouble)
        _write_csv(folder.out / "attempts.csv", ATTEMPT_COLUMNS, rows)

    # One that a spreadsheet program holds open does not keep the other from being written.
    problems += _trouble("images.csv", write_images)
    problems += _trouble("attempts.csv", write_attempts)
    # A damaged record without a row is met twice.
    return list(dict.fromkeys(problems))


def _trouble(name: str, write: Callable[[], None]) -> list[str]:
    try:
        write()
    except (StorageError, RunFolderError, OSError) as exc:
        return [f"{name} was not written anew: {exc}"]
    return []


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    data = format_rows([columns, *([row.get(name, "") for name in columns] for row in rows)])
    write_view(path, data, [table_mark(columns)])


def save_reply(folder: RunFolder, job: str, attempt: int, body: str) -> None:
    """Keep a strange answer for a look; trouble in doing so is only logged."""
    try:
        (folder.state / "replies" / f"{job}.e{attempt:06d}.txt").write_text(
            body[:65536], encoding="utf-8", errors="replace"
        )
    except OSError as exc:
        log.warning("reply of job %s not kept: %s", job, exc.strerror or exc)
