"""Where a job's input lies on this machine."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import FileInput, Job, OutputInput
from sdclient.batch.publish import locate
from sdclient.errors import ConfigurationError, RunFolderError, StorageError
from sdclient.files import find_spelled, resolve_inside, storage_error, storage_errors

_MOST_LOOKED_FOR = 50


class Inputs:
    """Finds inputs.

    Args:
        folder: The run.
        given: Folders on this machine for input roots that lie elsewhere than the plan says.
    """

    def __init__(self, folder: RunFolder, given: Mapping[str, Path] | None = None) -> None:
        self._folder = folder
        self._given = dict(given or {})
        self._devices: dict[Path, int] = {}

    def root(self, name: str) -> Path:
        """Return where an input root lies on this machine."""
        return self._given.get(name) or find_spelled(self._folder.out, name)

    def refuse_missing_roots(self, *, may_be_empty: bool = False) -> None:
        """Refuse to work where the inputs are not: every job would be set aside, for all machines, for the same reason.

        Args:
            may_be_empty: Whether a folder may be without any file, as one that is watched.

        Raises:
            ConfigurationError: Naming the folder.
        """
        done = self._folder.read_done()
        wanted: dict[str, list[str]] = {}
        for job in self._folder.read_plan().jobs.values():
            if isinstance(job.input, FileInput) and job.id not in done:
                wanted.setdefault(job.input.root, []).append(job.input.path)
        for name, paths in sorted(wanted.items()):
            root = self.root(name)
            if not root.is_dir():
                raise ConfigurationError(
                    f"{root}: the folder with the inputs is not there; "
                    "bring it back, or say where it is on this machine with --in"
                )
            if not may_be_empty and not any(root.iterdir()):
                raise ConfigurationError(f"{root}: the folder with the inputs is empty; is its share mounted?")
            if name in self._given and not _holds_any(root, paths):
                raise ConfigurationError(
                    f"--in {root}: holds none of the inputs that were looked for, such as {paths[0]}; "
                    "give the folder that the plan's names begin in"
                )

    def path(self, job: Job) -> Path | None:
        """Return the file a job works on; None where it works on none.

        Raises:
            RunFolderError: If the file is not there, or leads out of its folder.
            StorageError: If the whole folder is gone or does not answer, as when a share went away.
        """
        if isinstance(job.input, OutputInput):
            return locate(self._folder, self._folder.record(job.input.job), job.input.index)
        if isinstance(job.input, FileInput):
            path, is_there = self.look(job, job.input)
            if is_there:
                return path
            raise RunFolderError(f"{path}: the input is not there; bring it back, then `sdclient retry`")
        return None

    def look(self, job: Job, source: FileInput) -> tuple[Path, bool]:
        """Return where a job's file lies, and whether it is there.

        Raises:
            RunFolderError: If it leads out of its folder.
            StorageError: As for `path`.
        """
        root = self.root(source.root)
        path = input_path(root, source.path)
        with storage_errors("look at the input", path):
            is_there = path.is_file()
        if is_there:
            self._note_device(root)
        else:
            self.refuse_gone(job)
        return path, is_there

    def refuse_gone(self, job: Job) -> None:
        """Tell an input's folder that is gone from an input that is: the one comes back and is no job's fault.

        Raises:
            StorageError: If the folder is gone, or is what lies under a mount point whose share went away.
        """
        if not isinstance(job.input, FileInput):
            return
        root = self.root(job.input.root)
        try:
            device = root.stat().st_dev
            # Mounted anew, a share may be another device; what lies under its mount point is empty, too.
            is_gone = device != self._devices.get(root, device) and not any(root.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            is_gone = True
        except OSError as exc:
            raise storage_error("look at the folder with the inputs", root, exc) from exc
        if is_gone:
            cause = OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
            raise StorageError(f"{root}: the folder with the inputs is gone; bring it back") from cause

    def _note_device(self, root: Path) -> None:
        if root not in self._devices:
            with suppress(OSError):
                self._devices[root] = root.stat().st_dev


def _holds_any(root: Path, paths: Sequence[str]) -> bool:
    """Tell whether one of some inputs, taken from all over a long plan, is there."""
    return any(find_spelled(root, path).is_file() for path in paths[:: max(1, len(paths) // _MOST_LOOKED_FOR)])


def input_path(root: Path, relative: str) -> Path:
    """Return an input's path in the spelling that this machine's disk has; it need not be there.

    Args:
        root: The input root on this machine.
        relative: The path as the plan has it, in composed spelling.

    Raises:
        RunFolderError: If it leads out of the root, or through a link.
    """
    resolve_inside(root, relative)
    return resolve_inside(root, find_spelled(root, relative).relative_to(root).as_posix())
