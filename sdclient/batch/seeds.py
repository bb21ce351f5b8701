"""Which seeds jobs keep that name none, where a plan has drawn others for them since: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sdclient.batch.plan import Job, Plan, Specs, job_seed, latest_jobs


def names_seed(job: Job, specs: Specs) -> bool:
    """Tell whether a job's seed is the user's own, or it has none at all."""
    request = specs[job.spec].get("request")
    return not isinstance(request, dict) or job.changes.get("seed", request.get("seed")) not in (None, -1)


def redo_seed(run_seed: int, kind: str, place: str, revision: int) -> int:
    """Return the seed of a job that is done again from another one.

    Args:
        run_seed: The run's seed.
        kind: The job's kind.
        place: The job's place.
        revision: That of the new job, from 1.
    """
    return job_seed(run_seed, kind, f"{place}\0{revision}")


class KeptSeeds:
    """Finds the seeds that a plan has drawn for places, so that one that was not liked does not come back.

    Args:
        plan: What is planned.
        run_seed: The run's seed.
    """

    def __init__(self, plan: Plan, run_seed: int) -> None:
        self._run_seed = run_seed
        self._latest: dict[tuple[str, str], Job] = {}
        if any("seed" in job.changes for job in plan.jobs.values()):
            self._latest = {(job.kind, job.place): job for job in latest_jobs(plan.jobs).values()}

    def keep(self, jobs: Sequence[Job], specs: Specs) -> list[Job]:
        """Return jobs with the seeds that their places were done again from, where they name none."""
        return [self._kept(job, specs) for job in jobs] if self._latest else list(jobs)

    def of_variant(self, kind: str, place: str, name: str) -> int:
        """Return the seed of a job's variant: its own as it is planned, else that of the plain job as it is now."""
        known = self._latest.get((kind, f"{place}_{name}"))
        last = self._latest.get((kind, place))
        before = [job_seed(self._run_seed, kind, place), *self._redos(kind, place, last.revision if last else 0)]
        own = [] if known is None else self._redos(kind, known.place, known.revision)
        if known is not None and known.changes.get("seed") in [*before, *own]:
            # The plain job may have been done again since: asked for once more, the variant is what it was.
            return int(str(known.changes["seed"]))
        seed = self._redrawn(kind, place)
        return before[0] if seed is None else seed

    def _kept(self, job: Job, specs: Specs) -> Job:
        seed = None if names_seed(job, specs) else self._redrawn(job.kind, job.place)
        return job if seed is None else replace(job, changes={**job.changes, "seed": seed})

    def _redrawn(self, kind: str, place: str) -> int | None:
        """Return the seed of a place's latest revision, where a redo has drawn it."""
        job = self._latest.get((kind, place))
        seed = None if job is None or not job.revision else job.changes.get("seed")
        if job is None or not isinstance(seed, int) or seed not in self._redos(kind, place, job.revision):
            return None
        return seed

    def _redos(self, kind: str, place: str, revisions: int) -> list[int]:
        return [redo_seed(self._run_seed, kind, place, revision) for revision in range(1, revisions + 1)]
