"""Documents that a recipe writes beside a run's images, of those that stand there now: never over one that a person has changed.

``.sdclient/documents/`` notes the hash of every document as written. A file with another hash is the work of a
person: it keeps its content under a name of its own, and the new document takes the name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import latest_done
from sdclient.batch.publish import sha256_of
from sdclient.errors import StorageError
from sdclient.files import create_whole, resolve_inside, storage_errors, write_durable
from sdclient.run import Run

_NOTES = "documents"


def variant_end(run: Run) -> str:
    """Return what names of places and documents of the run's variant end with; empty where it is none."""
    return f"_{run.variant}" if run.variant else ""


def made_jobs(run: Run) -> Mapping[tuple[str, str], str]:
    """Return the done jobs whose images stand at their places, those of the variant where the run is one.

    Returns:
        Their ids, by kind and by the place that a recipe plans, without a variant's name.

    Raises:
        StorageError: If the folder cannot be read.
    """
    with storage_errors("read the run in", run.out):
        latest = latest_done(run.folder.read_plan().jobs, run.folder.read_done()).values()
    end = variant_end(run)
    return {(job.kind, job.place.removesuffix(end)): job.id for job in latest if job.place.endswith(end)}


@dataclass(slots=True)
class Shelf:
    """Where the documents of one run are put.

    Attributes:
        folder: The run.
        remarks: A sentence for every changed document that was kept aside.
    """

    folder: RunFolder
    remarks: list[str] = field(default_factory=list[str])

    def put(self, place: str, data: bytes) -> Path:
        """Write a document.

        Args:
            place: POSIX path relative to the output folder.
            data: Its whole content.

        Returns:
            The path written.

        Raises:
            RunFolderError: If the place leads out of the output folder.
            StorageError: If it cannot be written; what was there is unchanged then.
        """
        path = resolve_inside(self.folder.out, place)
        notes = self._notes(place)
        with storage_errors("make the folder of", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            before = path.read_bytes() if path.is_file() else None
        if before == data:
            return path
        if before is not None and not (notes / _digest(before)).exists():
            self._keep(path, before, was_ours=notes.is_dir())
        # Noted before it is written: a program killed in between must not take its own document for a person's.
        self.note(place, _digest(data))
        write_durable(path, data)
        return path

    def note(self, place: str, sha256: str) -> None:
        """Note the hash of a document that is about to be written without `put`, such as one too large for memory.

        Raises:
            StorageError: If it cannot be written.
        """
        notes = self._notes(place)
        with storage_errors("make the folder", notes):
            notes.mkdir(parents=True, exist_ok=True)
        create_whole(notes / sha256, b"")

    def holds(self, place: str) -> bool:
        """Tell whether a document is there, and to the byte as it was noted.

        Raises:
            StorageError: If it cannot be read.
        """
        path = resolve_inside(self.folder.out, place)
        with storage_errors("read", path):
            return path.is_file() and (self._notes(place) / sha256_of(path)).exists()

    def require_ours(self, place: str) -> None:
        """Refuse to write over a document that is not as it was noted; one that is missing or empty is nobody's.

        Raises:
            StorageError: If somebody else's file stands there, or it cannot be read.
        """
        path = resolve_inside(self.folder.out, place)
        with storage_errors("read", path):
            if not path.exists() or not path.stat().st_size:
                return
        if self.holds(place):
            return
        raise StorageError(
            f"{path}: was not written by this run, or was changed since, and is left as it is; rename it, and the same "
            "command writes the run's own"
        )

    def _notes(self, place: str) -> Path:
        """Return the folder of a document's hashes."""
        return self.folder.state / _NOTES / hashlib.sha256(place.encode()).hexdigest()[:20]

    def _keep(self, path: Path, data: bytes, *, was_ours: bool) -> None:
        number = 1
        while not create_whole(kept := path.with_stem(f"{path.stem}~{number}"), data):
            number += 1
        how = "was changed by hand since it was made" if was_ours else "was there already"
        self.remarks.append(f"{path.name} {how}; that one is kept as {kept.name}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
