"""Making names in a run folder, and leaving nothing torn behind."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from sdclient.errors import StorageError
from sdclient.files import create_exclusive, fsync_dir, storage_errors


def create_or_nothing(path: Path, data: bytes) -> bool:
    """Create a file that no one has, and leave no torn one behind when the disk fails.

    On a full disk a name can still be made, without content. Left there it would keep everyone off the job for a
    lease. Should it after all be another's, just begun, then a job is tried twice and committed once.
    """
    try:
        return create_exclusive(path, data)
    except StorageError:
        if path.exists() and data.startswith(content(path)):
            with suppress(OSError):
                path.unlink()
        raise


def content(path: Path) -> bytes:
    """Return what a file holds; nothing where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def ensure_folder(folder: Path, *, state: Path) -> None:
    """Make a folder of a run and what is missing above it, each new name flushed; a power cut must not take them back.

    Args:
        folder: The folder.
        state: The run's own folder. Where that is missing the share is gone, and nothing is made where it was: a new
            folder there would keep it from coming back.

    Raises:
        StorageError: If that fails.
    """
    with storage_errors("make the folder", folder):
        if not state.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(state))
        missing = list(takewhile(lambda one: not one.is_dir(), [folder, *folder.parents]))
    for one in reversed(missing):
        with storage_errors("make the folder", one):
            one.mkdir(exist_ok=True)
        fsync_dir(one.parent)
