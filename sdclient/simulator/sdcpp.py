"""stable-diffusion.cpp's sd-server: few routes, strict types, an echo of everything, LoRAs by path only."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from PIL import Image, ImageOps

from sdclient.simulator.catalogue import strings
from sdclient.simulator.dialect import Call, Refusal, Reply, Setup, json_reply
from sdclient.simulator.facts import JsonObject, JsonValue, array_at, load, object_at, small_fields
from sdclient.simulator.infotext import format_parameters
from sdclient.simulator.painter import Brief, paint, repaint
from sdclient.simulator.pictures import PictureError
from sdclient.simulator.settle import integer, number, text
from sdclient.simulator.studio import Studio
from sdclient.simulator.workshop import Workshop

__all__ = ["SdCpp"]

_API = "/sdapi/v1/"
_VERSION = "stable-diffusion.cpp"
_GRID_PX = 8
_MOST_PIXELS = 64_000_000
_LARGEST_SEED = 2**31 - 1
_HASH_DIGIT = "8"


@dataclass(frozen=True, slots=True)
class _Order:
    """What a request amounts to."""

    values: JsonObject
    size_px: tuple[int, int]
    seed: int
    sampler: str
    scheduler: str
    init: Image.Image | None
    mask: Image.Image | None
    loras: tuple[tuple[str, float], ...]
    hires: bool


class SdCpp:
    """The server of stable-diffusion.cpp.

    Args:
        setup: `models` names the one model it was started with; `options` replaces its start-up defaults.
        workshop: The one GPU.

    Raises:
        ValueError: If authentication is asked for, or an option is no start-up default.
    """

    def __init__(self, setup: Setup, workshop: Workshop) -> None:
        if setup.auth is not None:
            raise ValueError("simulator: sdcpp knows no authentication; leave auth out")
        setup.choose_version("sdcpp", ("2026-08",))
        self._facts = object_at(load("simulator_others"), "sdcpp")
        self._table = object_at(load("others"), "stable_diffusion_cpp")
        self._workshop = workshop
        self._studio = Studio(prerendered=setup.prerendered)
        model = str(self._facts["model"]) if setup.models is None else next(iter(setup.models), "model")
        self._stem = model.rsplit(".", 1)[0]
        self._defaults = _with_options(object_at(self._facts, "defaults"), setup.options)
        self._cached_loras: frozenset[str] = frozenset()
        self._random = random.Random(setup.seed)
        self._lock = threading.Lock()
        self._lists = self._make_lists()

    def answer(self, call: Call) -> Reply:
        """Answer one call; the origin of a web page is always welcome."""
        reply = Reply(204, b"") if call.method == "OPTIONS" else self._route(call)
        origin = {"Access-Control-Allow-Origin": call.headers["origin"]} if "origin" in call.headers else {}
        return Reply(reply.status, reply.payload, reply.content_type, {**reply.headers, **origin})

    def trouble(self, status: int, kind: str, message: str) -> Reply:  # noqa: ARG002 - no class names here
        """Give the two keys of an exception here."""
        return json_reply({"error": "server_error", "message": message}, status)

    def _route(self, call: Call) -> Reply:
        kind = call.path.rsplit("/", 1)[-1]
        if (call.method, call.path) in {("POST", f"{_API}txt2img"), ("POST", f"{_API}img2img")}:
            try:
                return self._generate(call, kind)
            except Refusal as refusal:
                return refusal.reply
            except (TypeError, ValueError, RecursionError) as error:
                return self.trouble(500, "", str(error)[:200])
        if call.method == "GET" and call.path == f"{_API}{kind}" and kind in self._lists:
            return json_reply(self._lists[kind]())
        if (call.method, call.path) == ("GET", "/sdcpp/v1/capabilities"):
            # The native family of routes; only that it is there is known, not what it tells.
            return json_reply({"model": self._stem, "modes": ["img_gen"]})
        return Reply(404, b"", "text/plain")

    # --- lists ---------------------------------------------------------------------------------------------------------------

    def _make_lists(self) -> Mapping[str, Callable[[], JsonValue]]:
        modes = strings(array_at(load("a1111"), "hires_fix", "latent_modes"))
        return {
            "loras": self._list_loras,
            "options": lambda: {"samples_format": "png", "sd_model_checkpoint": self._stem},
            "sd-models": lambda: [dummy_model(self._stem)],
            "samplers": lambda: [
                {"name": name, "aliases": [name], "options": {}} for name in self._first("sampler_names", "sampler")
            ],
            "schedulers": lambda: [
                {"name": name, "label": name} for name in self._first("scheduler_names", "scheduler")
            ],
            "upscalers": self._list_upscalers,
            "latent-upscale-modes": lambda: [{"name": name} for name in modes],
        }

    def _list_loras(self) -> JsonValue:
        paths = strings(array_at(self._facts, "loras"))
        # Requests look their LoRAs up in what this route has found, and so find none before its first call.
        self._cached_loras = frozenset(paths)
        return [{"name": path.rsplit("/", 1)[-1].rsplit(".", 1)[0], "path": path} for path in paths]

    def _first(self, table: str, default: str) -> list[str]:
        """List the server's default before the others."""
        names, first = strings(array_at(self._table, table)), str(self._defaults[default])
        return [first, *(name for name in names if name != first)]

    def _list_upscalers(self) -> list[JsonValue]:
        built_in: list[JsonValue] = [
            {"name": name, "model_name": None, "model_path": None, "model_url": None, "scale": 4}
            for name in ("None", "Lanczos", "Nearest")
        ]
        found = [row for row in array_at(self._facts, "upscalers") if isinstance(row, dict)]
        return built_in + [
            {
                "name": row["name"],
                "model_name": row["name"],
                "model_path": f"/srv/upscalers/{row['model']}",
                "model_url": None,
                "scale": row["scale"],
            }
            for row in found
        ]

    # --- generation ----------------------------------------------------------------------------------------------------------

    def _generate(self, call: Call, kind: str) -> Reply:
        if not call.raw:
            raise _bad("empty body")
        body = call.json()
        if not isinstance(body, dict):
            raise TypeError("[json.exception.type_error.306] cannot use value() with a non-object")
        order = self._order(_typed(body), kind)
        count = max(1, integer(order.values["batch_size"]))
        images: list[JsonValue] = []
        texts: list[JsonValue] = []
        with self._workshop.turn(f"{kind}-{id(call)}", kind, call.arrived_s) as job:
            if order.size_px[0] * order.size_px[1] > _MOST_PIXELS:
                return json_reply({"error": "generate_image returned no results"}, 500)
            job.job_count = count
            for index in range(count):
                job.job_no = index
                self._workshop.expose(job, integer(order.values["steps"]))
                info = self._text(order, order.seed + index)
                image = self._studio.draw(order.size_px, partial(self._paint, order, index))
                images.append(self._studio.encode(image, info))
                texts.append(info)
            document = self._info(order, kind, texts)
            return json_reply({"images": images, "parameters": body, "info": json.dumps(document)})

    def _order(self, sent: JsonObject, kind: str) -> _Order:
        """Decide everything about a request; what it leaves open the server was started with.

        Raises:
            Refusal: If the server refuses it.
        """
        if not sent["prompt"]:
            raise _bad("prompt required")
        for side in ("width", "height"):
            if sent[side] is not None and integer(sent[side]) <= 0:
                raise _bad("width and height must be positive")
        loras = self._loras(sent["lora"])
        init = self._init(sent) if kind == "img2img" else None
        values = {key: self._defaults.get(key) if value is None else value for key, value in sent.items()}
        if integer(values["steps"]) < 1:
            raise _bad("invalid params")
        if init is not None and sent["width"] is None and sent["height"] is None:
            values["width"], values["height"] = init.size
        size = (_floored(integer(values["width"])), _floored(integer(values["height"])))
        first, mask = self._fitted(init, size), self._mask(sent, size)
        hires = kind == "txt2img" and values["enable_hr"] is True
        size = _hires_size(values, size, sent) if hires else size
        sampler, scheduler = self._sampler(text(sent["sampler_name"])), self._scheduler(text(sent["scheduler"]))
        seed = integer(values["seed"])
        if seed < 0:
            with self._lock:
                seed = self._random.randint(0, _LARGEST_SEED)
        return _Order(values, size, seed, sampler, scheduler, first, mask, loras, hires)

    def _sampler(self, name: str) -> str:
        """Take native names as they are and A1111's in any case; anything else is the default, without a word."""
        names = {native.lower(): native for native in strings(array_at(self._table, "sampler_names"))}
        names |= {known.lower(): str(native) for known, native in object_at(self._facts, "a1111_names").items()}
        return names.get(name.lower(), str(self._defaults["sampler"]))

    def _scheduler(self, name: str) -> str:
        name = "discrete" if name == "normal" else name
        return name if name in strings(array_at(self._table, "scheduler_names")) else str(self._defaults["scheduler"])

    def _loras(self, sent: JsonValue) -> tuple[tuple[str, float], ...]:
        found: list[tuple[str, float]] = []
        for entry in sent if isinstance(sent, list) else []:
            path = entry.get("path") if isinstance(entry, dict) else None
            if not isinstance(path, str) or not path:
                raise _bad("lora.path required")
            if path not in self._cached_loras:
                raise _bad(f"invalid lora path: {path}")
            weight = entry.get("multiplier", 1.0) if isinstance(entry, dict) else 1.0
            found.append((path, number(weight)))
        return tuple(found)

    def _init(self, values: JsonObject) -> Image.Image | None:
        """Read the first init image; one that cannot be read is passed over."""
        images = values["init_images"]
        return self._read(images[0]) if isinstance(images, list) and images else None

    def _read(self, value: JsonValue) -> Image.Image | None:
        plain = text(value).split(",", 1)[-1]
        try:
            return self._studio.read(plain)
        except PictureError:
            return None

    def _fitted(self, init: Image.Image | None, size: tuple[int, int]) -> Image.Image | None:
        if init is None or self._studio.prerendered:
            return None
        return ImageOps.fit(init, size, Image.Resampling.LANCZOS)

    def _mask(self, values: JsonObject, size: tuple[int, int]) -> Image.Image | None:
        found = self._read(values["mask"]) if values["mask"] else None
        if found is None or self._studio.prerendered:
            return None
        mask = found.convert("L").resize(size)
        return ImageOps.invert(mask) if integer(values["inpainting_mask_invert"]) else mask

    def _paint(self, order: _Order, index: int) -> Image.Image:
        values = order.values
        strength = min(1.0, max(0.0, number(values["denoising_strength"])))
        brief = Brief(
            prompt=text(values["prompt"]),
            negative_prompt=text(values["negative_prompt"]),
            seed=order.seed + index,
            model=self._stem,
            width_px=order.size_px[0],
            height_px=order.size_px[1],
            steps=integer(values["steps"]),
            cfg_scale=number(values["cfg_scale"]),
            hires_strength=strength if order.hires else None,
            loras=order.loras,
            details=json.dumps([order.sampler, order.scheduler, values["clip_skip"], values["hr_upscaler"]]),
        )
        if order.init is None:
            return paint(brief)
        image = repaint(brief, order.init, strength)
        return image if order.mask is None else Image.composite(image, order.init, order.mask)

    # --- telling about it ----------------------------------------------------------------------------------------------------

    def _text(self, order: _Order, seed: int) -> str:
        values = order.values
        labels: dict[str, object] = {
            "Steps": values["steps"],
            "CFG scale": values["cfg_scale"],
            "Seed": seed,
            "Size": f"{order.size_px[0]}x{order.size_px[1]}",
            "Model": self._stem,
            "RNG": "cuda",
            "Sampler": f"{order.sampler} {order.scheduler}",
            "Clip skip": values["clip_skip"] if integer(values["clip_skip"]) > 0 else None,
            "Version": _VERSION,
        }
        return format_parameters(text(values["prompt"]), text(values["negative_prompt"]), labels)

    def _info(self, order: _Order, kind: str, texts: list[JsonValue]) -> JsonObject:
        values, count = order.values, len(texts)
        document: JsonObject = {
            "prompt": values["prompt"],
            "seed": order.seed,
            "cfg_scale": values["cfg_scale"],
            "width": order.size_px[0],
            "height": order.size_px[1],
            "steps": values["steps"],
            "sampler_name": order.sampler,
            "extra_generation_params": {"Schedule type": order.scheduler},
            "sd_model_name": self._stem,
            "sd_vae_name": None,
            "version": _VERSION,
            "infotexts": texts,
            "all_prompts": [values["prompt"]] * count,
            "all_negative_prompts": [values["negative_prompt"]] * count,
            "all_seeds": [order.seed + index for index in range(count)],
        }
        if values["negative_prompt"]:
            document["negative_prompt"] = values["negative_prompt"]
        if integer(values["clip_skip"]) > 0:
            document["clip_skip"] = values["clip_skip"]
        if kind == "img2img":
            document["denoising_strength"] = values["denoising_strength"]
        return document


def dummy_model(stem: str) -> JsonObject:
    """Give the one entry of sd-models as servers without hashes do."""
    return {
        "title": stem,
        "model_name": stem,
        "hash": _HASH_DIGIT * 10,
        "sha256": _HASH_DIGIT * 64,
        "filename": f"/srv/models/{stem}",
        "config": None,
    }


def _bad(message: str) -> Refusal:
    return Refusal(json_reply({"error": message}, 400))


def _floored(side: int) -> int:
    return max(_GRID_PX, side // _GRID_PX * _GRID_PX)


def _typed(body: JsonObject) -> JsonObject:
    """Read the keys that are known; a JSON type that does not fit raises, null for anything but a list included."""
    accepted: Mapping[str, tuple[type, ...]] = {
        "string": (str,),
        "int": (int, float),
        "float": (int, float),
        "bool": (bool,),
        "array": (list,),
    }
    values: JsonObject = {}
    for field in small_fields("stable_diffusion_cpp"):
        value = body.get(field.name)
        if field.name in body and not isinstance(value, accepted[field.kind]):
            # A reader of lists first looks whether there is one.
            if field.kind != "array":
                raise TypeError(f"[json.exception.type_error.302] type must be {field.kind}, key {field.name}")
            value = None
        absent = field.default if isinstance(field.default, (int, float, str)) and field.name in _PLAIN else None
        values[field.name] = absent if field.name not in body else value
    return values


# The other keys take what the server was started with.
_PLAIN = frozenset(
    {"prompt", "negative_prompt", "seed", "batch_size", "clip_skip", "sampler_name", "scheduler", "enable_hr"}
    | {"inpainting_mask_invert"}
)


def _hires_size(values: JsonObject, size: tuple[int, int], sent: JsonObject) -> tuple[int, int]:
    wide, high = integer(sent["hr_resize_x"]), integer(sent["hr_resize_y"])
    if wide > 0 and high > 0:
        return _floored(wide), _floored(high)
    scale = number(values["hr_scale"])
    return _floored(int(size[0] * scale)), _floored(int(size[1] * scale))


def _with_options(defaults: JsonObject, options: Mapping[str, object]) -> JsonObject:
    unknown = sorted(set(options) - set(defaults))
    if unknown:
        raise ValueError(f"simulator: sdcpp has no start-up default {', '.join(unknown)}")
    plain: JsonObject = json.loads(json.dumps(dict(options)))
    return {**defaults, **plain}
