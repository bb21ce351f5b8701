"""Finds what an image was made by: its job in a run folder above it, or else the text inside the file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import STATE_FOLDER, Job, normal_place
from sdclient.batch.publish import second_place
from sdclient.batch.record import Record
from sdclient.errors import ConfigurationError, RunFolderError
from sdclient.images import inspect_image, read_image_input
from sdclient.infotext import Infotext, parse_infotext, read_infotext


@dataclass(frozen=True, slots=True)
class RunOrigin:
    """The job of a run that made an image.

    Attributes:
        folder: The run.
        job: The job.
        record: Its record.
        index: Which of the job's files the image is, from 0.
    """

    folder: RunFolder
    job: Job
    record: Record
    index: int


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of where an image comes from.

    Attributes:
        path: The image.
        data: Its bytes.
        run: The job that made it; None where it belongs to no run.
        infotext: The settings written into the file; None where there are none.
        is_changed: True where a run made this file and it holds other bytes now.
    """

    path: Path
    data: bytes
    run: RunOrigin | None
    infotext: Infotext | None
    is_changed: bool = False


def find_origin(path: Path) -> Origin:
    """Find out where an image comes from.

    Raises:
        ConfigurationError: If there is no such image.
        CodecError: If the file is no image.
        RunFolderError: If it lies in a run that cannot be read.
    """
    data = read_image_input(path)
    text = read_infotext(data)
    infotext = None if text is None else parse_infotext(text)
    folder = _run_above(path)
    run = None if folder is None else _find_job(folder, path, data)
    is_changed = run is not None and hashlib.sha256(data).hexdigest() != run.record.files[run.index].sha256
    return Origin(path, data, run, infotext, is_changed and not _same_pixels(run, data))


def _same_pixels(run: RunOrigin | None, data: bytes) -> bool:
    # Another program may have rewritten the metadata; what counts is what one sees.
    known = run.record.files[run.index].facts.get("pixels_sha256") if run is not None else None
    return known is not None and known == inspect_image(data).pixels_sha256


def _run_above(path: Path) -> RunFolder | None:
    for parent in path.resolve().parents:
        if (parent / STATE_FOLDER / "run.json").is_file():
            return RunFolder.open(parent)
    return None


def _find_job(folder: RunFolder, path: Path, data: bytes) -> RunOrigin | None:
    place = normal_place(path.resolve().relative_to(folder.out.resolve()).as_posix())
    sha256 = hashlib.sha256(data).hexdigest()
    found = [one for one in _candidates(folder, place) if place in _places(one)]
    # After a redo two jobs name one place: the one whose file this is, else the newest.
    for one in found:
        if one.record.files[one.index].sha256 == sha256:
            return one
    return found[-1] if found else None


def _places(one: RunOrigin) -> tuple[str, str]:
    recorded = normal_place(one.record.files[one.index].place)
    return recorded, second_place(recorded, one.record.job)


def _candidates(folder: RunFolder, place: str) -> Iterator[RunOrigin]:
    jobs = folder.read_plan().jobs.values()
    near = sorted((job for job in jobs if place.startswith(job.place)), key=lambda job: job.revision)
    for job in near:
        try:
            record = folder.record(job.id)
        except RunFolderError:
            continue
        for index in range(len(record.files)):
            yield RunOrigin(folder, job, record, index)


def required_request(origin: Origin) -> None:
    """Refuse an image whose making cannot be repeated.

    Raises:
        ConfigurationError: If it was cut out, or nothing is known of it.
    """
    if origin.run is not None and origin.run.job.kind == "segment":
        raise ConfigurationError(
            f"{origin.path}: is a cut-out, no server drew it; replay the image it was cut out of, "
            f"or segment that again ({origin.run.record.facts.get('segmenter', 'the same segmenter')})"
        )
    if origin.run is None and origin.infotext is None:
        raise ConfigurationError(
            f"{origin.path}: lies in no run folder and has no settings written inside; nothing tells how it was made"
        )
