"""The passes over a slice as jobs, each over the result of the one before."""

from __future__ import annotations

from pydantic import JsonValue

from sdclient.batch.plan import FileInput, Job, OutputInput
from sdclient.errors import ConfigurationError
from sdclient.planning import JobList
from sdclient.recipes.canvas.records import PASSES_FOLDER, original_name, slice_name
from sdclient.recipes.canvas.slices import Slice, SliceRules
from sdclient.schemas import Img2Img
from sdclient.steps.generate import GenerateSpec

PAYLOAD = "canvas"


def spec_of(request: Img2Img) -> GenerateSpec:
    """Return the spec of all passes: without strength and seed, which each pass has of its own.

    Raises:
        ConfigurationError: If the payload makes more than one image.
    """
    if request.image_count != 1:
        raise ConfigurationError("canvas: one image follows another; set batch_size and n_iter of the payload to 1")
    fields = request.model_dump(mode="json", exclude_unset=True, exclude={"denoising_strength", "seed"})
    return GenerateSpec(Img2Img.from_mapping(fields))


def plan_slice(listed: JobList, rules: SliceRules, number: int, chosen: Slice) -> list[Job]:
    """Plan the passes over a slice, each over the result of the one before; a strength of 0 needs none."""
    source: FileInput | OutputInput = FileInput(".", original_name(number))
    planned: list[Job] = []
    columns = {"slice": slice_name(number), "canvas": chosen.canvas, "x_px": str(chosen.x_px), "y_px": str(chosen.y_px)}
    for step, (strength, seed) in enumerate(zip(chosen.strengths, chosen.seeds, strict=True), start=1):
        if not strength:
            continue
        changes: dict[str, JsonValue] = {"denoising_strength": strength, "seed": seed}
        own = {**columns, "pass": str(step), "strength": f"{strength:g}"}
        job = listed.add(rules.spec, pass_place(number, step), input=source, changes=changes, columns=own)
        planned.append(job)
        source = OutputInput(job.id)
    return planned


def pass_place(number: int, step: int) -> str:
    """Return the place of a pass's image."""
    return f"{PASSES_FOLDER}/{slice_name(number)}_pass_{step}"
