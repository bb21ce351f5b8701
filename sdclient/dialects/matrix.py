"""The loss matrix: for every neutral field and every dialect, what becomes of it, found out by compiling."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from sdclient.dialects import DIALECTS
from sdclient.dialects.base import Compiled, Dialect, Loss
from sdclient.dialects.draft import MASK_FIELDS
from sdclient.dialects.keysets import newest_key_set
from sdclient.dialects.samplers import drawthings_sampler
from sdclient.dialects.unverified import unverified_facts
from sdclient.schemas.base import CheckedImage
from sdclient.schemas.generation import Img2Img, Txt2Img

__all__ = ["NOT_ROWS", "Cell", "Sample", "cell", "matrix_markdown", "matrix_rows", "overview_rows", "samples"]

Json = Mapping[str, JsonValue]
# One grey pixel would do for reading, but Draw Things wants the request's size: 512x512, one colour, as PNG.
_IMAGE_SIDE_PX = 512


@dataclass(frozen=True, slots=True)
class Sample:
    """One row: a field, or a field of a part.

    Attributes:
        field: Its name, dotted inside parts.
        base: The fields that it is compiled beside.
        value: The fields with it set.
        kind: Which request it belongs to.
    """

    field: str
    base: Mapping[str, object]
    value: Mapping[str, object]
    kind: type[Txt2Img | Img2Img] = Txt2Img


@dataclass(frozen=True, slots=True)
class Cell:
    """What becomes of one field in one dialect.

    Attributes:
        how: ``sent``, ``approximated``, ``dropped``, ``inherited``, ``refused`` or ``nothing to send``.
        keys: The wire keys it becomes.
        losses: What gets lost.
    """

    how: str
    keys: tuple[str, ...]
    losses: tuple[Loss, ...]

    def __str__(self) -> str:
        sent = ", ".join(f"`{key}`" for key in self.keys)
        if not self.losses:
            return f"→ {sent}" if sent else self.how
        words = "; ".join(dict.fromkeys(loss.message for loss in self.losses))
        return f"**{self.how}**{f' → {sent}' if sent and self.how != 'refused' else ''}: {words}"


_TILES = {"width": 768, "height": 512, "overlap": 64}
_SIZE = {"width": 1024, "height": 1024}
_HIRES = {"first_width": 512, "first_height": 512}
_UNIT = {"model": "tile"}
_PARTS: Mapping[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
    # part -> (what it needs, its other fields)
    "refiner": ({"model": "refiner"}, {"switch_at": 0.7}),
    "enlarge": ({"model": "upscaler"}, {"scale": 4}),
    "hires": (_HIRES, {"strength": 0.5, "upscaler": "Latent", "steps": 12}),
    "tiled": ({}, {"diffusion": _TILES, "vae": {"width": 512, "height": 512}}),
    "ultimate_upscale": (
        {"upscaler": "Lanczos", "scale": 2},
        {"tile_width": 768, "padding": 64, "redraw": "Chess", "seams": "Band pass", "mask_blur": 16},
    ),
    "sd_upscale": ({"upscaler": "Lanczos"}, {"scale": 3, "overlap": 32}),
}
_LISTS: Mapping[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
    "loras": ({"model": "detail"}, {"weight": 0.5, "mode": "base"}),
    "controls": (
        _UNIT,
        {
            "module": "tile_resample",
            "weight": 0.5,
            "guidance_start": 0.1,
            "guidance_end": 0.9,
            "control_mode": "My prompt is more important",
            "resize_mode": "Just Resize",
            "processor_res": 512,
            "threshold_b": 2.0,
            "pixel_perfect": True,
            "hr_option": "Low res only",
            "union_control_type": "Tile",
        },
    ),
    "adetailer": ({"model": "face_yolov8n.pt"}, {"prompt": "a face", "steps": 12, "confidence": 0.5}),
}
_PLAIN: Mapping[str, object] = {
    "prompt": "a fox",
    "negative_prompt": "blurry",
    "model": "model",
    "vae": "vae",
    "inherit": True,
    "seed": 7,
    "subseed": 8,
    "subseed_strength": 0.5,
    "steps": 30,
    "cfg_scale": 5.0,
    "distilled_cfg_scale": 3.0,
    "sampler_name": "Euler a",
    "scheduler": "Karras",
    "shift": 3.0,
    "width": 768,
    "height": 768,
    "batch_size": 2,
    "n_iter": 2,
    "clip_skip": 2,
    "styles": ["cinematic"],
    "restore_faces": True,
    "tiling": True,
    "eta": 0.5,
}
_IMG2IMG: Mapping[str, object] = {
    "denoising_strength": 0.3,
    "resize_mode": 1,
    "image_cfg_scale": 2.0,
    "mask_blur": 8,
    "inpainting_fill": 1,
    "inpaint_full_res": True,
    "inpaint_full_res_padding": 16,
    "inpainting_mask_invert": True,
}
# Fields that say nothing of the image, or that every row has.
NOT_ROWS = frozenset({"native", "overlays", "init_image"})
"""Fields without a row: native keys are their server's own, and every img2img has an init image."""
# The model is always named but in its own row, so that no row repeats that it is inherited.
_MODEL = {"model": "model", "prompt": "x", "seed": 1}


@functools.cache
def _image() -> CheckedImage:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (_IMAGE_SIDE_PX, _IMAGE_SIDE_PX), "white").save(file, "PNG")
    return CheckedImage(file.getvalue())


def samples() -> Iterator[Sample]:
    """Give one sample for every field of a request, and for the fields of its parts that differ by server."""
    base = dict(_MODEL)
    for field, value in _PLAIN.items():
        without = {name: base[name] for name in base if name != field}
        yield Sample(field, without, {**without, field: value})
    yield Sample("prompt[LoRA tag]", base, {**base, "prompt": f"{base['prompt']} <lora:detail:0.7>"})
    for field, (needed, more) in _PARTS.items():
        yield from _part_samples(field, needed, more)
    for field, (needed, more) in _LISTS.items():
        yield from _list_samples(field, needed, more)
    image = {**base, "init_image": _image()}
    for field, value in _IMG2IMG.items():
        before = {**image, "mask": _image()} if field in MASK_FIELDS else image
        yield Sample(field, before, {**before, field: value}, Img2Img)
    yield Sample("mask", image, {**image, "mask": _image()}, Img2Img)


def _kind_of(field: str) -> tuple[type[Txt2Img | Img2Img], dict[str, object]]:
    if field in ("controls", "ultimate_upscale", "sd_upscale"):
        return Img2Img, {**_MODEL, "init_image": _image()}
    return Txt2Img, {**_MODEL, **_SIZE}


def _part_samples(field: str, needed: Mapping[str, object], more: Mapping[str, object]) -> Iterator[Sample]:
    kind, base = _kind_of(field)
    if needed:
        yield Sample(field, base, {**base, field: needed}, kind)
    for name, value in more.items():
        before = {**base, field: needed} if needed else base
        yield Sample(f"{field}.{name}", before, {**base, field: {**needed, name: value}}, kind)


def _list_samples(field: str, needed: Mapping[str, object], more: Mapping[str, object]) -> Iterator[Sample]:
    kind, base = _kind_of(field)
    yield Sample(field, base, {**base, field: [needed]}, kind)
    for name, value in more.items():
        yield Sample(f"{field}[].{name}", {**base, field: [needed]}, {**base, field: [{**needed, name: value}]}, kind)
    if field == "controls":
        with_image = {**needed, "image": _image()}
        yield Sample("controls[].image", {**base, field: [needed]}, {**base, field: [with_image]}, kind)
        yield Sample(
            "controls[].mask",
            {**base, field: [with_image]},
            {**base, field: [{**with_image, "mask": _image()}]},
            kind,
        )
        tile = {**needed, "module": "tile_resample"}
        yield Sample(
            "controls[].threshold_a", {**base, field: [tile]}, {**base, field: [{**tile, "threshold_a": 2.0}]}, kind
        )


def cell(sample: Sample, dialect: Dialect) -> Cell:
    """Compile a sample with and without its field, and tell what differs."""
    before, after = (_compiled(sample.kind, fields, dialect) for fields in (sample.base, sample.value))
    known = {(loss.field, loss.message) for loss in before.losses}
    losses = tuple(loss for loss in after.losses if (loss.field, loss.message) not in known)
    keys = _changed_keys(before, after)
    if not losses and not keys:
        # What is lost as a whole takes its fields along.
        whole = sample.field.partition(".")[0].partition("[")[0]
        losses = tuple(loss for loss in before.losses if loss.field.partition("[")[0].partition(".")[0] == whole)
    order = ("refused", "inherited", "dropped", "replaced", "approximated")
    how = next(
        (kind for kind in order if any(loss.kind == kind for loss in losses)), "sent" if keys else "nothing to send"
    )
    return Cell(how, keys, losses)


def _compiled(kind: type[Txt2Img | Img2Img], fields: Mapping[str, object], dialect: Dialect) -> Compiled:
    return dialect.compile(kind.from_mapping(fields), newest_key_set(dialect.name).facts())


def _changed_keys(before: Compiled, after: Compiled) -> tuple[str, ...]:
    keys = list(_differing(before.call.body, after.call.body))
    for follow_up in after.then:
        nothing: Json = {}
        old = next((one.body for one in before.then if one.name == follow_up.name), nothing)
        keys += [f"{follow_up.route.path.rsplit('/', 1)[-1]}: {key}" for key in _differing(old, follow_up.body)]
    return tuple(keys)


def _differing(before: Json, after: Json, prefix: str = "") -> Iterator[str]:
    for key, value in after.items():
        old = before.get(key)
        if value == old and type(value) is type(old):
            continue
        if key in ("override_settings", "alwayson_scripts") and isinstance(value, dict):
            nothing: Json = {}
            yield from _differing(old if isinstance(old, dict) else nothing, value, f"{key}.")
        else:
            yield f"{prefix}{key}"


def matrix_rows() -> list[tuple[str, dict[str, Cell]]]:
    """Return every field with its cell in each dialect."""
    return [(sample.field, {name: cell(sample, one) for name, one in DIALECTS.items()}) for sample in samples()]


_SAMPLERS = ("Euler", "Euler a", "DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE", "UniPC", "DDIM", "LCM", "TCD", "Heun", "PLMS")
_SCHEDULES = (None, "Karras", "SGM Uniform", "Align Your Steps", "Exponential", "Simple", "Beta")


def _sampler_rows() -> Iterator[tuple[str, dict[str, Cell]]]:
    for sampler in _SAMPLERS:
        for schedule in _SCHEDULES:
            if schedule is not None and drawthings_sampler(sampler, None).label is None:
                continue
            value = {**_MODEL, "sampler_name": sampler, **({"scheduler": schedule} if schedule else {})}
            sample = Sample("sampler_name", _MODEL, value)
            name = f"{sampler} + {schedule}" if schedule else sampler
            yield name, {dialect: _sampler_cell(sample, one) for dialect, one in DIALECTS.items()}


def _sampler_cell(sample: Sample, dialect: Dialect) -> Cell:
    compiled = _compiled(sample.kind, sample.value, dialect)
    found = cell(sample, dialect)
    names = ("sampler", "sampler_name", "scheduler", "schedulers_sigma")
    sent = [str(compiled.call.body[name]) for name in names if name in compiled.call.body]
    losses = tuple(loss for loss in found.losses if loss.field in ("sampler_name", "scheduler"))
    return Cell(found.how if losses else "sent", (" + ".join(sent),) if sent else (), losses)


def matrix_markdown() -> str:
    """Return the whole as a page: a table of fields, what was lost in words, and a table of samplers."""
    names = list(DIALECTS)
    lines = [
        "# What becomes of a request on each server",
        "",
        "Made by `sdclient payload losses` out of the code that compiles requests, each field alone, for servers of",
        f"these versions: {', '.join(newest_key_set(name).name for name in names)}.",
        "",
        "`→ key` is sent under that key. **approximated**: near, not the same. **inherited**: the server's own setting",
        "is used. **dropped**: left out, and the image is drawn without it. **refused**: nothing is sent.",
        "With `--strict` every loss refuses.",
        "",
        "## At a glance",
        "",
        *_table(["field", *(DIALECTS[name].title for name in names)], overview_rows()),
        "",
        "## Fields",
        "",
    ]
    for field, cells in matrix_rows():
        lines += [f"### `{field}`", ""]
        lines += [f"- {DIALECTS[name].title}: {one}" for name, one in cells.items()]
        lines.append("")
    rows = [(asked, *(_short(cells[name]) for name in names)) for asked, cells in _sampler_rows()]
    lines += ["## Samplers and schedules", "", *_table(["asked", *(DIALECTS[name].title for name in names)], rows)]
    lines += [
        "",
        "## What no source confirms",
        "",
        "Read from the servers' code or told by users, and never run; each is handled so that either reading is right.",
        "",
        *_table(["fact", "what is done"], [(fact.what, fact.treated) for fact in unverified_facts()]),
    ]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _short(one: Cell) -> str:
    sent = ", ".join(one.keys)
    return sent if one.how == "sent" else f"{one.how}{f': {sent}' if sent and one.how != 'refused' else ''}"


def overview_rows() -> list[tuple[str, ...]]:
    """Return the matrix in one word a cell, the field first."""
    return [(field, *(cells[name].how for name in DIALECTS)) for field, cells in matrix_rows()]
