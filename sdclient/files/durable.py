"""Files that are whole or absent: written, flushed, and only then given their name."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sdclient.files.temporary import temporary_name
from sdclient.files.trouble import StrPath, storage_error, storage_errors

__all__ = [
    "create_exclusive",
    "create_whole",
    "fsync_dir",
    "fsync_file",
    "holds",
    "makes_no_links",
    "write_durable",
    "write_new_file",
]

_CANNOT = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS})
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})
# Windows: no such function (FAT, exFAT), not supported (some shares), too many links. Python calls them all EINVAL.
_WINDOWS_NO_LINKS = frozenset({1, 50, 1142})

_PATIENCE_S = 2.0
_PAUSE_S = 0.1


def fsync_file(fd: int) -> None:
    """Have the system put the file behind `fd` on the disk itself, as far as it can.

    macOS needs a call of its own for that: its `fsync` leaves the data in the drive's cache.

    Raises:
        OSError: The data may be lost. Write it anew to another file; a second fsync that succeeds proves nothing.
    """
    if sys.platform == "darwin":
        import fcntl

        _fsync_through(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


def _fsync_through(fd: int, command: int) -> None:
    """Flush by the fcntl `command`, or by fsync where the file system (a network one) does not know it."""
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.fcntl(fd, command)
        except OSError as exc:
            # Any other error is about the data, and must not be hidden by an fsync that reports success.
            if exc.errno not in _CANNOT:
                raise
            os.fsync(fd)


def fsync_dir(path: StrPath) -> None:
    """Have the names in the folder `path` put on the disk; does nothing where the system cannot.

    Raises:
        StorageError: The folder is missing, or flushing it failed.
    """
    if sys.platform == "win32":
        return
    with storage_errors("flush", path):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fsync_file(fd)
        except OSError as exc:
            if exc.errno not in _CANNOT:
                raise
        finally:
            os.close(fd)


def write_durable(path: StrPath, data: bytes) -> None:
    """Write `data` to `path` so that it holds all of it or what it held before, whatever happens.

    An existing file is replaced. The folder must exist.

    Raises:
        StorageError: Nothing was changed at `path`, or (if flushing the folder failed) it may not survive a power cut.
    """
    target = Path(path)
    temporary = temporary_name(target.parent)
    with storage_errors("write", target):
        try:
            _fill(_create(temporary), data, sync=True)
            temporary.replace(target)
        except BaseException:
            _discard(temporary)
            raise
    fsync_dir(target.parent)


def write_new_file(path: StrPath, data: bytes) -> None:
    """Write `data` to a new file and flush it: for a folder of one's own, of which nobody has the name yet.

    The folder itself is not flushed: do that once, after its last file.

    Raises:
        StorageError: The name exists, or the data may not be whole.
    """
    with storage_errors("write", path):
        _fill(_create(path), data, sync=True)


def create_exclusive(path: StrPath, data: bytes, *, durable: bool = False) -> bool:
    """Create `path` with `data`, unless it exists: of all who try at once, on all machines, one succeeds.

    Others may see the file before its content. After an error the file is read back, because on a network an error
    does not mean that nothing happened; so `data` should hold something nobody else would write, such as a token.

    Args:
        path: The name to win.
        data: Its content.
        durable: Flush the file and its folder. A claim does without: it only saves time.

    Returns:
        True if this call created the file, False if it was there already.

    Raises:
        StorageError: Neither is certain. A torn file may be left behind, which later calls will see as taken.
    """
    try:
        fd = _create(path)
    except FileExistsError:
        return False
    except OSError as exc:
        _settle_create(path, data, exc)
    else:
        try:
            _fill(fd, data, sync=durable)
        except OSError as exc:
            # What fsync refused may still be read back from memory, so reading proves nothing then.
            if durable:
                raise storage_error("create", path, exc) from exc
            _settle_create(path, data, exc)
    if durable:
        fsync_dir(Path(path).parent)
    return True


def _settle_create(path: StrPath, data: bytes, exc: OSError) -> None:
    """Return if the file was created in spite of `exc`, or raise that as a `StorageError`."""
    if not holds(path, data):
        raise storage_error("create", path, exc) from exc


def create_whole(path: StrPath, data: bytes) -> bool:
    """Create `path` with `data`, durably, unless it exists; nobody ever sees half of it.

    Where the file system makes no hard links, the name is created first and filled then: a reader who finds the
    content incomplete must look again for a moment.

    Returns:
        True if this call created the file, False if it was there already.

    Raises:
        StorageError: Neither is certain.
    """
    target = Path(path)
    temporary = temporary_name(target.parent)
    try:
        with storage_errors("create", target):
            _fill(_create(temporary), data, sync=True)
        return _link_or_create(temporary, target, data)
    finally:
        _discard(temporary)


def _link_or_create(temporary: Path, target: Path, data: bytes) -> bool:
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as exc:
        # On Linux SMB the new name cannot be opened while the other one is still there.
        _discard(temporary)
        if not holds(target, data):
            if not makes_no_links(exc):
                raise storage_error("create", target, exc) from exc
            return create_exclusive(target, data, durable=True)
    fsync_dir(target.parent)
    return True


def makes_no_links(exc: OSError) -> bool:
    """Tell whether by this error a file system says that it makes no hard links (or not for this file)."""
    return exc.errno in _NO_LINKS or getattr(exc, "winerror", None) in _WINDOWS_NO_LINKS


def holds(path: StrPath, data: bytes, *, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Tell whether the file at `path` holds exactly `data`; False also if it cannot be read.

    Args:
        path: The file to read back.
        data: What it should hold.
        sleep: Waits the given number of seconds. For up to 2 s some network file systems answer EINVAL about a
            file that was linked or created a moment ago.
    """
    waited_s = 0.0
    while (held := _reads_as(path, data)) is None and waited_s < _PATIENCE_S:
        sleep(_PAUSE_S)
        waited_s += _PAUSE_S
    return bool(held)


def _reads_as(path: StrPath, data: bytes) -> bool | None:
    """Compare once; None where the answer was EINVAL, so that it is worth asking again."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(data) + 1) == data
    except OSError as exc:
        return None if exc.errno == errno.EINVAL else False


def _create(path: StrPath) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def _fill(fd: int, data: bytes, *, sync: bool) -> None:
    """Write all of `data`, flush if asked, and close `fd` in any case."""
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        if sync:
            fsync_file(fd)
    except BaseException:
        with suppress(OSError):
            os.close(fd)
        raise
    # Not suppressed: NFS and SMB report a full disk only here.
    os.close(fd)


def _discard(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
