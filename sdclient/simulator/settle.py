"""The web UI's txt2img and img2img, first half: everything about a request that is decided before the first step."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image

from sdclient.simulator.catalogue import Checkpoint, Install
from sdclient.simulator.facts import JsonObject, JsonValue, a1111_fields, array_at, load
from sdclient.simulator.painter import Brief
from sdclient.simulator.scripts import Effects, Selected, always_on, select_script
from sdclient.simulator.studio import Studio

__all__ = ["ServerFaultError", "Settled", "integer", "number", "settle", "text"]

_GRID_PX = 8
_MOST_PIXELS = 64_000_000
_LORA = re.compile(r"<lora:([^:>]+)(?::(-?[\d.]+))?[^>]*>")
# Fields that are echoed, or counted, or shape the picture in ways of their own.
_NOT_IN_DIGEST = frozenset(
    {"prompt", "negative_prompt", "seed", "width", "height", "steps", "cfg_scale", "denoising_strength", "init_images"}
    | {"mask", "n_iter", "batch_size", "send_images", "save_images", "do_not_save_samples", "do_not_save_grid"}
    | {"include_init_images", "force_task_id", "infotext", "override_settings_restore_afterwards", "latent_mask"}
    | {"firstpass_image", "comments", "sampler_index", "sampler_name", "scheduler", "alwayson_scripts", "script_args"}
    | {
        "enable_hr",
        "hr_scale",
        "hr_resize_x",
        "hr_resize_y",
        "firstphase_width",
        "firstphase_height",
        "override_settings",
    }
)
_HIRES_FIELDS = frozenset(
    {"hr_upscaler", "hr_second_pass_steps", "hr_checkpoint_name", "hr_sampler_name", "hr_scheduler", "hr_prompt"}
    | {"hr_negative_prompt"}
)
# Server options that change pixels when overridden.
_DIGEST_OPTIONS = (
    *("CLIP_stop_at_last_layers", "sd_vae", "eta_noise_seed_delta", "img2img_color_correction"),
    *("hires_fix_refiner_pass", "img2img_fix_steps", "initial_noise_multiplier", "randn_source"),
    *("forge_additional_modules", "forge_unet_storage_dtype"),
)


class ServerFaultError(Exception):
    """The real server would raise here, and answer 500.

    Args:
        kind: Class name of the exception over there.
        message: Its text.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


@dataclass(frozen=True, slots=True)
class Hires:
    """The second pass of txt2img.

    Attributes:
        strength: Its denoising strength.
        label: What the generation text says of the size: label and value.
    """

    strength: float
    label: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Settled:
    """What a request amounts to.

    Attributes:
        values: The request with defaults filled in.
        options: Server options in force, overrides included.
        size_px: Width and height of the result.
        inits: Init images as sent, empty in txt2img.
        sampler: The sampler used, which may not be the one asked for.
        schedule: Label of the schedule used, or None where the program knows none.
        checkpoint: The model used, or None where nothing is installed.
        refiner: The refiner used, or None.
        hires: The second pass, or None.
        effects: What the always-on scripts did.
        selected: What the selectable script does, or None.
    """

    values: JsonObject
    options: JsonObject
    size_px: tuple[int, int]
    inits: tuple[Image.Image, ...]
    sampler: str
    schedule: str | None
    checkpoint: Checkpoint | None
    refiner: Checkpoint | None
    hires: Hires | None
    effects: Effects
    selected: Selected | None

    def brief(self, seed: int) -> Brief:
        """Say what to paint for the image with this seed."""
        values = self.values
        prompt, loras = _split_loras(_with_styles(self, "prompt"), active=values["disable_extra_networks"] is not True)
        return Brief(
            prompt=prompt,
            negative_prompt=_with_styles(self, "negative_prompt"),
            seed=seed,
            model=self.checkpoint.stem if self.checkpoint else "",
            width_px=self.size_px[0],
            height_px=self.size_px[1],
            steps=integer(values["steps"]),
            cfg_scale=number(values["cfg_scale"]),
            refiner=self.refiner.stem if self.refiner else "",
            hires_strength=self.hires.strength if self.hires else None,
            loras=loras,
            details=self._digest(),
        )

    @property
    def clip_skip(self) -> int | float:
        """Layers left out of the text model: a key of the request on SD.Next, an option elsewhere."""
        layers = number(self.values.get("clip_skip", self.options["CLIP_stop_at_last_layers"]))
        return int(layers) if layers.is_integer() else layers

    def _digest(self) -> str:
        dropped = _NOT_IN_DIGEST if self.hires else _NOT_IN_DIGEST | _HIRES_FIELDS
        kept = {key: self.values[key] for key in sorted(self.values) if key not in dropped}
        options = {key: self.options[key] for key in _DIGEST_OPTIONS if key in self.options}
        script = self.selected.digest if self.selected else ""
        return json.dumps([self.sampler, self.schedule, kept, options, self.effects.digest, script])


def settle(install: Install, values: JsonObject, options: JsonObject, studio: Studio) -> Settled:
    """Decide everything that the real server decides before it paints.

    Args:
        install: What is installed.
        values: The request with defaults filled in; `init_images` is there only in img2img.
        options: Server options in force, overrides included.
        studio: Reads the images.

    Raises:
        ServerFaultError: Where the real server raises an exception.
        PictureError: If an image in the request cannot be decoded.
        HttpError: If this program refuses the sampler.
    """
    _refuse_nulls(values)
    inits = tuple(studio.read(text(item)) for item in _items(values.get("init_images")))
    if len(inits) > integer(values["batch_size"]):
        raise ServerFaultError(
            "RuntimeError", f"bad number of images passed: {len(inits)}; expecting {values['batch_size']}"
        )
    first = inits[0] if inits else None
    asked_px = (integer(values["width"]), integer(values["height"]))
    effects = always_on(install, _script_args(values), first, options, studio, asked_px)
    selected = _selected(install, values, first)
    size, hires = _size(install, values, effects, selected)
    if size[0] * size[1] * integer(values["batch_size"]) > _MOST_PIXELS:
        raise ServerFaultError(
            "OutOfMemoryError", "CUDA out of memory. Tried to allocate more than the simulator holds"
        )
    asked, schedule = values["sampler_name"] or values["sampler_index"], values["scheduler"]
    sampler, label = install.choose_sampler(text(asked), schedule if isinstance(schedule, str) else None)
    checkpoint = install.checkpoint(text(options["sd_model_checkpoint"]))
    refiner = _checkpoint_or_fault(install, values["refiner_checkpoint"])
    if values["refiner_switch_at"] is None or number(values["refiner_switch_at"]) >= 1:
        refiner = None
    return Settled(values, options, size, inits, sampler, label, checkpoint, refiner, hires, effects, selected)


def _refuse_nulls(values: JsonObject) -> None:
    """Null passes the schema everywhere, and is met by arithmetic where the default is a number."""
    request = "img2img_request" if "init_images" in values else "txt2img_request"
    for field in a1111_fields(request):
        if field.default is not None and values[field.name] is None and field.kind in {"int", "float"}:
            raise ServerFaultError("TypeError", f"unsupported operand type(s): 'NoneType' ({field.name})")
    for key in ("steps", "width", "height", "batch_size", "n_iter"):
        if number(values[key]) < 1:
            raise ServerFaultError("RuntimeError", f"{key} must be positive")
    for key in ("prompt", "negative_prompt"):
        if values[key] is None:
            raise ServerFaultError("AttributeError", "'NoneType' object has no attribute 'split'")


def _size(
    install: Install, values: JsonObject, effects: Effects, selected: Selected | None
) -> tuple[tuple[int, int], Hires | None]:
    """Give the size of the result, and the second pass if there is one."""
    width, height = integer(values["width"]), integer(values["height"])
    hires: Hires | None = None
    if selected is not None:
        width, height = selected.size_px
    elif effects.size_px is not None:
        width, height = effects.size_px
    if values.get("enable_hr") is True:
        (width, height), hires = _hires(install, values, (width, height))
    return (max(_GRID_PX, width // _GRID_PX * _GRID_PX), max(_GRID_PX, height // _GRID_PX * _GRID_PX)), hires


def _hires(install: Install, values: JsonObject, size: tuple[int, int]) -> tuple[tuple[int, int], Hires]:
    upscaler = values["hr_upscaler"]
    if upscaler is not None and upscaler not in install.latent_modes and not install.has_upscaler(text(upscaler)):
        raise ServerFaultError("Exception", f"could not find upscaler named {upscaler}")
    if values["hr_checkpoint_name"] != "Use same checkpoint":
        _checkpoint_or_fault(install, values["hr_checkpoint_name"])
    if values["denoising_strength"] is None:
        raise ServerFaultError("TypeError", "'>' not supported between instances of 'NoneType' and 'int'")
    strength = number(values["denoising_strength"])
    if integer(values["firstphase_width"]) or integer(values["firstphase_height"]):
        return size, Hires(strength, ("Hires resize", f"{size[0]}x{size[1]}"))
    wide, high = integer(values["hr_resize_x"]), integer(values["hr_resize_y"])
    if not wide and not high:
        scale = number(values["hr_scale"])
        return (int(size[0] * scale), int(size[1] * scale)), Hires(strength, ("Hires upscale", f"{scale:g}"))
    target = (wide or high * size[0] // size[1], high or wide * size[1] // size[0])
    return target, Hires(strength, ("Hires resize", f"{wide}x{high}"))


def _checkpoint_or_fault(install: Install, name: JsonValue) -> Checkpoint | None:
    if name in {None, "", "None", "none"}:
        return None
    found = install.checkpoint(text(name))
    if found is None:
        raise ServerFaultError("Exception", f"Could not find checkpoint with name {name}")
    return found


def _script_args(values: JsonObject) -> dict[str, list[JsonValue]]:
    scripts = values["alwayson_scripts"]
    found: dict[str, list[JsonValue]] = {}
    for title, entry in scripts.items() if isinstance(scripts, dict) else ():
        args = entry.get("args", []) if isinstance(entry, dict) else None
        if not isinstance(args, list):
            raise ServerFaultError("TypeError", f"{title}: args is not a list")
        found[title.lower()] = args
    return found


def _selected(install: Install, values: JsonObject, init: Image.Image | None) -> Selected | None:
    name = values["script_name"]
    if not name or init is None:
        return None
    try:
        return select_script(install, text(name).lower(), _items(values["script_args"]), values, init)
    except (TypeError, IndexError, ZeroDivisionError, OverflowError) as error:
        raise ServerFaultError(type(error).__name__, str(error)) from error


def _with_styles(settled: Settled, key: str) -> str:
    """Fill the prompt into the saved styles; unknown names are passed over, as the real server does."""
    prompt = text(settled.values[key])
    for style in array_at(load("simulator"), "a1111", "styles"):
        if isinstance(style, dict) and style["name"] in _items(settled.values["styles"]):
            part = text(style[key])
            prompt = part.replace("{prompt}", prompt) if "{prompt}" in part else f"{prompt}, {part}" if prompt else part
    return prompt


def _split_loras(prompt: str, *, active: bool) -> tuple[str, tuple[tuple[str, float], ...]]:
    """Take the `<lora:name:weight>` tags out of a prompt."""
    found: list[tuple[str, float]] = []
    for name, weight in _LORA.findall(prompt):
        with suppress(ValueError):
            found.append((name, float(weight or 1)))
    plain = " ".join(_LORA.sub(" ", prompt).split()) if found else prompt
    return plain, tuple(found) if active else ()


def _items(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def text(value: JsonValue) -> str:
    """Read a value that is text by now; null is empty."""
    return "" if value is None else str(value)


def integer(value: JsonValue) -> int:
    """Read a value that is a whole number by now; null is 0."""
    return int(value) if isinstance(value, (int, float)) else 0


def number(value: JsonValue) -> float:
    """Read a value that is a number by now; null is 0."""
    return float(value) if isinstance(value, (int, float)) else 0.0
