"""Where a job's input lies on this machine."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import FileInput, Job, OutputInput
from sdclient.batch.publish import locate
from sdclient.errors import ConfigurationError, RunFolderError, StorageError
from sdclient.files import find_spelled, resolve_inside, storage_error, storage_errors


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

    def refuse_missing_roots(self) -> None:
        """Refuse to work where the input folders are not: every job would fail for the same reason.

        Raises:
            ConfigurationError: Naming the folder.
        """
        done = self._folder.read_done()
        jobs = self._folder.read_plan().jobs.values()
        roots = {job.input.root for job in jobs if isinstance(job.input, FileInput) and job.id not in done}
        for name in sorted(roots):
            if not self.root(name).is_dir():
                raise ConfigurationError(
                    f"{self.root(name)}: the folder with the inputs is not there; "
                    "bring it back, or say where it is on this machine with --in"
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
            root = self.root(job.input.root)
            path = input_path(root, job.input.path)
            with storage_errors("look at the input", path):
                is_there = path.is_file()
            if is_there:
                self._note_device(root)
                return path
            self.refuse_gone(job)
            raise RunFolderError(f"{path}: the input is not there; bring it back, then `sdclient retry`")
        return None

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
