"""The commit: the one act that makes a job done.

Order of a good try: outputs into the part directory, each flushed; the record; the directory; then
one rename of that directory onto ``done/<hh>/<job>``, which refuses when somebody was first; then the
files move to their final places and the claims go. Everything after the rename may be repeated by anyone.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from sdclient.batch.folder import RunFolder
from sdclient.batch.making import ensure_folder
from sdclient.batch.record import Outcome, Record
from sdclient.errors import RunFolderError, StorageError
from sdclient.files import CommitOutcome, commit_directory, fsync_dir, write_new_file


def commit(folder: RunFolder, part: Path, record: Record) -> bool:
    """Write the record into ``part`` and commit it.

    Args:
        folder: The run.
        part: Part directory with every output in it, each flushed.
        record: What to write.

    Returns:
        True when this try made the job done; False when another was first. The part is gone in either case.

    Raises:
        StorageError: If the disk failed and the job is not done.
    """
    write_new_file(part / "record.json", record.to_bytes())
    fsync_dir(part)
    target = folder.done_folder(record.job)
    ensure_folder(target.parent, state=folder.state)
    try:
        if commit_directory(part, target) is CommitOutcome.WON:
            return True
    except StorageError:
        # An error does not mean that it did not happen: the record that is there decides.
        if not folder.is_done(record.job):
            raise
    shutil.rmtree(part, ignore_errors=True)
    return _is_ours(folder, record)


def _is_ours(folder: RunFolder, record: Record) -> bool:
    """Tell whether the record that is there is the one we wrote: a refused rename may be a repeated one."""
    try:
        found = folder.record(record.job)
    except (RunFolderError, StorageError):
        # Just after a lost race the winner's record may not be readable yet. Refused is refused.
        return False
    return (found.token, found.epoch) == (record.token, record.epoch)


def make_record(job: str, epoch: int, token: str, outcome: Outcome, facts: Mapping[str, JsonValue]) -> Record:
    """Put a record together."""
    return Record(job, epoch, token, outcome.files, {**outcome.record, **facts})
