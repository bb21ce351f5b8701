"""Which jobs follow an image that is made once more: pure.

What works on an image is bound to one revision of it. Once a later one is planned, whatever works on that place must be
planned anew upon it, done or not: left as it is, it would be made from the image that is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

from sdclient.batch.plan import Job, Plan, job_id, latest_jobs


def by_any_revision(latest: Iterable[Job]) -> dict[str, Job]:
    """Return the latest jobs of their places by the ids of all revisions up to them, also of such as were withdrawn."""
    found: dict[str, Job] = {}
    for job in latest:
        for revision in range(job.revision):
            found[job_id(job.kind, job.place, revision)] = job
        found[job.id] = job
    return found


class Sources:
    """Tells what the jobs of a plan should work on: the latest revision of what they were bound to.

    Attributes:
        plan: The plan.
        latest: The jobs that no later revision has taken the place of, by id.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.latest = latest_jobs(plan.jobs)
        self._newest = by_any_revision(self.latest.values())

    def of(self, job: Job) -> Job | None:
        """Return the latest revision of what a job works on; None where that is no output of the plan."""
        return self._newest.get(job.needs) if job.needs is not None else None

    def is_outdated(self, job: Job) -> bool:
        """Tell whether a job is bound to an image that was planned once more since."""
        source = self.of(job)
        return source is not None and source.id != job.needs

    def newest(self, job_id_: str) -> Job | None:
        """Return the latest revision at the place of a job, which may be withdrawn."""
        return self._newest.get(job_id_)

    def below(self, roots: Iterable[str]) -> set[str]:
        """Return the ids of some latest jobs, and of all that work on their places, at whatever revision."""
        working: dict[str, list[str]] = {}
        for job in self.latest.values():
            source = self.of(job)
            if source is not None:
                working.setdefault(source.id, []).append(job.id)
        found: set[str] = set()
        queue = list(roots)
        while queue:
            current = queue.pop()
            if current not in found:
                found.add(current)
                queue += working.get(current, [])
        return found


def to_plan_anew(sources: Sources, asked: AbstractSet[str], done: AbstractSet[str]) -> list[Job]:
    """Return the jobs that a redo plans anew, inputs before what works on them.

    They are those of the asked for that are done, all that works on their places, and what an older redo has left bound
    to a replaced image.

    Args:
        sources: Of the plan.
        asked: Ids of latest jobs.
        done: Ids of the jobs to make once more, if asked for.
    """
    latest = sources.latest
    roots = {one for one in sources.below(asked) if (one in asked and one in done) or sources.is_outdated(latest[one])}
    chosen = sources.below(roots)
    return inputs_first([job for job in latest.values() if job.id in chosen], sources.of)


def inputs_first(jobs: Iterable[Job], source_of: Callable[[Job], Job | None]) -> list[Job]:
    """Return jobs in their order, but each after the one among them whose output it works on."""
    left = {job.id: job for job in jobs}
    found: list[Job] = []
    for job in list(left.values()):
        chain: list[Job] = []
        current: Job | None = job
        while current is not None and left.pop(current.id, None) is not None:
            chain.append(current)
            current = source_of(current)
        found += reversed(chain)
    return found
