"""What a folder can do: tried out in a scratch folder, before a run relies on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sdclient.errors import StorageError
from sdclient.files.durable import create_exclusive, fsync_dir, fsync_file, write_new_file
from sdclient.files.moves import CommitOutcome, commit_directory
from sdclient.files.temporary import temporary_name
from sdclient.files.trouble import StrPath, is_storage_trouble, storage_errors

__all__ = ["FolderFacts", "probe_folder"]

_SYNC_MARKS = {
    ".stfolder": "Syncthing",
    ".dropbox": "Dropbox",
    ".dropbox.cache": "Dropbox",
    ".sync": "Resilio Sync",
    ".owncloudsync.log": "ownCloud",
    ".nextcloudsync.log": "Nextcloud",
}
_SYNC_FOLDERS = {
    "com~apple~clouddocs": "iCloud Drive",
    "cloudstorage": "a cloud storage program",
    "onedrive": "OneDrive",
    "google drive": "Google Drive",
    "dropbox": "Dropbox",
}


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """What was found out about a folder.

    Attributes:
        writable: Files and folders can be made there.
        exclusive_create: A name can be won only once. Without it no run is safe.
        directory_rename_refuses: A folder with content is never replaced. Without it a late worker could overwrite.
        hard_links: A second name can be given to a file.
        fsync_ok: Files and folders can be flushed to the disk (or to the server, on a share).
        rewrite_visible: A file rewritten in place reads back as rewritten, on this machine.
        free_bytes: Free space for this user; 0 if unknown.
        filesystem: Name of the file system, such as `ext4`, `apfs`, `smbfs`, `nfs4`; empty if unknown.
        synced_by: The program that seems to keep this folder in step with others, such as `Dropbox`; empty if none
            was noticed. Such folders cannot be shared by several machines.
        problem: The first thing that is wrong, in words; None if everything held.
    """

    writable: bool
    exclusive_create: bool
    directory_rename_refuses: bool
    hard_links: bool
    fsync_ok: bool
    rewrite_visible: bool
    free_bytes: int
    filesystem: str
    synced_by: str
    problem: str | None


def probe_folder(path: StrPath) -> FolderFacts:
    """Try out what `path` can do. Takes some milliseconds, on a share up to a second.

    Everything happens in a scratch folder inside, which is removed again. Never raises for what the folder cannot
    do: that is in the facts.

    Args:
        path: An existing folder.
    """
    folder = Path(path)
    scratch = temporary_name(folder, ".probe")
    problems: list[str] = []
    writable = _holds("make a folder", lambda: _make(scratch), problems)
    try:
        # In the order of weight: the first that fails is the one to tell.
        exclusive = writable and _holds("win a name only once", lambda: _wins_once(scratch), problems)
        refuses = writable and _holds("refuse to replace a folder", lambda: _refuses(scratch), problems)
        flushes = writable and _holds("flush to the disk", lambda: _flushes(scratch), problems)
        rewrites = writable and _holds("show a rewritten file", lambda: _rewrites(scratch), problems)
        links = writable and _holds("make hard links", lambda: _links(scratch), [])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return FolderFacts(
        writable=writable,
        exclusive_create=exclusive,
        directory_rename_refuses=refuses,
        hard_links=links,
        fsync_ok=flushes,
        rewrite_visible=rewrites,
        free_bytes=_free_bytes(folder),
        filesystem=_filesystem(folder),
        synced_by=_synced_by(folder),
        problem=f"{folder}: {problems[0]}" if problems else None,
    )


def _holds(what: str, trial: Callable[[], bool], problems: list[str]) -> bool:
    try:
        if trial():
            return True
        problems.append(f"this folder does not {what}; choose one on another disk or share")
    except (StorageError, OSError) as exc:
        cause = exc.__cause__ if isinstance(exc, StorageError) else exc
        # A full disk says nothing of what the folder can do.
        is_trouble = isinstance(cause, OSError) and is_storage_trouble(cause)
        problems.append(str(exc) if is_trouble else f"this folder does not {what}: {exc}")
    return False


def _make(scratch: Path) -> bool:
    with storage_errors("make the folder", scratch):
        scratch.mkdir()
    return True


def _wins_once(scratch: Path) -> bool:
    name = scratch / "name"
    return create_exclusive(name, b"first") and not create_exclusive(name, b"second") and name.read_bytes() == b"first"


def _refuses(scratch: Path) -> bool:
    source, target = scratch / "source", scratch / "target"
    for folder in (source, target):
        folder.mkdir()
        write_new_file(folder / "record", folder.name.encode())
    outcome = commit_directory(source, target)
    return outcome is CommitOutcome.LOST and (target / "record").read_bytes() == b"target"


def _flushes(scratch: Path) -> bool:
    write_new_file(scratch / "flushed", b"flushed")
    fsync_dir(scratch)
    return True


def _rewrites(scratch: Path) -> bool:
    beat = scratch / "beat"
    write_new_file(beat, b"00000001")
    fd = os.open(beat, os.O_WRONLY | getattr(os, "O_BINARY", 0))
    try:
        os.write(fd, b"00000002")
        fsync_file(fd)
    finally:
        os.close(fd)
    return beat.read_bytes() == b"00000002"


def _links(scratch: Path) -> bool:
    first, second = scratch / "first", scratch / "second"
    write_new_file(first, b"linked")
    os.link(first, second)
    # First the old name goes: on Linux SMB the new one cannot be opened before.
    first.unlink()
    return second.read_bytes() == b"linked"


def _free_bytes(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _filesystem(folder: Path) -> str:
    """Name the file system of the longest mount point above `folder`."""
    import psutil

    try:
        place = folder.resolve()
        mounts = [part for part in psutil.disk_partitions(all=True) if place.is_relative_to(part.mountpoint)]
    except (OSError, psutil.Error):
        return ""
    # Of two mounts on one point the later one hides the earlier.
    best = max(enumerate(mounts), key=lambda pair: (len(pair[1].mountpoint), pair[0]), default=None)
    return best[1].fstype if best else ""


def _synced_by(folder: Path) -> str:
    place = folder.absolute()
    for ancestor in (place, *place.parents):
        if ancestor.name.lower() in _SYNC_FOLDERS:
            return _SYNC_FOLDERS[ancestor.name.lower()]
        for mark, program in _SYNC_MARKS.items():
            if os.path.lexists(ancestor / mark):
                return program
    return ""
