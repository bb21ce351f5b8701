"""The nations study: images of nations at work and at home, generated, baked and cut out.

::

    OUT/generated/<Nation>/<category>/<Nation>_<category>_<i>_<k>.png            as the server drew it
    OUT/baked/<Nation>/<category>/<Nation>_<category>_<i>_<k>_upscaled_<k>.png   drawn over at 30 %
    OUT/cutouts/<Nation>/<category>/<stem>/<stem>_<nn>.png                       every object on its own

``i`` counts the jobs of a nation and category, ``k`` the images of one request; both begin at 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sdclient.batch.plan import Job, OutputInput, job_seed
from sdclient.errors import ConfigurationError
from sdclient.files import safe_name
from sdclient.planning import JobList
from sdclient.recipes.nations_lists import (
    MAX_COUNT,
    SUFFIX,
    QueueEntry,
    Study,
    add_up,
    load_queue,
    load_study,
    parse_count,
)
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.segment import SegmentSettings
from sdclient.steps.generate import GenerateSpec
from sdclient.steps.segment import SegmentSpec

__all__ = [
    "BAKE_PAYLOAD",
    "GENERATE_PAYLOAD",
    "MAX_COUNT",
    "SUFFIX",
    "QueueEntry",
    "Study",
    "StudyPayloads",
    "add_up",
    "has_paired_seeds",
    "load_queue",
    "load_study",
    "parse_count",
    "plan_nations",
]

GENERATE_PAYLOAD = "sdxl-refiner-ultrasharp"
BAKE_PAYLOAD = "bake"


@dataclass(frozen=True, slots=True)
class StudyPayloads:
    """How the images of a study are made.

    Attributes:
        generate: From words.
        bake: Drawn over; None leaves that out.
        cutouts: How they are cut up; None leaves that out.
    """

    generate: Txt2Img
    bake: Img2Img | None = None
    cutouts: SegmentSettings | None = None


def plan_nations(
    queue: Sequence[QueueEntry], study: Study, payloads: StudyPayloads, *, paired_run_seed: int | None = None
) -> JobList:
    """Plan generations, bakes that depend on them, and cut-outs that depend on those.

    Counts are in all: planning the same queue again into the same folder adds nothing, a larger count the difference.

    Args:
        queue: What is wanted.
        study: The prompts.
        payloads: How it is made.
        paired_run_seed: The run's seed, where all nations shall share one list of seeds, so that their sets differ by
            the nation alone; None gives every image a seed of its own.

    Raises:
        ConfigurationError: If a list of seeds is wanted and a payload names one seed for all images.
    """
    listed = JobList()
    spec = GenerateSpec(payloads.generate)
    images = spec.images_per_job
    made = [job for entry in add_up(queue) for job in _generations(listed, spec, entry, study)]
    below = "generated"
    if payloads.bake is not None:
        bake = GenerateSpec(payloads.bake)
        made = listed.add_outputs(bake, made, "baked", images_per_job=images, below=below)
        below, images = "baked", bake.images_per_job
    if payloads.cutouts is not None:
        listed.add_outputs(SegmentSpec(payloads.cutouts), made, "cutouts", images_per_job=images, below=below)
    if paired_run_seed is not None:
        _refuse_fixed_seed(payloads)
        _pair(listed, paired_run_seed)
    return listed


def has_paired_seeds(jobs: Iterable[Job]) -> bool | None:
    """Tell from the jobs of a study whether all nations share one list of seeds; None where it has no jobs yet."""
    # A redo with a new seed names one too, so only first revisions tell.
    return next(("seed" in job.changes for job in jobs if job.kind == "txt2img" and not job.revision), None)


def _generations(listed: JobList, spec: GenerateSpec, entry: QueueEntry, study: Study) -> list[Job]:
    nation, category = safe_name(entry.nation), safe_name(entry.category)
    changes = {"prompt": study.prompt(entry.nation, entry.category)}
    carried = study.columns.get((entry.nation, entry.category), {})
    return [
        listed.add(
            spec,
            f"generated/{nation}/{category}/{nation}_{category}_{number}",
            changes=changes,
            columns={**carried, "nation": entry.nation, "category": entry.category, "number": str(number)},
        )
        for number in range(1, entry.count + 1)
    ]


def _refuse_fixed_seed(payloads: StudyPayloads) -> None:
    for request in (payloads.generate, payloads.bake):
        if request is not None and request.seed is not None and request.seed >= 0:
            raise ConfigurationError(
                f"paired seeds: the {request.kind} payload gives every image the seed {request.seed}; "
                "take the seed out of it, or leave the pairing out"
            )


def _pair(listed: JobList, run_seed: int) -> None:
    """Give jobs that differ by their nation alone one seed: it follows from category, number and index."""
    keys: dict[str, str] = {}
    for position, job in enumerate(listed.jobs):
        if isinstance(job.input, OutputInput):
            keys[job.id] = f"{keys[job.input.job]}/{job.input.index + 1}"
        else:
            keys[job.id] = f"paired/{job.columns['category']}/{job.columns['number']}"
        if job.kind != "segment":
            seed = job_seed(run_seed, job.kind, keys[job.id])
            listed.jobs[position] = replace(job, changes={**job.changes, "seed": seed})
