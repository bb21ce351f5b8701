"""Looks whether what is done is still what was made: files there, hashes right, images whole, inputs unchanged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from sdclient.batch.folder import RunFolder
from sdclient.batch.follow import Sources, by_any_revision
from sdclient.batch.inputs import Inputs
from sdclient.batch.making import ensure_folder
from sdclient.batch.plan import FileInput, Job, OutputInput, Plan, latest_done
from sdclient.batch.publish import locate, sha256_of
from sdclient.batch.record import OutFile, Record
from sdclient.errors import CodecError, RunFolderError, SDClientError
from sdclient.files import command_line, storage_errors

_NO_IMAGES = (".json", ".ora")
"""Files that a job writes and that do not decode as images: their hash says all."""

Flaw = Literal["record", "missing", "changed", "damaged", "unplaced", "input", "outdated"]

_MOMENT_S = 0.5
"""How long a worker that is at it may need to put the files of a job that it has just committed in their places."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was made.

    Attributes:
        job: Id of the job.
        place: The file, or the job's place.
        flaw: ``record``: cannot be read; ``missing``; ``changed``: another hash; ``damaged``: does not decode;
            ``unplaced``: whole, and not where it belongs; ``input``: what it was made from is another file now;
            ``outdated``: made from an image of this run that was made once more since.
        message: A sentence for people.
    """

    job: str
    place: str
    flaw: Flaw
    message: str

    @property
    def is_repairable(self) -> bool:
        """True where doing the job again would mend it. A changed input is a choice, not a damage."""
        return self.flaw in ("record", "missing", "changed", "damaged", "outdated")


def verify(
    folder: RunFolder, *, inputs: Inputs | None = None, decode: Callable[..., object] | None = None
) -> Iterator[Finding]:
    """Look at every done job, the latest revision of each.

    Args:
        folder: The run.
        inputs: Finds the inputs; None leaves them out.
        decode: Decodes an image in full, called with its bytes and ``what`` it is, or raises CodecError; None
            leaves that out.

    Raises:
        StorageError: If the disk is in trouble: then nothing is said of the files.
    """
    with storage_errors("read the run in", folder.out):
        plan = folder.read_plan()
        jobs = latest_done(plan.jobs, folder.read_done())
    unplaced: list[tuple[Record, int]] = []
    ages = _Ages(plan, jobs)
    for job in jobs.values():
        try:
            record = folder.record(job.id)
        except RunFolderError as exc:
            yield Finding(job.id, job.place, "record", str(exc))
            continue
        ages.note(job, record)
        for index, one in enumerate(record.files):
            yield from _look(folder, record, index, one, decode)
            if _is_unplaced(folder, record, index):
                unplaced.append((record, index))
        if inputs is not None:
            yield from _look_at_input(inputs, job, record)
    yield from ages.outdated(folder)
    if unplaced:
        time.sleep(_MOMENT_S)
    for record, index in unplaced:
        yield from _look_at_place(folder, record, index)


class _Ages:
    """Notes of done jobs what they made and from what, and tells which were made from images that are replaced.

    Args:
        plan: The plan.
        jobs: The done jobs, the latest revision of each.
    """

    def __init__(self, plan: Plan, jobs: Mapping[str, Job]) -> None:
        self._sources = Sources(plan)
        self._current = by_any_revision(jobs.values())
        self._needed = {self._current[job.needs].id for job in jobs.values() if job.needs in self._current}
        self._made: dict[str, tuple[OutFile, ...]] = {}
        self._from: list[tuple[Job, JsonValue]] = []

    def note(self, job: Job, record: Record) -> None:
        """Take note of a job's record."""
        if job.id in self._needed:
            self._made[job.id] = record.files
        if job.needs in self._current:
            self._from.append((job, record.facts.get("input_sha256")))

    def outdated(self, folder: RunFolder) -> Iterator[Finding]:
        """Give a finding for each that was made from another image than stands there now, unless it is planned anew."""
        for job, recorded in self._from:
            source, index = self._current[job.needs or ""], job.input.index if isinstance(job.input, OutputInput) else 0
            files = self._made.get(source.id, ())
            if index >= len(files) or recorded in (None, files[index].sha256) or self._is_planned_anew(job):
                continue
            text = (
                f"{job.place}: was made from an image that was redone since, {files[index].place}; to make it from the "
                f"new one: {command_line('sdclient', 'redo', folder.out, job.place)}"
            )
            yield Finding(job.id, job.place, "outdated", text)

    def _is_planned_anew(self, job: Job) -> bool:
        later = self._sources.newest(job.id)
        return later is not None and later.id != job.id and not self._sources.is_outdated(later)


def _is_unplaced(folder: RunFolder, record: Record, index: int) -> bool:
    path = _kept(folder, record, index)
    with storage_errors("look at", path):
        return path.is_file()


def _kept(folder: RunFolder, record: Record, index: int) -> Path:
    return folder.done_folder(record.job) / record.files[index].name


def _look_at_place(folder: RunFolder, record: Record, index: int) -> Iterator[Finding]:
    place = record.files[index].place
    if _is_unplaced(folder, record, index):
        text = (
            f"{place}: is made and not in its place, it is {_kept(folder, record, index)}; `sdclient join` puts it there, "
            "and where it does not, other files have the place: copy it from there"
        )
        yield Finding(record.job, place, "unplaced", text)


def _look(
    folder: RunFolder, record: Record, index: int, one: OutFile, decode: Callable[..., object] | None
) -> Iterator[Finding]:
    try:
        path = locate(folder, record, index)
    except RunFolderError as exc:
        yield Finding(record.job, one.place, "missing", str(exc))
        return
    with storage_errors("read", path):
        found = sha256_of(path)
        if found != one.sha256:
            text = f"{one.place}: is another file than was made (sha256 {found[:12]}…, recorded {one.sha256[:12]}…)"
            yield Finding(record.job, one.place, "changed", text)
            return
        data = path.read_bytes() if decode is not None and not one.place.endswith(_NO_IMAGES) else b""
    if decode is not None and data:
        try:
            decode(data, what=one.place)
        except CodecError as exc:
            yield Finding(record.job, one.place, "damaged", str(exc))


def _look_at_input(inputs: Inputs, job: Job, record: Record) -> Iterator[Finding]:
    recorded = record.facts.get("input_sha256")
    if not isinstance(recorded, str) or not isinstance(job.input, FileInput):
        # The output of another job is looked at where that job is, and whether it is still the same by `_Ages`.
        return
    try:
        path, is_there = inputs.look(job, job.input)
        found = sha256_of(path) if is_there else ""
    except (SDClientError, OSError) as exc:
        yield Finding(job.id, job.place, "input", str(exc))
        return
    if not is_there:
        text = f"{job.place}: its input {path} is not there any more; bring it back before you `sdclient redo` this"
        yield Finding(job.id, job.place, "input", text)
    elif found != recorded:
        text = f"{job.place}: its input {path} is another file than it was made from; `sdclient redo` it if you like"
        yield Finding(job.id, job.place, "input", text)


def make_room(folder: RunFolder, finding: Finding) -> Path | None:
    """Move a file that is not as it was made to ``replaced/``, so that a redone one finds its place free.

    Returns:
        Where it is now; None where there was none.

    Raises:
        StorageError: If it cannot be moved.
    """
    if finding.flaw == "record":
        return None
    record = folder.record(finding.job)
    index = next((number for number, one in enumerate(record.files) if one.place == finding.place), None)
    if index is None or finding.flaw == "missing":
        return None
    path = locate(folder, record, index)
    kept = folder.state / "replaced" / finding.job / f"{finding.flaw}-{record.files[index].name}"
    ensure_folder(kept.parent, state=folder.state)
    with storage_errors("move", path):
        path.replace(kept)
    return kept
