"""The web UI's txt2img and img2img, second half: painting what was settled, and telling about it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from PIL import Image, ImageFilter, ImageOps

from sdclient.simulator.facts import JsonObject
from sdclient.simulator.infotext import format_parameters
from sdclient.simulator.painter import paint, repaint
from sdclient.simulator.pictures import contact_sheet, fit
from sdclient.simulator.settle import Settled, integer, number, text
from sdclient.simulator.studio import Studio
from sdclient.simulator.workshop import Job, Workshop

__all__ = ["VERSION", "Result", "generate"]

VERSION = "sdclient-simulator"
_MAIN_LABELS = frozenset({"Steps", "Sampler", "CFG scale", "Seed", "Size", "Model", "Model hash", "Version"})
_COPIED = (
    *("prompt", "negative_prompt", "width", "height", "cfg_scale", "steps", "batch_size", "subseed_strength"),
    *("denoising_strength", "seed_resize_from_w", "seed_resize_from_h"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What one request made.

    Attributes:
        images: Grid first if there is one, then the images, each with its mask behind it where that is wanted, then
            detected maps.
        texts: Generation texts for the leading part of `images`; masks have None, and maps are not counted.
        info: The document that the reply carries as a string.
    """

    images: list[Image.Image]
    texts: list[str | None]
    info: JsonObject


@dataclass(frozen=True, slots=True)
class _Series:
    """The images of one request, by number."""

    settled: Settled
    studio: Studio
    seeds: tuple[int, ...]
    subseeds: tuple[int, ...]
    inits: tuple[Image.Image, ...]
    mask: Image.Image | None
    started: str = field(default_factory=lambda: time.strftime("%Y%m%d%H%M%S"))

    def draw(self, index: int, done: float) -> Image.Image:
        """Paint the image of this number, of which the part `done` of the steps is made."""
        return self.studio.draw(self.settled.size_px, lambda: self._paint(index, done))

    def _paint(self, index: int, done: float) -> Image.Image:
        effects = self.settled.effects
        brief = replace(self.settled.brief(self.seeds[index]), done=done)
        if not self.inits:
            return paint(brief, hint=effects.hint, hold=effects.hold)
        init = self.inits[index % len(self.inits)]
        image = repaint(brief, init, number(self.settled.values["denoising_strength"]), hold=effects.hold)
        return image if self.mask is None else Image.composite(image, init, self.mask)

    def text(self, index: int) -> str:
        values = self.settled.values
        fields: dict[str, object] = {**_labels(self.settled), "Seed": self.seeds[index], "Version": VERSION}
        return format_parameters(text(values["prompt"]), text(values["negative_prompt"]), fields)


def generate(settled: Settled, studio: Studio, workshop: Workshop, job: Job, seed: int) -> Result:
    """Paint all images of a request, one pass of `batch_size` after the other.

    Args:
        settled: The request.
        studio: Paints.
        workshop: Whose delay every image costs.
        job: Shows progress, and may be interrupted.
        seed: What to use where the request says -1.
    """
    values = settled.values
    size, passes = integer(values["batch_size"]), integer(values["n_iter"])
    rounds = 2 if settled.hires else 1
    job.job_count = passes * rounds
    series = _series(settled, studio, seed)
    images: list[Image.Image] = []
    for index in range(passes):
        done = 1.0
        for part in range(rounds):
            job.job_no = index * rounds + part
            done = min(done, workshop.expose(job, integer(values["steps"]), size / rounds))
        images += [series.draw(number_, done) for number_ in range(index * size, (index + 1) * size)]
        if not studio.prerendered:
            job.show(images[-1])
        if job.interrupted:
            break
    return _result(series, images)


def _series(settled: Settled, studio: Studio, seed: int) -> _Series:
    values = settled.values
    count = integer(values["batch_size"]) * integer(values["n_iter"])
    first, variation = integer(values["seed"]), integer(values["subseed"])
    first = seed if first < 0 else first
    variation = seed ^ 1 if variation < 0 else variation
    # With a variation strength only the variation seed counts up.
    step = 0 if number(values["subseed_strength"]) else 1
    seeds = tuple(first + index * step for index in range(count))
    subseeds = tuple(variation + index for index in range(count))
    if studio.prerendered:
        return _Series(settled, studio, seeds, subseeds, (), None)
    inits = tuple(fit(init, settled.size_px, integer(values["resize_mode"])) for init in settled.inits)
    return _Series(settled, studio, seeds, subseeds, inits, _mask(settled, studio))


def _mask(settled: Settled, studio: Studio) -> Image.Image | None:
    """Where img2img repaints, as white."""
    values = settled.values
    if not settled.inits or values["mask"] is None:
        return None
    mask = fit(studio.read(text(values["mask"])), settled.size_px, integer(values["resize_mode"])).convert("L")
    if integer(values["inpainting_mask_invert"]):
        mask = ImageOps.invert(mask)
    blur = values["mask_blur"] if values["mask_blur"] is not None else values["mask_blur_x"]
    return mask.filter(ImageFilter.GaussianBlur(number(blur)))


def _result(series: _Series, images: list[Image.Image]) -> Result:
    settled = series.settled
    if settled.selected is not None:
        images = images[:1] * settled.selected.images
    texts: list[str | None] = [series.text(index % len(series.seeds)) for index in range(len(images))]
    if settled.selected is None:
        images, texts = _with_masks(series, images, texts)
    first = 0
    wanted = settled.values["save_images"] is True and settled.options["return_grid"] is True
    if wanted and (len(images) > 1 or settled.options["grid_only_if_multiple"] is not True):
        images, texts, first = [contact_sheet(images), *images], [texts[0], *texts], 1
    blank = Image.new("RGB", settled.size_px)
    maps = [_detected_map(series.studio, found or blank, settled.size_px) for found in settled.effects.maps]
    return Result([*images, *maps], texts, _info(series, texts, first))


def _with_masks(
    series: _Series, images: list[Image.Image], texts: list[str | None]
) -> tuple[list[Image.Image], list[str | None]]:
    """Put the mask, and what was painted of the image, right behind each image where options want them back."""
    options, mask = series.settled.options, series.mask
    kinds = [name for name in ("return_mask", "return_mask_composite") if options.get(name) is True]
    if mask is None or not kinds:
        return images, texts
    found: list[Image.Image] = []
    for image in images:
        painted = image.convert("RGBA")
        painted.putalpha(mask)
        behind = {"return_mask": mask.convert("RGB"), "return_mask_composite": painted}
        found += [image, *(behind[kind] for kind in kinds)]
    return found, [part for text_ in texts for part in (text_, *([None] * len(kinds)))]


def _detected_map(studio: Studio, found: Image.Image, size: tuple[int, int]) -> Image.Image:
    return studio.draw(size, lambda: fit(found, size, 1))


def _labels(settled: Settled) -> JsonObject:
    """Give the fields of the generation text in their usual order; null ones are left out when written."""
    values, hires = settled.values, settled.hires
    strength = number(values["subseed_strength"])
    labels: JsonObject = {
        "Steps": values["steps"],
        "Sampler": settled.sampler,
        "Schedule type": settled.schedule,
        "CFG scale": values["cfg_scale"],
        "Seed": None,
        "Face restoration": settled.options["face_restoration_model"] if values["restore_faces"] is True else None,
        "Size": f"{integer(values['width'])}x{integer(values['height'])}",
        "Model hash": settled.checkpoint.hash if settled.checkpoint else None,
        "Model": settled.checkpoint.stem if settled.checkpoint else None,
        "VAE": _vae(settled),
        "Variation seed strength": strength or None,
        "Denoising strength": values["denoising_strength"] if hires or settled.inits else None,
        "Clip skip": _unless(settled.clip_skip, 1),
        "Refiner": f"{settled.refiner.stem} [{settled.refiner.hash}]" if settled.refiner else None,
        "Refiner switch at": values["refiner_switch_at"] if settled.refiner else None,
    }
    if hires:
        labels["Hires upscaler"] = values["hr_upscaler"] or "Latent"
        labels["Hires steps"] = _unless(values["hr_second_pass_steps"], 0)
        labels[hires.label[0]] = hires.label[1]
    labels.update(settled.effects.labels or {})
    labels.update(settled.selected.labels if settled.selected else {})
    return {key: value for key, value in labels.items() if value is not None or key == "Seed"}


def _unless(value: object, usual: object) -> str | None:
    return None if value == usual else str(value)


def _vae(settled: Settled) -> str | None:
    name = settled.options["sd_vae"]
    return None if name in {"Automatic", "None"} else text(name)


def _info(series: _Series, texts: Sequence[str | None], first: int) -> JsonObject:
    """Write `info`: main values of the first image, and lists with one entry per image."""
    settled, values, count = series.settled, series.settled.values, len(series.seeds)
    labels = _labels(settled)
    restores = values["restore_faces"] is True
    document: JsonObject = {key: values[key] for key in _COPIED}
    document |= {
        "all_prompts": [values["prompt"]] * count,
        "all_negative_prompts": [values["negative_prompt"]] * count,
        "seed": series.seeds[0],
        "all_seeds": list(series.seeds),
        "subseed": series.subseeds[0],
        "all_subseeds": list(series.subseeds),
        "sampler_name": settled.sampler,
        "restore_faces": restores,
        "face_restoration_model": settled.options["face_restoration_model"] if restores else None,
        "sd_model_name": settled.checkpoint.stem if settled.checkpoint else None,
        "sd_model_hash": settled.checkpoint.hash if settled.checkpoint else None,
        "sd_vae_name": _vae(settled),
        "sd_vae_hash": None,
        "extra_generation_params": {key: value for key, value in labels.items() if key not in _MAIN_LABELS},
        "index_of_first_image": first,
        "infotexts": [told for told in texts if told is not None],
        "styles": values["styles"] or [],
        "job_timestamp": series.started,
        "clip_skip": settled.clip_skip,
        "is_using_inpainting_conditioning": False,
        "version": VERSION,
    }
    return document
