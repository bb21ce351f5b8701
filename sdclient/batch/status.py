"""Where a run stands, read once: what ``sdclient status`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sdclient.batch.folder import RunFolder
from sdclient.batch.seen import look_at_folder
from sdclient.batch.survey import Counts, count


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker that left a sign of life.

    Attributes:
        worker: First digits of its token.
        label: What it calls itself.
        is_gone: True where its process has certainly ended; False where it lives or cannot be seen from here.
    """

    worker: str
    label: str
    is_gone: bool


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Where a run stands.

    Attributes:
        counts: Jobs by where they stand.
        workers: Who takes part.
        set_aside: Place and reason of every job that was set aside.
    """

    counts: Counts
    workers: tuple[WorkerStatus, ...]
    set_aside: Mapping[str, str]

    def to_json(self) -> dict[str, object]:
        """Return the status as one JSON object."""
        workers = [{"worker": one.worker, "label": one.label, "gone": one.is_gone} for one in self.workers]
        return {**self.counts.to_json(), "workers": workers, "reasons": dict(self.set_aside)}


def read_status(folder: RunFolder) -> RunStatus:
    """Read where a run stands, now and once.

    Raises:
        RunFolderError: If the plan is damaged.
        StorageError: If the folder cannot be read.
    """
    seen = look_at_folder(folder)
    aside = {seen.jobs[job].place: one.words for job, one in seen.standings.items() if one.state == "set_aside"}
    workers = tuple(WorkerStatus(token[:8], beat.label, token in seen.gone) for token, beat in seen.beats.items())
    return RunStatus(count(seen.jobs, seen.done, seen.standings.values()), workers, aside)
