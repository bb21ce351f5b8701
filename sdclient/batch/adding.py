"""What may be added to a plan, and what contradicts it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sdclient.batch.differences import differences
from sdclient.batch.plan import FileInput, Job, OutputInput, Plan, Specs
from sdclient.errors import PlanError

# Never to remove the run: somebody else may be at work on it, also where nothing is done yet.
_ELSEWHERE = (
    "a run does not change what it has planned. Use the settings of before, a variant beside it (--variant NAME; in "
    "Python, variant='NAME'), or another output folder"
)


def check_new_jobs(plan: Plan, jobs: Iterable[Job], specs: Specs | None = None) -> list[Job]:
    """Return the jobs that the plan does not hold yet.

    Args:
        plan: What is planned.
        jobs: What is asked for.
        specs: The specs of ``jobs``, to say what is asked for otherwise.

    Raises:
        PlanError: If two have one place, a known job is asked for differently, or an input is made by nobody.
    """
    known = dict(plan.jobs)
    # Names differ only by case on some machines of a share and are equal on others.
    places = {_place_key(job): job for job in known.values()}
    fresh: dict[str, Job] = {}
    for job in jobs:
        before = known.get(job.id)
        if before is not None:
            if job.input != before.input:
                raise PlanError(_taken(before, job, known, is_new=job.id in fresh))
            _refuse_change(before, job, (plan.specs, specs or {}), is_new=job.id in fresh)
            continue
        other = places.get(_place_key(job))
        if other is not None and other.revision >= job.revision:
            raise PlanError(_taken(other, job, known, is_new=other.id in fresh))
        if job.needs is not None and job.needs not in known:
            raise PlanError(f"{job.place}: works on an output of job {job.needs}, which is not in the plan before it")
        known[job.id] = places[_place_key(job)] = fresh[job.id] = job
    return list(fresh.values())


def _place_key(job: Job) -> tuple[bool, str]:
    return job.kind == "segment", job.place.casefold()


def _refuse_change(before: Job, job: Job, specs: tuple[Specs, Specs], *, is_new: bool) -> None:
    if is_new:
        raise PlanError(f"{job.place}: asked for twice in one plan; give each job a name of its own")
    if (job.spec, dict(job.changes)) != (before.spec, dict(before.changes)):
        raise PlanError(f"{job.place}: was planned otherwise in this folder: {said(before, job, specs)}; {_ELSEWHERE}")


def said(before: Job, job: Job, specs: tuple[Specs, Specs]) -> str:
    """Say in which fields two plans of one job differ.

    Args:
        before: As planned.
        job: As asked for now.
        specs: The specs of the one and of the other, by hash.
    """
    old, new = specs[0].get(before.spec, {}), specs[1].get(job.spec) or specs[0].get(job.spec, {})
    return differences({**old, "changes": dict(before.changes)}, {**new, "changes": dict(job.changes)})


def _taken(one: Job, two: Job, known: Mapping[str, Job], *, is_new: bool) -> str:
    """Say why a place is taken: by another input now, or by a chain that was planned in another way before."""
    before, now = (_input_text(job, known) for job in (one, two))
    if is_new:
        return f"{two.place}: two inputs would be written under this name, {before} and {now}; rename one of them"
    if isinstance(one.input, FileInput) and isinstance(two.input, FileInput):
        # The other file may be gone: a plan keeps what it was made for.
        return (
            f"{two.place}: was planned for {before} in this folder, and {now} would be written under this name, too. "
            f"Rename {now.rpartition('/')[2]}, or move it away; where it took the other's place, --variant NAME or "
            "another output folder makes all images from what is there now"
        )
    return (
        f"{two.place}: was planned otherwise in this folder: it was made from {before}, and would be from {now} now; "
        + _ELSEWHERE
    )


def _input_text(job: Job, known: Mapping[str, Job]) -> str:
    if isinstance(job.input, FileInput):
        return f"{job.input.root}/{job.input.path}"
    if isinstance(job.input, OutputInput):
        source = known.get(job.input.job)
        return f"image {job.input.index + 1} of {source.place if source else job.input.job}"
    return "a prompt"
