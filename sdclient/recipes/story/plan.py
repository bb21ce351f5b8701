"""Plans the images of stories: one job an idea, its place bound to its prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from sdclient.batch.plan import job_seed
from sdclient.files import safe_name
from sdclient.planning import JobList
from sdclient.recipes.story.manifest import Idea, Manifest
from sdclient.schemas import Txt2Img
from sdclient.steps.generate import GenerateSpec

PAYLOAD = "story"


@dataclass(frozen=True, slots=True)
class Slot:
    """One idea with its place in the run.

    Attributes:
        section: Name of its section.
        number: Its place in the section, from 1.
        idea: The idea.
        place: Place of its job.
    """

    section: str
    number: int
    idea: Idea
    place: str

    @property
    def key(self) -> tuple[str, str]:
        """Kind and place of the job that draws it."""
        return "txt2img", self.place


def slots(name: str, manifest: Manifest) -> Iterator[Slot]:
    """Yield a story's ideas in order.

    Args:
        name: Name of the story's folder.
        manifest: The story's ideas.
    """
    for section in manifest.sections:
        for number, idea in enumerate(section.ideas, start=1):
            # Another prompt is another image: what was drawn for an older list never passes for this one.
            digest = hashlib.sha256(idea.prompt.encode()).hexdigest()[:8]
            place = f"{name}/images/{safe_name(section.section)}-{number:02d}-{digest}"
            yield Slot(section.section, number, idea, place)


def plan_story(
    name: str, manifest: Manifest, request: Txt2Img, run_seed: int, *, into: JobList | None = None
) -> JobList:
    """Plan one image for every idea; ideas that are planned already keep their images.

    Args:
        name: Name of the story's folder.
        manifest: The story's ideas.
        request: How an image is drawn.
        run_seed: The run's seed. Each image's follows from it, its section and number, so that a better prompt
            is tried with the same seed.
        into: A list of other stories' jobs that these are added to.
    """
    listed = JobList() if into is None else into
    spec = GenerateSpec(request)
    for slot in slots(name, manifest):
        key = f"{name}/{slot.section}-{slot.number:02d}"
        changes = {"prompt": slot.idea.prompt}
        seed = {} if request.seed is not None else {"seed": job_seed(run_seed, "txt2img", key)}
        columns = {"story": name, "section": slot.section, "number": str(slot.number), "idea": slot.idea.idea}
        listed.add(spec, slot.place, changes={**changes, **seed}, columns=columns)
    return listed
