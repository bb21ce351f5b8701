"""Keeps some of the disk free, so that no image is drawn that has no place, and what is under way can be written."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from sdclient.errors import StorageError

__all__ = ["RESERVE_BYTES", "RESERVE_SHARE", "require_room"]

RESERVE_BYTES = 64 * 2**20
"""Kept free: some images, with their records."""
RESERVE_SHARE = 0.02
"""Of a small disk, no more than this share is kept."""


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
    reserve = min(RESERVE_BYTES, int(usage.total * RESERVE_SHARE))
    if usage.free < reserve:
        raise StorageError(
            f"{out}: {usage.free / 1e6:.2f} MB are free, and {reserve / 1e6:.2f} MB are kept for what is under way; make room"
        ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
