"""What becomes of jobs that are asked for again and otherwise: pure.

A job's place keeps its latest revision. One that is asked for with other settings becomes the next revision, and so
does everything that works on its outputs; the plan itself never changes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from sdclient.batch.adding import said
from sdclient.batch.plan import Job, OutputInput, Plan, Specs, job_id, latest_jobs
from sdclient.batch.seeds import KeptSeeds, names_seed
from sdclient.errors import ChangedPlanError, PlanError

_Key: TypeAlias = tuple[str, str]
_NAME = re.compile(r"[\w-][\w.-]{0,39}")
_TOLD = 3


@dataclass(frozen=True, slots=True)
class PlanChange:
    """Jobs that are asked for otherwise than they are planned.

    Attributes:
        out: The output folder.
        jobs: Jobs that are asked for.
        changed: Those planned otherwise, with what works on their images.
        done: How many of them are done.
        words: What is otherwise.
        is_overtaken: Somebody else planned them at the same moment, when all else was settled: it is too late to ask.
    """

    out: Path
    jobs: int
    changed: int
    done: int
    words: tuple[str, ...]
    is_overtaken: bool = False

    def refusal(self) -> ChangedPlanError:
        """Return what to raise where nobody says what shall become of them."""
        return ChangedPlanError(
            f"{self}. Use another output folder, or the settings of before; in Python, Run(…, on_change='redo') makes "
            "them anew, and variant='NAME' beside them"
        )

    def __str__(self) -> str:
        some = "1 job was" if self.changed == 1 else f"{self.changed} jobs were"
        text = f"{some} planned otherwise in this folder ({self.done} done): {'; '.join(self.words)}"
        if self.is_overtaken:
            text = f"somebody else planned here at the same moment, and may be at work on it; {text}"
        return f"{self.out}: {text}"


@dataclass(frozen=True, slots=True)
class Choice:
    """What shall become of them; neither: nothing is done.

    Attributes:
        redo: Make them anew; old images stay until the new ones are there, and are kept in ``replaced/`` then.
        variant: Make all that is asked for beside what is there, under this name.
    """

    redo: bool = False
    variant: str = ""


OnChange: TypeAlias = Callable[[PlanChange], Choice]
"""Asked when jobs are planned otherwise."""


def redo_changed(_: PlanChange) -> Choice:
    """Have everything that is planned otherwise made anew."""
    return Choice(redo=True)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What jobs that are asked for mean to a plan.

    Attributes:
        jobs: What must be added, in order; known jobs are left out.
        changed: Those that are planned otherwise, as they are and as they would be.
    """

    jobs: tuple[Job, ...]
    changed: tuple[tuple[Job, Job], ...] = ()

    def change(self, out: Path, plan: Plan, specs: Specs, *, asked: int, done: AbstractSet[str]) -> PlanChange:
        """Return what is planned otherwise, out of so many jobs that are asked for."""
        ready = sum(before.id in done for before, _ in self.changed)
        return PlanChange(out, asked, len(self.changed), ready, tuple(self.words(plan, specs)))

    @property
    def is_luck(self) -> bool:
        """Whether only the luck of the draw differs: all is asked for with other seeds, and nothing else."""
        return all(
            (one.spec, _without_seed(one.changes)) == (two.spec, _without_seed(two.changes))
            for one, two in self.changed
        )

    def words(self, plan: Plan, specs: Specs) -> list[str]:
        """Say what is otherwise, and for how many jobs; the most frequent differences first."""
        counted = Counter(_words(before, after, plan.specs, specs) for before, after in self.changed)
        told = [f"{text} ({number} jobs)" if number > 1 else text for text, number in counted.most_common(_TOLD)]
        more = len(counted) - _TOLD
        return told + ([f"and {more} other differences"] if more > 0 else [])


def _words(before: Job, after: Job, old: Specs, new: Specs) -> str:
    if (before.spec, before.changes) == (after.spec, after.changes):
        return "works on an image that is made anew"
    return said(before, after, (old, new))


class _Resolver:
    """Goes through the jobs that are asked for, inputs before what works on them."""

    def __init__(self, plan: Plan) -> None:
        self._latest = {(job.kind, job.place): job for job in latest_jobs(plan.jobs).values()}
        self._revisions: dict[_Key, list[Job]] = {}
        self._keys: dict[str, _Key] = {}
        redone = {(job.kind, job.place) for job in plan.jobs.values() if job.revision}
        for job in plan.jobs.values():
            key = (job.kind, job.place)
            self._keys[job.id] = key
            if key in redone:
                self._revisions.setdefault(key, []).append(job)
        for kind, place in self._revisions:
            # People and recipes ask for the first revision, also where it was withdrawn.
            self._keys[job_id(kind, place)] = (kind, place)
        self._ids: dict[_Key, str] = {}
        self._listed: set[_Key] = set()
        self._anew: set[_Key] = set()
        self.jobs: list[Job] = []
        self.changed: list[tuple[Job, Job]] = []

    def ask(self, job: Job) -> None:
        """Take in a job that is asked for."""
        key = (job.kind, job.place)
        known = self._latest.get(key)
        asked = replace(job, input=self._renamed(job.input)) if job.needs is not None else job
        if key in self._listed or known is None or not self._has_same_input(known, job):
            # New, or a contradiction that adding it will name.
            self._keys.setdefault(job.id, key)
            self.jobs.append(asked)
        elif self._is_known(known, job):
            pass
        else:
            self._plan_anew(known, replace(asked, columns=job.columns))
        self._listed.add(key)

    def carry_along(self) -> None:
        """Plan anew what works on outputs of changed jobs and was not asked for itself."""
        if not self._anew:
            return
        for key, job in list(self._latest.items()):
            if key not in self._listed and job.needs is not None and self._keys.get(job.needs) in self._anew:
                self._plan_anew(job, replace(job, input=self._renamed(job.input)))

    def _plan_anew(self, before: Job, asked: Job) -> None:
        revision = before.revision + 1
        after = replace(asked, id=job_id(before.kind, before.place, revision), revision=revision)
        key = (before.kind, before.place)
        self._ids[key] = after.id
        self._anew.add(key)
        self.jobs.append(after)
        self.changed.append((before, after))

    def _renamed(self, source: object) -> OutputInput:
        if not isinstance(source, OutputInput):
            raise TypeError("only inputs that are outputs have names")
        key = self._keys.get(source.job)
        if key is None:
            return source
        latest = self._latest.get(key)
        return OutputInput(self._ids.get(key, latest.id if latest else source.job), source.index)

    def _has_same_input(self, known: Job, job: Job) -> bool:
        if isinstance(known.input, OutputInput) and isinstance(job.input, OutputInput):
            one, two = self._keys.get(known.input.job), self._keys.get(job.input.job)
            return one == two and known.input.index == job.input.index
        return known.input == job.input

    def _is_known(self, known: Job, job: Job) -> bool:
        """Tell whether the latest revision is what is asked for, perhaps drawn from another seed since."""
        if job.needs is not None and self._keys.get(job.needs) in self._anew:
            return False
        for one in reversed(self._revisions.get((job.kind, job.place), [known])):
            if one.spec != known.spec or _without_seed(one.changes) != _without_seed(known.changes):
                return False
            if one.spec == job.spec and dict(one.changes) == dict(job.changes):
                return True
        return False


def _without_seed(changes: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: value for name, value in changes.items() if name != "seed"}


def resolve(plan: Plan, jobs: Iterable[Job]) -> Resolved:
    """Hold jobs against a plan.

    Args:
        plan: What is planned.
        jobs: What is asked for, named as first revisions.
    """
    resolver = _Resolver(plan)
    for job in jobs:
        resolver.ask(job)
    resolver.carry_along()
    return Resolved(tuple(resolver.jobs), tuple(resolver.changed))


def as_variant(jobs: Sequence[Job], specs: Specs, name: str, seeds: KeptSeeds) -> list[Job]:
    """Return jobs at places of their own, ``<place>_<name>``, drawn from the seeds of the plain ones.

    Args:
        jobs: The jobs.
        specs: Their specs, by hash.
        name: The variant's name: letters, digits, ``_``, ``-`` and ``.``, 40 at most.
        seeds: The seeds of the plain ones.

    Raises:
        PlanError: If it cannot be part of a file name.
    """
    if not _NAME.fullmatch(name):
        raise PlanError(f"--variant {name[:60]!r}: a name of letters, digits, _ - and . is needed, 40 at most")
    ids = {job.id: job_id(job.kind, f"{job.place}_{name}") for job in jobs}
    return [_variant_of(job, specs, name, ids, seeds) for job in jobs]


@dataclass(slots=True)
class Naming:
    """Gives jobs the places of a variant; without a name it leaves them as they are.

    Attributes:
        name: The variant's name; empty for none.
        run_seed: The run's seed.
        given: Ids of the jobs that were named, as first revisions.
    """

    name: str
    run_seed: int
    given: set[str] = field(default_factory=set[str])

    def named(self, plan: Plan, jobs: Sequence[Job], specs: Specs, *, only_beside: bool) -> list[Job]:
        """Return jobs at places of the variant.

        Args:
            plan: What is planned.
            jobs: Jobs, named as first revisions.
            specs: Their specs, by hash.
            only_beside: Leave out of it what works on an image of the variant, for it has a place of its own by that,
                and what is planned just so already, unless the variant has it too. None may work on another of them.
        """
        seeds = KeptSeeds(plan, self.run_seed)
        kept = seeds.keep(jobs, specs)
        if not self.name:
            return kept
        others = [job for job in jobs if not (only_beside and job.needs in self.given)]
        varied = dict(zip((one.id for one in others), as_variant(others, specs, self.name, seeds), strict=True))
        if only_beside:
            varied = _needed(plan, [job for job in kept if job.id in varied], varied)
        self.given.update(two.id for two in varied.values())
        return [varied.get(job.id, job) for job in kept]


def _needed(plan: Plan, jobs: Sequence[Job], varied: Mapping[str, Job]) -> dict[str, Job]:
    """Return those of a variant that are planned, or whose plain jobs are not planned just so."""
    new = {(job.kind, job.place) for job in resolve(plan, jobs).jobs}
    planned = {(job.kind, job.place) for job in plan.jobs.values()}
    return {
        job.id: varied[job.id]
        for job in jobs
        if (job.kind, job.place) in new or (job.kind, varied[job.id].place) in planned
    }


def _variant_of(job: Job, specs: Specs, name: str, ids: Mapping[str, str], seeds: KeptSeeds) -> Job:
    source = job.input
    if isinstance(source, OutputInput):
        source = OutputInput(ids.get(source.job, source.job), source.index)
    changes = job.changes
    if not names_seed(job, specs):
        # What differs between variants is what was changed, and not the luck of the draw.
        changes = {**changes, "seed": seeds.of_variant(job.kind, job.place, name)}
    return replace(job, id=ids[job.id], place=f"{job.place}_{name}", input=source, changes=changes)
