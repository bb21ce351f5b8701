"""Jobs being planned, with the specs they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pydantic import JsonValue

from sdclient.batch.plan import FileInput, Job, OutputInput, make_job, spec_id
from sdclient.steps.generate import GenerateSpec
from sdclient.steps.segment import SegmentSpec

UPSCALED = "_upscaled"
"""What is added to a source's name when it is drawn over."""
Spec = GenerateSpec | SegmentSpec


def kind_of(spec: Spec) -> str:
    """Return the kind of a spec's jobs."""
    return spec.request.kind if isinstance(spec, GenerateSpec) else "segment"


@dataclass(slots=True)
class JobList:
    """Jobs being planned, with the specs they share.

    Attributes:
        jobs: In order.
        specs: By hash.
    """

    jobs: list[Job] = field(default_factory=list[Job])
    specs: dict[str, Mapping[str, JsonValue]] = field(default_factory=dict[str, Mapping[str, JsonValue]])
    _written: list[tuple[Spec, str]] = field(default_factory=list["tuple[Spec, str]"])

    def add(
        self,
        spec: Spec,
        place: str,
        *,
        input: FileInput | OutputInput | None = None,  # noqa: A002 - the design's word, and keyword-only
        changes: Mapping[str, JsonValue] | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> Job:
        """Plan one job and return it."""
        job = make_job(kind_of(spec), place, self._write(spec), input=input, changes=changes, columns=columns)
        self.jobs.append(job)
        return job

    def _write(self, spec: Spec) -> str:
        """Return a spec's hash. It may hold a control image: it is written and hashed once, not once a job."""
        for known, name in self._written:
            if known is spec:
                return name
        value = spec.to_json()
        name = spec_id(value)
        self.specs[name] = value
        self._written.append((spec, name))
        return name

    def add_outputs(
        self, spec: Spec, jobs: Sequence[Job], into: str, *, images_per_job: int = 1, below: str = ""
    ) -> list[Job]:
        """Plan one job for every image that ``jobs`` will make.

        Args:
            spec: What to do with each image.
            jobs: The jobs that make them.
            into: Folder for the results, relative to the output folder; below it the places of ``jobs`` are kept.
            images_per_job: How many images each of ``jobs`` makes.
            below: Leading folder of the places of ``jobs`` that is left out.
        """
        planned: list[Job] = []
        for job in jobs:
            place = PurePosixPath(job.place)
            kept = place.relative_to(below) if below else place
            for index in range(images_per_job):
                name = f"{kept.name}_{index + 1}"
                end = name if isinstance(spec, SegmentSpec) else name + UPSCALED
                planned.append(
                    self.add(spec, str(PurePosixPath(into) / kept.parent / end), input=OutputInput(job.id, index))
                )
        return planned
