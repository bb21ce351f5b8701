"""Where a run stands, read once: what ``sdclient status`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sdclient.batch.beats import parse_beat, read_beats
from sdclient.batch.folder import RunFolder
from sdclient.batch.survey import Counts, count, survey
from sdclient.files import storage_errors


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

    How long a worker has been silent cannot be known from one look: only those whose process has certainly
    ended count as gone.

    Raises:
        RunFolderError: If the plan is damaged.
        StorageError: If the folder cannot be read.
    """
    with storage_errors("read the run in", folder.out):
        raw = read_beats(folder.state / "beats")
        claims = folder.read_claims()
        done = folder.read_done()
        jobs = folder.read_plan().jobs
    beats = {token: beat for token, data in sorted(raw.items()) if (beat := parse_beat(data)) is not None}
    gone = {token for token, beat in beats.items() if beat.identity.is_certainly_gone()}
    standings = survey(jobs, done, claims, lambda epoch: epoch.owner in gone)
    aside = {jobs[job].place: one.words for job, one in standings.items() if one.state == "set_aside"}
    workers = tuple(WorkerStatus(token[:8], beat.label, token in gone) for token, beat in beats.items())
    return RunStatus(count(jobs, done, standings.values()), workers, aside)
