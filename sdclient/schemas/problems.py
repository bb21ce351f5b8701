"""Words for validation problems: ``where: field: message``, with a close name where a key is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, get_args, get_origin

from sdclient.errors import PayloadError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

ELSEWHERE = {
    "CLIP_stop_at_last_layers": "clip_skip",
    "ADetailer": "adetailer",
    "alwayson_scripts": 'native={"a1111": {"alwayson_scripts": …}}',
    "batch_count": "n_iter",
    "checkpoint": "model",
    "controlnet": "controls",
    "controlnet_units": "controls",
    "controlnet_conditioning_scale": "controls=[ControlNet(weight=…)]",
    "enable_hr": "hires=HiresFix(first_width=…, first_height=…, strength=…)",
    "firstphase_height": "hires=HiresFix(first_height=…)",
    "firstphase_width": "hires=HiresFix(first_width=…)",
    "generator": "seed",
    "guidance_scale": "cfg_scale",
    "guidance": "cfg_scale",
    "hires_fix": "hires=HiresFix(first_width=…, first_height=…, strength=…)",
    "hires_fix_height": "hires=HiresFix(first_height=…)",
    "hires_fix_strength": "hires=HiresFix(strength=…)",
    "hires_fix_width": "hires=HiresFix(first_width=…)",
    "hr_scale": "hires=HiresFix(first_width=…, first_height=…, strength=…)",
    "hr_upscaler": "hires=HiresFix(upscaler=…)",
    "hr_second_pass_steps": "hires=HiresFix(steps=…)",
    "image": "init_image",
    "images": "init_image",
    "init_images": "init_image",
    "mask_image": "mask",
    "num_images_per_prompt": "batch_size",
    "num_inference_steps": "steps",
    "override_settings": 'model, vae or clip_skip, or native={"a1111": {"override_settings": …}}',
    "refiner_checkpoint": "refiner=Refiner(model=…, switch_at=…)",
    "refiner_model": "refiner=Refiner(model=…, switch_at=…)",
    "refiner_start": "refiner=Refiner(switch_at=…)",
    "refiner_switch_at": "refiner=Refiner(switch_at=…)",
    "sampler": "sampler_name",
    "sampler_index": "sampler_name",
    "sd_model_checkpoint": "model",
    "script_name": 'native={"a1111": {"script_name": …}}',
    "script_args": 'native={"a1111": {"script_args": …}}',
    "seeds": "seed",
    "strength": "denoising_strength",
    "tiled_decoding": "tiled=Tiled(vae=Tiles(…))",
    "tiled_diffusion": "tiled=Tiled(diffusion=Tiles(…))",
    "upscaler": "enlarge=Enlarge(model=…, scale=…)",
    "upscaler_scale": "enlarge=Enlarge(scale=…)",
}
"""Names that diffusers, webuiapi, A1111 and Draw Things use for what has another name here."""


IN_PARTS = {
    "checkpoint": "model",
    "conditioning_scale": "weight",
    "controlImportance": "control_mode",
    "downSamplingRate": "threshold_a",
    "factor": "scale",
    "file": "model",
    "guidance": "guidance_end",
    "guidanceEnd": "guidance_end",
    "guidanceStart": "guidance_start",
    "input_image": "image",
    "multiplier": "weight",
    "name": "model",
    "path": "model",
    "preprocessor": "module",
    "refiner_start": "switch_at",
    "start": "switch_at",
    "strength": "weight",
    "switch": "switch_at",
    "upscaler": "model",
    "upscaler_scale": "scale",
    "upscaling_resize": "scale",
}
"""The same for the parts; a name is only offered where the part has such a field."""

SHOWN_MAX = 60
"""Characters of a value that an error message shows."""


def payload_error(exc: ValidationError, model: type[BaseModel], where: str) -> PayloadError:
    """Translate pydantic's errors, one line a problem, never with a value longer than 60 characters."""
    return PayloadError("\n".join(problem_lines(exc.errors(), model, f"{where}: ")))


def problem_lines(details: Iterable[ErrorDetails], model: type[BaseModel], prefix: str) -> list[str]:
    """Return one line for each of pydantic's problems with ``model``, each with ``prefix`` before it."""
    return [prefix + _line(detail, model) for detail in details]


def suggest(name: str, known: list[str]) -> str:
    """Return "; did you mean X?", or nothing when no name is close."""
    if name in ELSEWHERE:
        target = ELSEWHERE[name]
        # A part that this model does not have would be a wrong hint.
        if target.split("=")[0].split(",")[0] in known or target.startswith("model, "):
            return f"; here it is called {target}"
    if IN_PARTS.get(name) in known:
        return f"; here it is called {IN_PARTS[name]}"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _line(detail: ErrorDetails, model: type[BaseModel]) -> str:
    path = _path(detail["loc"])
    if detail["type"] == "extra_forbidden":
        name = str(detail["loc"][-1])
        return f"{path}: unknown field{suggest(name, _known(model, detail['loc'][:-1]))}"
    if detail["type"] == "missing":
        return f"{path}: missing"
    message = detail["msg"].removeprefix("Value error, ")
    if not path:
        return message
    return f"{path}: {message}, not {_shown(detail['input'])}" if _worth_showing(detail) else f"{path}: {message}"


def _path(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _known(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Return the field names of the model that ``loc`` leads to."""
    current = model
    for part in loc:
        if isinstance(part, int) or part not in current.model_fields:
            continue
        current = _model_in(current.model_fields[part].annotation) or current
    return sorted(current.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the model inside ``X | None``, ``tuple[X, ...]`` or ``dict[str, X]``."""
    from pydantic import BaseModel

    # On Python 3.10 `tuple[X, ...]` claims to be a type, too, and is none that issubclass takes.
    if get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _model_in(argument))), None)


def _worth_showing(detail: ErrorDetails) -> bool:
    return isinstance(detail["input"], str | int | float | bool) and detail["type"] != "value_error"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"
