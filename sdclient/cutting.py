"""Plans cut-outs: of the images of a folder, of what boxes and points name in them, of images still to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from sdclient.batch.plan import FileInput, Job, OutputInput, Plan, job_id, latest_jobs, normal_place
from sdclient.errors import ConfigurationError
from sdclient.images import read_size
from sdclient.planning import FoundImages, JobList, LeftOut, plan_folder
from sdclient.segment import Prompt, SegmentSettings
from sdclient.steps.generate import KINDS as SERVER_KINDS
from sdclient.steps.generate import GenerateSpec
from sdclient.steps.segment import PROMPTS, SegmentSpec

__all__ = ["CUTOUTS", "Prompts", "plan_cutouts", "plan_cutouts_of_outputs"]

Prompts: TypeAlias = Mapping[str, Sequence[Prompt]]
"""What to cut out, by image as its folder lists it (``den/cub.png``)."""

CUTOUTS = "cutouts"
"""Folder of the cut-outs that follow a drawing, below the output folder."""

_COUNTING = frozenset({"batch_size", "n_iter"})
_NAMED = 3

# A header takes a share some milliseconds; what is not looked at is told when the image is cut.
_LOOKED_AT = 1000


def plan_cutouts(
    folder: Path,
    out: Path,
    settings: SegmentSettings,
    *,
    prompts: Prompts | None = None,
    into: str = "",
    found: FoundImages | None = None,
) -> tuple[JobList, tuple[LeftOut, ...]]:
    """Plan one segment job for every image below a folder.

    Args:
        folder: Where the images are.
        out: The output folder.
        settings: Which segmenter, and how.
        prompts: What to cut out, by image as the folder lists it (``den/cub.png``); images without any are left out.
            None cuts out everything.
        into: Folder for the cut-outs, relative to the output folder.
        found: The images, where they are known already; None looks for them.

    Returns:
        The jobs, and what was left out.

    Raises:
        ConfigurationError: If the folder is none, or there are prompts for an image that is not in it, or that lie
            outside theirs.
        PlanError: If two images would have one output name.
    """
    listed, skipped = plan_folder(SegmentSpec(settings), folder, out, into=into, found=found)
    if prompts is None:
        return listed, skipped
    named = {job.input.path: job for job in listed.jobs if isinstance(job.input, FileInput)}
    # The disk's spelling of a name need not be the list's.
    prompts = {normal_place(path): asked for path, asked in prompts.items()}
    lost = sorted(set(prompts) - named.keys())
    if lost:
        shown = ", ".join(lost[:_NAMED]) + (f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else "")
        raise ConfigurationError(
            f"{folder}: there are prompts for {shown}, and no such image: name images relative to that folder"
        )
    _refuse_outside(folder, {path: prompts[path] for path in named if path in prompts})
    jobs = [
        replace(job, changes={PROMPTS: [prompt.to_json() for prompt in prompts[path]]})
        for path, job in named.items()
        if path in prompts
    ]
    left_out = len(named) - len(jobs)
    remarks = (LeftOut(f"{left_out} of {len(named)} images", "there are no prompts for them"),) if left_out else ()
    return JobList(jobs, listed.specs), (*skipped, *remarks)


def _refuse_outside(folder: Path, prompts: Prompts) -> None:
    """Refuse prompts outside their images while somebody is there to mend the list; of many images, look at some.

    A header does not say how the image is turned: what fits in neither way is surely outside.
    """
    slips: list[str] = []
    for path, asked in list(prompts.items())[:_LOOKED_AT]:
        size = read_size(folder / path)
        if size is None:
            continue
        outside = [
            number
            for number, one in enumerate(asked, 1)
            if not (one.fits((size[0], size[1])) or one.fits((size[1], size[0])))
        ]
        if outside:
            slips.append(f"prompt {outside[0]} of {path} ({size[0]} x {size[1]} px)")
    if slips:
        shown = ", ".join(slips[:_NAMED]) + (f" and {len(slips) - _NAMED} more" if len(slips) > _NAMED else "")
        raise ConfigurationError(
            f"{folder}: prompts lie outside their images: {shown}: give places in pixels of each image"
        )


def plan_cutouts_of_outputs(
    plan: Plan, settings: SegmentSettings, *, into: str = CUTOUTS, only: AbstractSet[str] | None = None
) -> JobList:
    """Plan one segment job for every image that the jobs of a plan make and no other of them draws over.

    Args:
        plan: The plan; its jobs need not be done.
        settings: Which segmenter, and how.
        into: Folder for the cut-outs, relative to the output folder; the images' own folders are kept below it.
        only: Ids of the jobs whose images are meant, as first revisions; None means all.
    """
    latest = latest_jobs(plan.jobs).values()
    drawing = [job for job in latest if job.kind in SERVER_KINDS]
    drawn_over = {job.input.job for job in drawing if isinstance(job.input, OutputInput)}
    spec = SegmentSpec(settings)
    listed = JobList()
    counts: dict[str, int] = {}
    for job in drawing:
        # Named as first revisions: what works on the images of a later one is planned anew with it.
        first = replace(job, id=job_id(job.kind, job.place), revision=0) if job.revision else job
        if job.id not in drawn_over and (only is None or first.id in only):
            listed.add_outputs(spec, [first], into, images_per_job=_images(plan, job, counts))
    return listed


def _images(plan: Plan, job: Job, counts: dict[str, int]) -> int:
    """Return how many images a job makes; what the jobs of one spec share is worked out once."""
    if not _COUNTING & job.changes.keys():
        if job.spec not in counts:
            counts[job.spec] = GenerateSpec.from_json(job.kind, plan.specs[job.spec]).images_per_job
        return counts[job.spec]
    request = GenerateSpec.from_json(job.kind, plan.specs[job.spec]).request
    return request.replace(**job.changes).image_count
