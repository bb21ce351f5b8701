"""KoboldCpp: one handler for both requests, values clamped in silence, failures that look like success."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from PIL import Image, ImageOps

from sdclient.simulator.catalogue import strings
from sdclient.simulator.dialect import Call, DroppedError, Refusal, Reply, Setup, json_reply
from sdclient.simulator.facts import JsonObject, JsonValue, array_at, load, object_at, small_fields
from sdclient.simulator.painter import Brief, paint, repaint
from sdclient.simulator.pictures import PictureError
from sdclient.simulator.sdcpp import dummy_model
from sdclient.simulator.settle import integer, number, text
from sdclient.simulator.studio import Studio
from sdclient.simulator.workshop import Workshop

__all__ = ["KoboldCpp"]

_GRID_PX = 64
_LONGEST_1_76_PX = 1024
_MOST_PIXELS = 16_000_000
_LARGEST_SEED = 2**31 - 1
_BODY_LIMIT_BYTES = 32 * 1024 * 1024
_PLACES = 7  # one at work and six that wait
_RANGES: Mapping[str, tuple[float, float]] = {"steps": (1, 80), "cfg_scale": (1, 25)}
_STEPS_CLAMPED = 40
# What v1.76 does not know.
_SINCE_1_102 = frozenset(
    {"scheduler", "mask", "inpainting_mask_invert", "distilled_guidance", "shifted_timestep", "extra_images"},
)
_SETTINGS = frozenset({"sdclamped"})


class KoboldCpp:
    """KoboldCpp with an image model, version 1.102 or 1.76.

    Args:
        setup: `models` names the one model it was started with, none for a server that only writes text; the one
            option is `sdclamped`, the longest side in pixels, or 0.
        workshop: The one GPU.

    Raises:
        ValueError: If authentication is asked for, or there is no such option.
    """

    def __init__(self, setup: Setup, workshop: Workshop) -> None:
        if setup.auth is not None:
            raise ValueError("simulator: koboldcpp does not check authentication on its image routes; leave auth out")
        unknown = sorted(set(setup.options) - _SETTINGS)
        if unknown:
            raise ValueError(f"simulator: koboldcpp has no setting {', '.join(unknown)}")
        self._version = setup.choose_version("koboldcpp", ("1.76", "1.102"))
        self._facts = object_at(load("simulator_others"), "koboldcpp")
        self._clamped_px = int(str(setup.options.get("sdclamped", 0)))
        model = str(self._facts["model"]) if setup.models is None else next(iter(setup.models), "")
        self._stem = model.rsplit(".", 1)[0]
        self._workshop = workshop
        self._studio = Studio(prerendered=setup.prerendered)
        self._random = random.Random(setup.seed)
        self._lock = threading.Lock()
        self._inside = 0

    def answer(self, call: Call) -> Reply:
        """Answer one call; only the ending of its path counts.

        Raises:
            DroppedError: Where an exception ends the connection.
        """
        path = call.path.rstrip("/")
        if call.method == "POST":
            if path.endswith(("/sdapi/v1/txt2img", "/sdapi/v1/img2img")):
                try:
                    return self._generate(call)
                except Refusal as refusal:
                    return refusal.reply
            if path.endswith("/sdapi/v1/interrogate"):
                return self.trouble(503, "service_unavailable", "No vision model was loaded.")
        if call.method == "GET":
            if path.endswith("/api/extra/version"):
                # Of the text side, in no table of ours; clients ask it to be sure whom they speak to.
                return json_reply({"result": "KoboldCpp", "version": self._version, "txt2img": bool(self._stem)})
            for ending, answer in self._lists().items():
                if path.endswith(f"/sdapi/v1/{ending}"):
                    return json_reply(answer)
        return Reply(404, b"Error: KoboldCpp - the requested page does not exist.", "text/html")

    def trouble(self, status: int, kind: str, message: str) -> Reply:
        """Give the object that errors carry in `detail`."""
        return json_reply({"detail": {"msg": message, "type": kind}}, status)

    def _lists(self) -> dict[str, JsonValue]:
        names = strings(array_at(load("others"), "koboldcpp", "sampler_list")) if self._stem else []
        return {
            "sd-models": [dummy_model(self._stem)] if self._stem else [],
            "options": {"samples_format": "png", "sd_model_checkpoint": self._stem or "inactive"},
            "samplers": [{"name": name, "aliases": [name.lower()], "options": {}} for name in names],
            "latent-upscale-modes": [],
            "upscalers": [],
        }

    def _generate(self, call: Call) -> Reply:
        if len(call.raw) > _BODY_LIMIT_BYTES:
            return self.trouble(500, "bad_input", "Payload is too big. Max payload size is 32 MB.")
        try:
            body = call.json()
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return self.trouble(500, "bad_input", "Error parsing input.")
        with self._place():
            values = self._values(body)
            with self._workshop.turn(f"image-{id(call)}", "image", call.arrived_s) as job:
                job.job_count = 1
                self._workshop.expose(job, integer(values["steps"]))
                # An empty string is all that tells of a failure, under status 200.
                document: JsonObject = {"images": [self._image(values)], "parameters": {}, "info": ""}
                if self._version != "1.76":
                    document["animated"] = False
                return json_reply(document)

    @contextmanager
    def _place(self) -> Generator[None, None, None]:
        """Hold one of the places in the queue.

        Raises:
            Refusal: With 503 if all are taken.
        """
        with self._lock:
            if self._inside >= _PLACES:
                busy = "Server is busy; please try again later."
                raise Refusal(self.trouble(503, "service_unavailable", busy))
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1

    def _values(self, body: JsonObject) -> JsonObject:
        """Read the known keys; null is the default, numbers are clamped, what is no number breaks the connection."""
        values: JsonObject = {}
        for field in small_fields("koboldcpp"):
            unknown = self._version == "1.76" and field.name in _SINCE_1_102
            value = None if unknown else body.get(field.name)
            values[field.name] = field.default if value is None else _converted(field.kind, value)
        for key, (low, high) in _RANGES.items():
            highest = _STEPS_CLAMPED if key == "steps" and self._clamped_px else high
            value = min(max(number(values[key]), low), highest)
            values[key] = int(value) if key == "steps" else value
        return values

    def _size(self, values: JsonObject) -> tuple[int, int]:
        """Round down to 64, and scale down to the longest side this server makes."""
        sides = [float(max(_GRID_PX, integer(values[side]))) for side in ("width", "height")]
        longest = self._clamped_px or (_LONGEST_1_76_PX if self._version == "1.76" else 0)
        if longest and max(sides) > longest:
            sides = [side * longest / max(sides) for side in sides]
        wide, high = (max(_GRID_PX, int(side) // _GRID_PX * _GRID_PX) for side in sides)
        return wide, high

    def _image(self, values: JsonObject) -> str:
        size = self._size(values)
        try:
            init, mask = self._first_image(values["init_images"]), self._mask(values, size)
        except PictureError:
            return ""
        if not self._stem or size[0] * size[1] > _MOST_PIXELS:
            return ""
        image = self._studio.draw(size, lambda: self._paint(values, size, init, mask))
        return self._studio.encode(image, None)

    def _read(self, value: JsonValue) -> Image.Image:
        data = text(value)
        # Older versions handed a prefix on to the decoder, which fails.
        if self._version == "1.76" and data.startswith("data:"):
            raise PictureError("Invalid encoded image")
        return self._studio.read(data)

    def _first_image(self, value: JsonValue) -> Image.Image | None:
        return self._read(value[0]) if isinstance(value, list) and value else None

    def _mask(self, values: JsonObject, size: tuple[int, int]) -> Image.Image | None:
        if not values["mask"] or self._studio.prerendered:
            return None
        mask = self._read(values["mask"]).convert("L").resize(size)
        return ImageOps.invert(mask) if integer(values["inpainting_mask_invert"]) else mask

    def _paint(
        self, values: JsonObject, size: tuple[int, int], init: Image.Image | None, mask: Image.Image | None
    ) -> Image.Image:
        seed = integer(values["seed"])
        if seed < 0:
            with self._lock:
                seed = self._random.randint(0, _LARGEST_SEED)
        samplers = object_at(self._facts, "samplers")
        sampler = samplers.get(text(values["sampler_name"]).lower(), samplers["default"])
        brief = Brief(
            prompt=text(values["prompt"]),
            negative_prompt=text(values["negative_prompt"]),
            seed=seed,
            model=self._stem,
            width_px=size[0],
            height_px=size[1],
            steps=integer(values["steps"]),
            cfg_scale=number(values["cfg_scale"]),
            details=json.dumps([sampler, *(values[key] for key in ("clip_skip", *sorted(_DIGEST)))]),
        )
        if init is None:
            return paint(brief)
        first = ImageOps.fit(init, size, Image.Resampling.LANCZOS)
        image = repaint(brief, first, number(values["denoising_strength"]))
        return image if mask is None else Image.composite(image, first, mask)


_DIGEST = frozenset({"scheduler", "distilled_guidance", "shifted_timestep"})


def _converted(kind: str, value: JsonValue) -> JsonValue:
    """Convert as the handler does.

    Raises:
        DroppedError: If that fails, which nobody catches over there.
    """
    try:
        if kind == "int" and isinstance(value, (int, float, str)):
            return int(value)
        if kind == "float" and isinstance(value, (int, float, str)):
            return float(value)
    except (ValueError, OverflowError) as error:
        raise DroppedError(str(error)) from error
    fits = {"string": str, "array": list, "bool": bool}.get(kind)
    if fits is None or not isinstance(value, fits):
        raise DroppedError(f"cannot use {type(value).__name__} for {kind}")
    return value
