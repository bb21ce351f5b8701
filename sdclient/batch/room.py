"""Keeps some of the disk free, so that no image is drawn that has no place, and what is under way can be written."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from sdclient.errors import StorageError

__all__ = ["RESERVE_BYTES", "RESERVE_SHARE", "kept_bytes", "require_room", "shortage"]

RESERVE_BYTES = 64 * 2**20
"""Kept free: some images, with their records."""
RESERVE_SHARE = 0.02
"""Of a small disk, no more than this share is kept."""


def kept_bytes(total_bytes: int) -> int:
    """Return how much of a disk of this size is kept free."""
    return min(RESERVE_BYTES, int(total_bytes * RESERVE_SHARE))


def shortage(needed_bytes: int, free_bytes: int, kept: int) -> str:
    """Say what comes of it where there is less room than a run needs; nothing where there is enough.

    Args:
        needed_bytes: What it will write, about.
        free_bytes: What is free now.
        kept: What is kept free: see `kept_bytes`.
    """
    if free_bytes < kept:
        return (
            f"{kept / 1e6:.2f} MB are kept free for what is under way, and less is free: no job is begun before there is "
            "room, then it goes on by itself"
        )
    if needed_bytes > free_bytes - kept:
        return (
            f"that is more than may be used, {kept / 1e6:.2f} MB are kept free: no further job is begun when the rest is "
            "used up, and it goes on by itself when there is room"
        )
    return ""


def require_room(out: Path) -> None:
    """Refuse to begin a job where less than the reserve is free.

    Args:
        out: A folder on the disk.

    Raises:
        StorageError: From an `OSError` that says the disk is full; it passes when there is room.
    """
    try:
        usage = shutil.disk_usage(out)
    except OSError:
        # Nobody knows; if the share is gone, the next write says so.
        return
    reserve = kept_bytes(usage.total)
    if usage.free < reserve:
        raise StorageError(
            f"{out}: {usage.free / 1e6:.2f} MB are free, and {reserve / 1e6:.2f} MB are kept for what is under way; make room"
        ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
