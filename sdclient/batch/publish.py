"""What follows a commit: files move to their final places, and are found again there.

Everything here may be repeated by anyone at any time. A file that no record names is never replaced: the new
one goes beside it. The outputs of a redone job take the place of those of the revision before, which are kept
in ``replaced/<old job>/``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sdclient.batch.folder import RunFolder
from sdclient.batch.making import ensure_folder
from sdclient.batch.plan import job_id
from sdclient.batch.record import OutFile, Record
from sdclient.errors import RunFolderError
from sdclient.files import PublishOutcome, fsync_dir, publish, resolve_inside, storage_errors, write_durable

_MOST_REVISIONS = 10_000


class _Revision(NamedTuple):
    """Which of the jobs of one place."""

    kind: str
    place: str
    number: int


def publish_job(folder: RunFolder, record: Record) -> list[str]:
    """Move a committed job's files to their final places. Doing it twice is harmless.

    Returns:
        A sentence for every file that could not have its own name because one of the user's is there, and one where
        the record of the revision before cannot be read: what stands there counts as the user's, then.

    Raises:
        RunFolderError: If a place leads through a link or out of the folder.
        StorageError: If the disk failed.
    """
    remarks: list[str] = []
    touched: set[Path] = set()
    revision = _revision(folder, record)
    if _is_outdone(folder, revision):
        _put_away(folder, record)
        return remarks
    earlier, unread = _records_before(folder, revision)
    is_same = True
    for before in earlier:
        # One whose maker died or is slow: first of all, so that it cannot come upon the new one later.
        _put_away(folder, before)
    for one in record.files:
        source = resolve_inside(folder.done_folder(record.job), one.name)
        if not _is_there(source):
            continue
        final = resolve_inside(folder.out, one.place)
        ensure_folder(final.parent, state=folder.state)
        for before in earlier:
            _take_away(folder, before, one.place, source)
        is_same = is_same and (unread is None or _holds(final, one.sha256))
        if publish(source, final) is PublishOutcome.TAKEN:
            remarks.append(_publish_aside(folder, record, one, source))
        touched.add(final.parent)
    for before in earlier:
        _take_away_rest(folder, before, record)
    for parent in touched:
        fsync_dir(parent)
    if unread is not None and not is_same:
        # Where the same bytes stood already there is nothing of before to speak of.
        text = f"{revision.place}: what was made before counts as yours and stays, for {unread} is damaged"
        remarks.insert(0, text)
    return remarks


def _is_there(file: Path) -> bool:
    # A share that does not answer must not look as if the file were gone, nor end in an error that nobody waits out.
    with storage_errors("look at", file):
        return file.is_file()


def _publish_aside(folder: RunFolder, record: Record, one: OutFile, source: Path) -> str:
    other = resolve_inside(folder.out, second_place(one.place, record.job))
    if publish(source, other) is PublishOutcome.TAKEN:
        return f"{one.place}: files of yours are there and at {other.name}, and stay; the new image is {source}"
    return f"{one.place}: a file of yours is there and stays; the new image is {other.name}"


# Redone jobs


def _revision(folder: RunFolder, record: Record) -> _Revision:
    job = folder.job(record.job)
    if job is not None:
        return _Revision(job.kind, job.place, job.revision)
    # It was withdrawn from the plan while it was made; its id tells which of its place's jobs it is.
    kind, place = str(record.facts.get("kind")), str(record.facts.get("place"))
    numbers = (number for number in range(_MOST_REVISIONS) if job_id(kind, place, number) == record.job)
    return _Revision(kind, place, next(numbers, 0))


def _is_outdone(folder: RunFolder, job: _Revision) -> bool:
    """Tell whether a later revision of a job is done: then what this one made is of the past."""
    for number in range(job.number + 1, _MOST_REVISIONS):
        later = job_id(job.kind, job.place, number)
        if folder.is_done(later):
            return True
        if not folder.knows(later):
            break
    return False


def _records_before(folder: RunFolder, job: _Revision) -> tuple[list[Record], Path | None]:
    """Return the records of the revisions before this one that were done, the latest first.

    And the path of the last one's where it cannot be read; those of before that have been made up for.
    """
    found: list[Record] = []
    unread: Path | None = None
    for one in (job_id(job.kind, job.place, number) for number in range(job.number - 1, -1, -1)):
        if not folder.is_done(one):
            continue
        try:
            found.append(folder.record(one))
        except RunFolderError:
            # Nobody can tell its files from the user's any more: they stay.
            if not found and unread is None:
                unread = folder.done_folder(one) / "record.json"
    return found, unread


def _put_away(folder: RunFolder, record: Record) -> None:
    """Move files that have not come to their places to ``replaced/``: those of a later revision belong there."""
    for one in record.files:
        source = resolve_inside(folder.done_folder(record.job), one.name)
        if _is_there(source):
            kept = folder.state / "replaced" / record.job / one.name
            ensure_folder(kept.parent, state=folder.state)
            with storage_errors("keep", source), suppress(FileNotFoundError):
                source.replace(kept)
            fsync_dir(kept.parent)


def _take_away(folder: RunFolder, before: Record, place: str, source: Path) -> None:
    """Keep the old file that stands at ``place`` and make room, if it is the one that the old record names."""
    old = next((one for one in before.files if one.place == place), None)
    final = resolve_inside(folder.out, place)
    if old is None or not _holds(final, old.sha256):
        return
    _keep(folder, before, old, final)
    # In one act: at no moment is there no image. A repeated one finds its source gone.
    with storage_errors("replace", final), suppress(FileNotFoundError):
        source.replace(final)


def _take_away_rest(folder: RunFolder, before: Record, record: Record) -> None:
    """Take away old files that no new one took the place of.

    They are of another format, fewer cut-outs, or stood beside a file of the user's.
    """
    new = {one.place for one in record.files}
    for old in before.files:
        for place in (old.place, second_place(old.place, before.job)):
            final = resolve_inside(folder.out, place)
            if place not in new and _holds(final, old.sha256):
                _keep(folder, before, old, final)
                with storage_errors("take away", final):
                    final.unlink(missing_ok=True)


def _keep(folder: RunFolder, before: Record, old: OutFile, final: Path) -> None:
    kept = folder.state / "replaced" / before.job / old.name
    if _holds(kept, old.sha256):
        return
    ensure_folder(kept.parent, state=folder.state)
    with storage_errors("keep", final), suppress(FileNotFoundError):
        data = final.read_bytes()
        # Another may be faster: then the old file is kept already, and the new one stands there.
        if hashlib.sha256(data).hexdigest() == old.sha256:
            write_durable(kept, data)


def _holds(path: Path, sha256: str) -> bool:
    try:
        return not path.is_symlink() and sha256_of(path) == sha256
    except OSError:
        return False


def sha256_of(path: Path) -> str:
    """Return the hash of a file, read in pieces.

    Raises:
        OSError: If it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


# Finding


ASIDE = "~"
"""Stands in the name of every file that was published aside."""


def second_place(place: str, job: str) -> str:
    """Return where a file goes when its own place is taken by a file no record names."""
    path = PurePosixPath(place)
    return str(path.with_name(f"{path.stem}{ASIDE}{job[:8]}{path.suffix}"))


def locate(folder: RunFolder, record: Record, index: int) -> Path:
    """Return where a committed job's file is now: published, published aside, or still with its record.

    Raises:
        RunFolderError: If it is nowhere.
        StorageError: If the disk does not answer.
    """
    if index >= len(record.files):
        raise RunFolderError(
            f"job {record.job}: output {index + 1} is asked for, and it made {len(record.files)}; redo the job"
        )
    one = record.files[index]
    # Still with its record first: then what stands at the place is the revision before, or a file of the user's.
    # The second place next: where that exists, the first is a file of the user's.
    kept = resolve_inside(folder.done_folder(record.job), one.name)
    if _is_there(kept):
        return kept
    for place in (second_place(one.place, record.job), one.place):
        path = resolve_inside(folder.out, place)
        if _is_there(path):
            return path
    raise RunFolderError(f"{one.place}: was made and is gone; restore it, or `sdclient redo` it")


def roll_forward(folder: RunFolder, job: str, epochs: Iterable[int]) -> list[str]:
    """Publish a committed job that still has claims, then remove those; whoever finds one does it.

    Returns:
        Remarks, as `publish_job` gives them.

    Raises:
        RunFolderError: If the record is damaged, and no later revision has made up for it.
        StorageError: If the disk failed; the claims stay, so that it is tried again.
    """
    remarks: list[str] = []
    try:
        record = folder.record(job)
    except RunFolderError:
        planned = folder.job(job)
        if planned is None or not _is_outdone(folder, _Revision(planned.kind, planned.place, planned.revision)):
            raise
    else:
        remarks = publish_job(folder, record)
    folder.remove_claims(job, epochs)
    return remarks
