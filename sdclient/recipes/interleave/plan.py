"""Plans the jobs of interleave: one chain of images for each style, or for each prompt where styles are layered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sdclient.batch.plan import Job, OutputInput
from sdclient.files import safe_name
from sdclient.planning import JobList
from sdclient.recipes.interleave.config import GenerationConfig, InterleaveConfig, StyleConfig
from sdclient.recipes.interleave.prompts import Chapter
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.steps.generate import GenerateSpec

PAYLOAD = "interleave"


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of a chapter and style.

    Attributes:
        chapter: From 0.
        entry: The prompt's place in the chapter, from 0.
        tag: The style it was drawn in, as file names have it.
        name: Its file's name, without number and extension.
        job: Id of the job that makes the image.
        is_copy: The style has weight 0: the image is the one before it, and no job draws it anew.
    """

    chapter: int
    entry: int
    tag: str
    name: str
    job: str
    is_copy: bool = False


@dataclass(slots=True)
class InterleavePlan:
    """Jobs, and how their images belong together.

    Attributes:
        folder: Where everything goes, relative to the output folder.
        images: Where the individual images go, relative to the output folder.
        jobs: The jobs.
        frames: Every image, in order of chapter and entry.
    """

    folder: str
    images: str
    jobs: JobList = field(default_factory=JobList)
    frames: list[Frame] = field(default_factory=list[Frame])


def request_of(payload: Txt2Img, generation: GenerationConfig) -> Txt2Img:
    """Return a payload with what the configuration says about drawing."""
    wanted = {
        "cfg_scale": generation.guidance_scale,
        "steps": generation.num_inference_steps,
        "eta": generation.eta,
    }
    return payload.replace(**{name: value for name, value in wanted.items() if value is not None})


def img2img_of(request: Txt2Img) -> Img2Img:
    """Return the same request for drawing over an image; a hires fix has no place there."""
    known = Img2Img.model_fields
    overlays = {
        dialect: {name: value for name, value in overlay.items() if name in known}
        for dialect, overlay in request.overlays.items()
    }
    values = {name: value for name, value in request.to_mapping().items() if name in known}
    return Img2Img.from_mapping({**values, "overlays": overlays})


def plan_interleave(config: InterleaveConfig, chapters: Sequence[Chapter], request: Txt2Img) -> InterleavePlan:
    """Plan every image.

    Args:
        config: Styles and how they are mixed.
        chapters: The prompts.
        request: How an image is drawn; see `request_of`.
    """
    generation = config.generation_config
    tags = " ".join(one.name for one in config.style_configs)
    folder = f"{safe_name(config.prompt_config.key)}/{generation.mode}/{safe_name(tags)}"
    plan = InterleavePlan(folder, folder if generation.save_individual else f"{folder}/steps")
    drawer = _Drawer(plan, GenerateSpec(request), GenerateSpec(img2img_of(request)))
    last: list[str | None] = [None] * len(config.style_configs)
    styles = list(config.style_configs)
    for chapter in chapters:
        if generation.reset_between_chapters:
            last = [None] * len(styles)
            styles = list(config.style_configs)
        for place, styled in _prompts(chapter):
            last = drawer.draw(place, styled, styles, last, layered=generation.layered)
            last, styles = _handed_on(generation, last, styles)
    return plan


def _prompts(chapter: Chapter) -> Iterator[tuple[tuple[int, int], str]]:
    return (((chapter.number, entry), prompt) for entry, prompt in enumerate(chapter.prompts))


def _handed_on(
    generation: GenerationConfig, last: list[str | None], styles: list[StyleConfig]
) -> tuple[list[str | None], list[StyleConfig]]:
    """Return last images and styles as the next prompt finds them."""
    if generation.mode != "progresive":
        return [None] * len(last), styles
    if generation.interleave:
        last = [*last[1:], last[0]]
    if generation.cycle_styles:
        # The whole style moves, tag and weight with it: a file's name says what it was drawn in.
        styles = [*styles[1:], styles[0]]
    return last, styles


@dataclass(frozen=True, slots=True)
class _Drawer:
    """Adds the jobs of one prompt at a time."""

    plan: InterleavePlan
    first: GenerateSpec
    over: GenerateSpec

    def draw(
        self,
        place: tuple[int, int],
        prompt: str,
        styles: Sequence[StyleConfig],
        last: Sequence[str | None],
        *,
        layered: bool,
    ) -> list[str | None]:
        """Draw a prompt in every style; returns the ids of the jobs whose images came out."""
        made: list[str | None] = []
        for style, before in zip(styles, last, strict=True):
            below = (made[-1] if made else None) if layered else before
            made.append(self._one(place, prompt, style, below))
        return made

    def _one(self, place: tuple[int, int], prompt: str, style: StyleConfig, below: str | None) -> str:
        chapter, entry = place
        name = safe_name(f"{style.name} {chapter}-{entry}")
        if below is not None and style.weight == 0:
            self.plan.frames.append(Frame(chapter, entry, style.name, name, below, is_copy=True))
            return below
        job = self._job(place, f"{prompt} {style.style}".rstrip(), style, name, below)
        self.plan.frames.append(Frame(chapter, entry, style.name, name, job.id))
        return job.id

    def _job(self, place: tuple[int, int], prompt: str, style: StyleConfig, name: str, below: str | None) -> Job:
        columns = {
            "chapter": str(place[0]),
            "entry": str(place[1]),
            "style": style.file_tag,
            "weight": f"{style.weight:g}",
        }
        target = f"{self.plan.images}/{name}"
        if below is None:
            return self.plan.jobs.add(self.first, target, changes={"prompt": prompt}, columns=columns)
        return self.plan.jobs.add(
            self.over,
            target,
            input=OutputInput(below),
            changes={"prompt": prompt, "denoising_strength": style.weight},
            columns=columns,
        )
