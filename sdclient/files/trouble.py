"""Trouble with the disk: which errors mean that it is gone or full, and how they are told."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeAlias

from sdclient.errors import StorageError

__all__ = ["StrPath", "is_storage_trouble", "is_too_long", "storage_error", "storage_errors"]

StrPath: TypeAlias = "str | os.PathLike[str]"

_MAX_SHOWN_PATH = 200

_FULL = ("ENOSPC", "EDQUOT")
_READ_ONLY = ("EROFS",)
_GONE = (
    "EIO", "ESTALE", "ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH",
    "ENODEV", "ENXIO", "EREMOTEIO", "ETIMEDOUT", "ESHUTDOWN",
)  # fmt: skip
_FORBIDDEN = ("EACCES", "EPERM")
_TOO_LONG = ("ENAMETOOLONG",)

# Windows reports a vanished share by codes that Python can only call EINVAL:
# write protected, not ready, bad net path, unexpected net error, name deleted, unknown name, unreachable.
_WINDOWS_GONE = frozenset({19, 21, 53, 59, 64, 67, 1231})


def _numbers(names: tuple[str, ...]) -> frozenset[int]:
    """Look up the numbers of `names`; not every system knows every one."""
    return frozenset(number for name in names if isinstance(number := getattr(errno, name, None), int))


_ADVICE = {
    _numbers(_FULL): "free some space and try again",
    _numbers(_READ_ONLY): "it is read-only; make it writable or choose another folder",
    _numbers(_GONE): "the disk or share does not answer; connect it again",
    _numbers(_FORBIDDEN): (
        "check who may write there (on macOS also: System Settings, Privacy & Security, Files and Folders)"
    ),
    _numbers(_TOO_LONG): "give the file that it is made from a shorter name",
}
_TROUBLE = _numbers((*_FULL, *_READ_ONLY, *_GONE))


def is_storage_trouble(exc: OSError) -> bool:
    """Tell whether `exc` means that the disk is full, read-only, failing, or the share is gone.

    Such trouble passes: the right answer is to wait and try again, not to give up on the job. Missing permission
    is no trouble in this sense. Network errors of `requests` are `OSError` too but carry no such number.
    """
    return exc.errno in _TROUBLE or getattr(exc, "winerror", None) in _WINDOWS_GONE


def is_too_long(exc: BaseException | None) -> bool:
    """Tell whether `exc` means that a name is longer than the disk takes; no other file is concerned."""
    return isinstance(exc, OSError) and exc.errno in _numbers(_TOO_LONG)


def storage_error(doing: str, path: StrPath, exc: OSError) -> StorageError:
    """Put an `OSError` into words: what failed, on what, why, what to do.

    Args:
        doing: What was tried, as a verb: `"write"`, `"create"`, `"move"`.
        path: The file or folder it was tried on.
        exc: What the system said. Raise the result `from` it, so that its number is kept in `__cause__`.
    """
    shown = os.fspath(path)
    if len(shown) > _MAX_SHOWN_PATH:
        shown = f"{shown[:80]}...{shown[-80:]}"
    name = errno.errorcode.get(exc.errno or 0, "no error number")
    advice = next((words for numbers, words in _ADVICE.items() if exc.errno in numbers), None)
    return StorageError(
        f"cannot {doing} {shown}: {exc.strerror or exc} ({name}); {advice or 'look at that place, and try again'}"
    )


@contextmanager
def storage_errors(doing: str, path: StrPath) -> Generator[None, None, None]:
    """Turn every `OSError` of the block into a `StorageError` about `doing` something to `path`.

    Raises:
        StorageError: From the `OSError`, which stays in `__cause__`.
    """
    try:
        yield
    except OSError as exc:
        raise storage_error(doing, path, exc) from exc
