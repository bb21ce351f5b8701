"""The two moves of a finished job: its folder is committed, then its files go to their places."""

from __future__ import annotations

import enum
import errno
import os
from contextlib import suppress
from pathlib import Path

from sdclient.files.durable import fsync_dir, holds, makes_no_links
from sdclient.files.trouble import StrPath, storage_error, storage_errors

__all__ = ["CommitOutcome", "PublishOutcome", "commit_directory", "publish"]

_REFUSED = frozenset({errno.ENOTEMPTY, errno.EEXIST})
_REFUSED_IF_THERE = frozenset({errno.EPERM, errno.EACCES})


class CommitOutcome(enum.Enum):
    """How a commit ended."""

    WON = "won"
    """The folder now has the target's name."""

    LOST = "lost"
    """Somebody else has committed before; the own folder is where it was."""


class PublishOutcome(enum.Enum):
    """How moving a file to its final place ended."""

    MOVED = "moved"
    """The file is in its place."""

    ALREADY_GONE = "already gone"
    """The source is no longer there: somebody has moved it before."""

    TAKEN = "taken"
    """Another file has the name. It was left alone, and so was the source."""


def commit_directory(source_dir: StrPath, target_dir: StrPath) -> CommitOutcome:
    """Give the folder `source_dir` the name `target_dir`, unless that is taken: the one act that decides a race.

    Both must be on one file system, the target's parent must exist, and the source must hold at least one file:
    that a rename never replaces a folder with content is all the protection there is. A win is flushed.

    Raises:
        StorageError: It is not certain what happened; `__cause__` has the system's error. On a network the rename
            may have succeeded all the same: read what is in `target_dir` to know.
    """
    source, target = Path(source_dir), Path(target_dir)
    try:
        source.rename(target)
    except OSError as exc:
        if _is_refused(exc, target):
            return CommitOutcome.LOST
        raise storage_error("commit", target, exc) from exc
    fsync_dir(target.parent)
    return CommitOutcome.WON


def _is_refused(exc: OSError, target: Path) -> bool:
    """Tell whether a rename failed because the target was there; some systems call that a want of permission."""
    return exc.errno in _REFUSED or (exc.errno in _REFUSED_IF_THERE and _has_content(target))


def _has_content(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except OSError:
        return False


def publish(source_file: StrPath, final_path: StrPath) -> PublishOutcome:
    """Move a file to its final place on the same file system without ever replacing another file.

    May be repeated by anyone at any time: a file of the same content in the final place counts as moved. Missing
    folders are made. The folders are not flushed: do that once for each, after its last file.

    Where the file system makes no hard links, the final name is looked for before the rename. A foreign file that
    appears in between, within about a millisecond, would be replaced.

    Raises:
        StorageError: It is not certain what happened. Calling again settles it.
    """
    source, final = Path(source_file), Path(final_path)
    with storage_errors("publish", final):
        if not final.parent.is_dir() and source.exists():
            # Not where the source is gone, too: then the share is, and a new folder would keep it from coming back.
            final.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, final)
        except FileExistsError:
            return _settle(source, final)
        except OSError as exc:
            return _publish_otherwise(source, final, exc)
        with suppress(FileNotFoundError):
            source.unlink()
    return PublishOutcome.MOVED


def _publish_otherwise(source: Path, final: Path, exc: OSError) -> PublishOutcome:
    """Go on after a failed link: it may have happened, somebody may have been faster, or links are not made here."""
    if not os.path.lexists(source):
        return PublishOutcome.ALREADY_GONE
    if os.path.lexists(final):
        return _settle(source, final)
    if not makes_no_links(exc):
        raise exc
    try:
        source.rename(final)
    except FileNotFoundError:
        return PublishOutcome.ALREADY_GONE
    except FileExistsError:  # only Windows refuses
        return _settle(source, final)
    return PublishOutcome.MOVED


def _settle(source: Path, final: Path) -> PublishOutcome:
    """Decide whether the file in the final place is the one to be moved there, by its bytes.

    Inode numbers and link counts lie on network file systems.
    """
    try:
        data = source.read_bytes()
    except FileNotFoundError:
        return PublishOutcome.ALREADY_GONE
    if final.is_symlink() or not holds(final, data):
        return PublishOutcome.TAKEN
    with suppress(FileNotFoundError):
        source.unlink()
    return PublishOutcome.MOVED
