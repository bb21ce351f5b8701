"""Taking back a run that was written and that nobody could begin: its plan must not bar its own correction."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

from sdclient.batch.folder import RunFolder
from sdclient.errors import StorageError

log = logging.getLogger(__name__)


def written_names(folder: RunFolder) -> frozenset[str]:
    """Return the names of all that lies in a run's own folder; none where there is no run yet."""
    return _names(folder.state)


def take_back(folder: RunFolder, written: frozenset[str]) -> bool:
    """Remove a run of which nothing was done, if nobody has written anything into it.

    Args:
        folder: The run.
        written: What lay in it when it was written.

    Returns:
        Whether it is gone; nothing is changed where somebody else is at it, or it cannot be removed.

    Raises:
        StorageError: If somebody began another run at the very moment when this one was looked through under another
            name: it lies there still, and what else was written into it.
    """
    if _names(folder.state) != written:
        return False
    aside = folder.state.with_name(f"{folder.state.name}.taken-back-{os.getpid()}")
    try:
        # Under another name nobody begins on it any more; who did so a moment ago has left a beat.
        folder.state.rename(aside)
        if _names(aside) != written:
            _put_back(aside, folder)
            return False
        shutil.rmtree(aside)
    except OSError as exc:
        log.debug("%s: the plan is not taken back: %s", folder.out, exc)
        return False
    with suppress(OSError):
        # Not empty: something else lies there.
        folder.out.rmdir()
    return True


def _put_back(aside: Path, folder: RunFolder) -> None:
    try:
        aside.rename(folder.state)
    except OSError as exc:
        raise StorageError(
            f"{folder.out}: somebody began another run here at the same moment; what was begun before it, and others worked "
            f"on, lies in {aside} ({exc.strerror})"
        ) from exc


def _names(state: Path) -> frozenset[str]:
    return frozenset(path.relative_to(state).as_posix() for path in state.rglob("*"))
