"""A run as one look at its folder finds it: its jobs, its workers, and whether one that ended is needed again."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from sdclient.batch.beats import Beat, parse_beat, read_beats
from sdclient.batch.claims import Standing
from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import Job
from sdclient.batch.survey import can_come, survey
from sdclient.files import storage_errors


@dataclass(frozen=True, slots=True)
class Seen:
    """The jobs and workers of a run as one look found them.

    Attributes:
        jobs: The plan.
        done: What is committed.
        standings: Where the others stand.
        beats: Signs of life that can be read, by worker.
        gone: Of these, workers whose process has certainly ended.
    """

    jobs: Mapping[str, Job]
    done: AbstractSet[str]
    standings: Mapping[str, Standing]
    beats: Mapping[str, Beat] = field(default_factory=dict[str, Beat])
    gone: frozenset[str] = frozenset()

    def left(self, kinds: AbstractSet[str]) -> int:
        """Count the jobs of these kinds that are neither done nor set aside."""
        return len(self._open(kinds))

    def has_more(self, kinds: AbstractSet[str], others: AbstractSet[str]) -> bool:
        """Tell whether a worker for some kinds has work, or may get it from others.

        Args:
            kinds: What it does.
            others: The kinds of jobs that others do now.
        """
        hands = kinds | others
        return any(can_come(job, self.jobs, self.done, self.standings, hands) for job in self._open(kinds))

    def _open(self, kinds: AbstractSet[str]) -> list[str]:
        return [
            job_id
            for job_id, known in self.standings.items()
            if self.jobs[job_id].kind in kinds and known.state != "set_aside"
        ]


def look_at_folder(folder: RunFolder) -> Seen:
    """Read where the jobs and workers of a run stand, now and once.

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
    gone = frozenset(token for token, beat in beats.items() if beat.identity.is_certainly_gone())
    return Seen(jobs, done, survey(jobs, done, claims, lambda epoch: epoch.owner in gone), beats, gone)
