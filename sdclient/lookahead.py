"""What can be said of a run before it begins: time and disk."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from statistics import fmean
from typing import Protocol

from sdclient.batch.folder import RunFolder
from sdclient.batch.inputs import Inputs
from sdclient.batch.plan import FileInput, Job, Plan
from sdclient.client.sizes import SizeRule
from sdclient.errors import ConfigurationError, SDClientError
from sdclient.images import read_size
from sdclient.run import Run
from sdclient.steps.generate import GenerateSpec, ServerLane

_BYTES_PER_PIXEL = 1.9
"""A rough guess for a PNG of a photograph; the line it feeds says ``about``."""
_UNKNOWN_PIXELS = 1024 * 1024
_CUTOUT_BYTES = 2_000_000
_LOOKED_AT = 16
"""Images, or records, of one kind of job that are looked into."""


class Hand(Protocol):
    """Who does jobs: a lane, or a worker that a cluster shall keep."""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of jobs it can do."""
        ...


def time_estimate_s(run: Run, hands: Sequence[Hand]) -> float | None:
    """Return the seconds left by this run's own measurements; None before there are any."""
    typical = run.typical_s()
    done = run.folder.read_done()
    total = 0.0
    for job in run.jobs():
        if job.id in done:
            continue
        if job.kind not in typical:
            return None
        able = sum(1 for hand in hands if job.kind in hand.kinds)
        total += typical[job.kind] / max(1, able)
    return total


def disk_estimate_bytes(run: Run) -> int:
    """Return about how many bytes the open jobs will write: as those that are done, else by the sizes of images."""
    plan = run.folder.read_plan()
    done = run.folder.read_done()
    disk = _Disk(run.folder, plan, done)
    counted = Counter(job.spec for job in plan.jobs.values() if job.id not in done)
    return int(sum(number * disk.job_bytes(spec) for spec, number in counted.items()))


class _Disk:
    """Estimates what a job of a spec writes, from a few of its jobs.

    Args:
        folder: The run.
        plan: What is planned.
        done: Ids of jobs that are done.
    """

    def __init__(self, folder: RunFolder, plan: Plan, done: AbstractSet[str]) -> None:
        self._folder = folder
        self._plan = plan
        self._inputs = Inputs(folder, _roots_beside(folder, plan))
        self._done: dict[str, list[Job]] = {}
        self._open: dict[str, list[Job]] = {}
        self._pixels: dict[str, float] = {}
        self._asked: set[str] = set()
        for job in plan.jobs.values():
            (self._done if job.id in done else self._open).setdefault(job.spec, []).append(job)

    def job_bytes(self, spec: str) -> float:
        """Return what one job writes, in bytes."""
        made = [size for job in _some(self._done.get(spec, ())) if (size := self._made_bytes(job)) is not None]
        if made:
            return fmean(made)
        job = self._open[spec][0]
        if job.kind not in ServerLane.kinds:
            return _CUTOUT_BYTES
        return self._image_pixels(job) * _BYTES_PER_PIXEL * self._generation(job).images_per_job

    def _made_bytes(self, job: Job) -> int | None:
        try:
            return sum(one.size_bytes for one in self._folder.record(job.id).files)
        except SDClientError:
            return None

    def _generation(self, job: Job) -> GenerateSpec:
        return GenerateSpec.from_json(job.kind, self._plan.specs[job.spec])

    def _image_pixels(self, job: Job) -> float:
        """Return the pixels of one image of a job's spec."""
        if job.spec not in self._pixels:
            self._asked.add(job.spec)
            spec = self._generation(job)
            scale = spec.request.enlarge.scale if spec.request.enlarge else 1.0
            self._pixels[job.spec] = self._drawn_pixels(job.spec, spec) * scale**2
        return self._pixels[job.spec]

    def _drawn_pixels(self, name: str, spec: GenerateSpec) -> float:
        """Return the pixels that a server draws, from the request or from inputs."""
        if spec.size is None and spec.request.size is not None:
            return math.prod(spec.request.size)
        rule = spec.size or SizeRule("source")
        jobs = _some([*self._open.get(name, ()), *self._done.get(name, ())])
        sides = [size for job in jobs if (size := self._source_size(job)) is not None]
        # Sizes that no server takes are refused when their job is prepared: not here.
        found = [math.prod(target) for size in sides if (target := _target(rule, size)) is not None]
        return fmean(found) if found else _UNKNOWN_PIXELS

    def _source_size(self, job: Job) -> tuple[int, int] | None:
        """Return width and height of what a job works on, in pixels; None where nobody knows without decoding."""
        before = self._plan.jobs.get(job.needs) if job.needs is not None else None
        if before is not None and before.kind in ServerLane.kinds:
            if before.spec in self._asked and before.spec not in self._pixels:
                # In a chain of one spec only its beginning tells.
                return None
            side = round(math.sqrt(self._image_pixels(before)))
            return side, side
        try:
            path = self._inputs.path(job)
        except SDClientError:
            return None
        return None if path is None else read_size(path)


def _some(jobs: Sequence[Job]) -> Sequence[Job]:
    """Return a few jobs from all over many: a share takes its time to open each."""
    return jobs[:: max(1, len(jobs) // _LOOKED_AT)]


def _target(rule: SizeRule, source: tuple[int, int]) -> tuple[int, int] | None:
    try:
        return rule.target(source)
    except ConfigurationError:
        return None


def _roots_beside(folder: RunFolder, plan: Plan) -> dict[str, Path]:
    """Return where inputs lie while the output folder is not made yet: no system finds its way through it."""
    if folder.out.is_dir():
        return {}
    roots = {job.input.root for job in plan.jobs.values() if isinstance(job.input, FileInput)}
    return {root: Path(os.path.normpath(folder.out.resolve() / root)) for root in roots}
