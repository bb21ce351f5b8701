"""Draw Things: four routes, strict keys, settings inherited from the app's window, images only in the reply."""

from __future__ import annotations

import base64
import binascii
import io
import json
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from sdclient.simulator.checks import CheckError, decode_element, decode_strict, group_keys
from sdclient.simulator.dialect import Call, Reply, Setup, json_reply
from sdclient.simulator.facts import Field, JsonObject, JsonValue, array_at, drawthings_fields, load, object_at
from sdclient.simulator.painter import Brief, enlarge, paint, repaint
from sdclient.simulator.pictures import PictureError
from sdclient.simulator.studio import Studio
from sdclient.simulator.workshop import Workshop

__all__ = ["DrawThings"]

_GRID_PX = 64
_CANVAS_GREY = (128, 128, 128)
_MOST_PIXELS = 100_000_000
_LARGEST_SEED = 4294967295
_NATIVE_SCALE = 4
_EXTRA_KEYS = tuple(field.name for field in drawthings_fields("extra_keys"))
# These shape the picture in ways of their own, so they are no part of the digest that every other setting enters.
_NOT_IN_DIGEST = frozenset(
    {"prompt", "negative_prompt", "model", "seed", "width", "height", "batch_count", "batch_size", "strength"}
    | {"steps", "guidance_scale", "refiner_model", "loras", "upscaler", "upscaler_scale"}
)


@dataclass(frozen=True, slots=True)
class _Model:
    file: str
    name: str
    family: str


class DrawThings:
    """The app with its HTTP server switched on.

    Args:
        setup: `options` holds what the app's window shows, by the names of the table or their aliases.
        workshop: The one GPU.

    Raises:
        ValueError: If an option is no parameter of the app, or authentication is asked for.
    """

    def __init__(self, setup: Setup, workshop: Workshop) -> None:
        if setup.auth is not None:
            raise ValueError("simulator: drawthings knows no authentication; leave auth out")
        setup.choose_version("drawthings", ("2026-08",))
        facts = object_at(load("simulator"), "drawthings")
        self._workshop = workshop
        self._studio = Studio(prerendered=setup.prerendered)
        self._models = _stock_models(facts) if setup.models is None else [_model(file) for file in setup.models]
        self._files = {kind: array_at(facts, kind) for kind in ("upscalers", "loras", "face_restoration")}
        self._window = _fresh_window(object_at(facts, "window"))
        if setup.models is not None:
            self._window["model"] = self._models[0].file if self._models else None
        self._window.update(_named_settings(setup.options))
        self._random = random.Random(setup.seed)
        self._random_lock = threading.Lock()

    def answer(self, call: Call) -> Reply:
        """Answer one call; every failure of a POST is a 422."""
        route = (call.method, call.path)
        if route in {("GET", "/"), ("GET", "/sdapi/v1/options")}:
            return json_reply(_as_shown(self._window))
        if route not in {("POST", "/sdapi/v1/txt2img"), ("POST", "/sdapi/v1/img2img")}:
            return Reply(404, b"", "text/plain")
        kind = call.path.rsplit("/", 1)[1]
        # Both routes work synchronously on one queue, so that even a bad request waits for its turn.
        with self._workshop.turn(f"{kind}-{id(call)}", kind, call.arrived_s) as job:
            try:
                settings, init = self._decode(call, kind)
                brief, scale = self._brief(settings)
                count = _int(settings, "batch_count") * _int(settings, "batch_size")
                job.job_count = count
                images: list[JsonValue] = []
                for index in range(count):
                    job.job_no = index
                    done = self._workshop.expose(job, brief.steps)
                    images.append(self._made(brief.numbered(index, done), init, settings, scale))
            except CheckError as error:
                return self.trouble(422, "HTTPException", str(error))
            # The app's JSON encoder escapes slashes, of which base64 is full.
            text = json.dumps({"images": images}).replace("/", "\\/")
            return Reply(200, text.encode("ascii"))

    def trouble(self, status: int, kind: str, message: str) -> Reply:
        """Give the four keys of every error of the app, all text."""
        return json_reply({"error": kind, "detail": message, "body": "", "errors": ""}, status)

    def _made(self, brief: Brief, init: Image.Image | None, settings: JsonObject, scale: int) -> str:
        size = (brief.width_px * scale, brief.height_px * scale)
        return self._studio.encode(self._studio.draw(size, lambda: _draw(brief, init, settings, scale)), None)

    def _decode(self, call: Call, kind: str) -> tuple[JsonObject, Image.Image | None]:
        """Read the body over the window's settings; the image is None for txt2img."""
        try:
            body = call.json(strict=True)
        except (ValueError, RecursionError) as error:
            raise CheckError("The data couldn't be read because it isn't in the correct format.") from error
        if not isinstance(body, dict):
            raise CheckError("The body is not an object.")
        settings = self._settings(body)
        init: Image.Image | None = None
        if kind == "txt2img":
            if "init_images" in body:
                raise CheckError("init_images is not supported for text to image")
            settings["strength"] = 1.0
        else:
            init = _init_image(body, _int(settings, "width"), _int(settings, "height"), self._studio)
        self._check_files(settings, body)
        return settings, init

    def _settings(self, body: Mapping[str, JsonValue]) -> JsonObject:
        used = group_keys(body, drawthings_fields(), _EXTRA_KEYS)
        settings = dict(self._window)
        for field in drawthings_fields():
            if field.name in used:
                settings[field.name] = decode_strict(field, body[used[field.name]], self._window[field.name])
        for kind in ("loras", "controls"):
            fields = drawthings_fields(kind)
            elements = settings[kind]
            if isinstance(elements, list):
                settings[kind] = [decode_element(kind, fields, element) for element in elements]
        restore = body.get("restore_faces")
        if restore is not None and not isinstance(restore, bool):
            raise CheckError("restore_faces: expected bool")
        return settings

    def _check_files(self, settings: JsonObject, body: Mapping[str, JsonValue]) -> None:
        """Look up every file the request names, as the app does before it starts."""
        if settings["prompt"] is None:
            raise CheckError("Missing prompt")
        self._model(settings["model"])
        if settings["upscaler"] is not None:
            self._look_up("upscalers", settings["upscaler"])
        loras = settings["loras"]
        for lora in loras if isinstance(loras, list) else []:
            if isinstance(lora, dict) and lora["file"] is not None:
                self._look_up("loras", lora["file"])
        if body.get("restore_faces") is True and not self._files["face_restoration"]:
            raise CheckError("Missing file: restoreformer_v1.0_f16.ckpt")

    def _look_up(self, kind: str, name: JsonValue) -> None:
        text = str(name)
        if "/" in text or "\\" in text:
            raise CheckError(f"Invalid file name: {text}")
        if name not in self._files[kind]:
            raise CheckError(f"Missing file: {text}")

    def _model(self, name: JsonValue) -> _Model:
        if name is None:
            raise CheckError("Missing model")
        for model in self._models:
            if name in {model.file, model.name}:
                return model
        raise CheckError(f"Unrecognized model: {name}")

    def _refiner(self, settings: JsonObject, model: _Model) -> str:
        """Give the refiner in effect; names that do not fit are dropped without a word."""
        for candidate in self._models:
            if settings["refiner_model"] in {candidate.file, candidate.name}:
                return candidate.file if candidate != model and candidate.family == model.family else ""
        return ""

    def _brief(self, settings: JsonObject) -> tuple[Brief, int]:
        """Say what to paint, and by how much to enlarge it at the end."""
        model = self._model(settings["model"])
        width, height = (_int(settings, side) // _GRID_PX * _GRID_PX for side in ("width", "height"))
        scale = 1
        if settings["upscaler"] is not None:
            asked = _int(settings, "upscaler_scale")
            scale = asked if asked in {2, 4} else _NATIVE_SCALE
        if width * height * scale * scale > _MOST_PIXELS:
            raise CheckError("Generation failed")
        seed = _int(settings, "seed")
        refiner = self._refiner(settings, model)
        # Where a refiner would begin changes nothing without one.
        silent = _NOT_IN_DIGEST if refiner else _NOT_IN_DIGEST | {"refiner_start"}
        brief = Brief(
            prompt=str(settings["prompt"]),
            negative_prompt=str(settings["negative_prompt"] or ""),
            seed=self._draw_seed() if seed < 0 else seed,
            model=model.file,
            width_px=width,
            height_px=height,
            steps=_int(settings, "steps"),
            cfg_scale=_float(settings, "guidance_scale"),
            refiner=refiner,
            hires_strength=_hires_strength(settings, width, height),
            loras=_loras(settings),
            details=json.dumps({key: settings[key] for key in sorted(settings) if key not in silent}),
        )
        return brief, scale

    def _draw_seed(self) -> int:
        with self._random_lock:
            return self._random.randint(0, _LARGEST_SEED)


def _draw(brief: Brief, init: Image.Image | None, settings: JsonObject, scale: int) -> Image.Image:
    if init is None:
        image = paint(brief)
    else:
        floored = init.crop((0, 0, brief.width_px, brief.height_px))
        image = repaint(brief, floored, _float(settings, "strength"), hold=_hold(settings))
    if scale > 1:
        image = enlarge(image, (image.width * scale, image.height * scale), str(settings["upscaler"]))
    return image


def _hold(settings: JsonObject) -> float:
    """How strongly controls tie the result to the init image, 0 to 1."""
    controls = settings["controls"]
    weights = (
        [_float(control, "weight") for control in controls if isinstance(control, dict)]
        if isinstance(controls, list)
        else []
    )
    return max(0.0, min(1.0, max(weights, default=0.0)))


def _loras(settings: JsonObject) -> tuple[tuple[str, float], ...]:
    loras = settings["loras"]
    found = [lora for lora in loras if isinstance(lora, dict)] if isinstance(loras, list) else []
    return tuple((str(lora["file"]), _float(lora, "weight")) for lora in found if lora["file"] is not None)


def _hires_strength(settings: JsonObject, width: int, height: int) -> float | None:
    """The second pass runs only when the first is really smaller and leaves it something to do."""
    first = [_int(settings, key) // _GRID_PX * _GRID_PX for key in ("hires_fix_width", "hires_fix_height")]
    strength = _float(settings, "hires_fix_strength")
    smaller = 0 < first[0] < width and 0 < first[1] < height
    return strength if settings["hires_fix"] is True and smaller and strength < 1 else None


def _init_image(body: Mapping[str, JsonValue], width: int, height: int, studio: Studio) -> Image.Image:
    """Decode the one init image, or fall back to the app's canvas as the app does."""
    if "init_images" not in body:
        return Image.new("RGB", (width, height), _CANVAS_GREY)
    sent = body["init_images"]
    if not isinstance(sent, list) or not all(isinstance(item, str) for item in sent):
        raise CheckError("init_images: expected array of string")
    if len(sent) != 1:
        # Any other number is no error: the picture on the canvas is used and what was sent is forgotten.
        for item in sent:
            _decode_base64(str(item))
        return Image.new("RGB", (width, height), _CANVAS_GREY)
    image = _measured(str(sent[0]), studio) if studio.prerendered else _opened(_decode_base64(str(sent[0])))
    for side, found, asked in (("height", image.height, height), ("width", image.width, width)):
        if found != asked:
            raise CheckError(f"init_images[0] has {side} {found}, but the {side} parameter is {asked}")
    return image if studio.prerendered else image.convert("RGB")


def _measured(text: str, studio: Studio) -> Image.Image:
    try:
        return studio.read(text)
    except PictureError as error:
        raise CheckError("init_images[0] is not a valid image") from error


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CheckError("init_images: encountered Data is not valid Base64.") from error


def _opened(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Exception as error:  # Pillow raises many kinds for damaged files, and each is the same refusal here
        raise CheckError("init_images[0] is not a valid image") from error
    return image


def _fresh_window(window: JsonObject) -> JsonObject:
    """What the app shows on a made-up machine: the table's fresh values under a window somebody has worked in."""
    rows = {str(row["key"]): row for row in array_at(load("drawthings"), "parameters") if isinstance(row, dict)}
    settings: JsonObject = {}
    for key, row in rows.items():
        settings[key] = row.get("fresh_install_default", row.get("schema_default", row.get("default")))
    return {**settings, **window}


def _named_settings(options: Mapping[str, object]) -> JsonObject:
    """Read the owner's settings, under the table's names or their aliases."""
    names = {name: field for field in drawthings_fields() for name in (field.name, *field.aliases)}
    plain: JsonObject = json.loads(json.dumps(dict(options)))
    unknown = sorted(set(plain) - set(names))
    if unknown:
        raise ValueError(f"simulator: drawthings has no setting {', '.join(unknown)}")
    return {names[key].name: _setting(names[key], value) for key, value in plain.items()}


def _setting(field: Field, value: JsonValue) -> JsonValue:
    """Check the type and choices of one setting; the app itself shows values outside the accepted ranges."""
    try:
        return decode_strict(Field(field.name, field.kind, choices=field.choices), value, None)
    except CheckError as error:
        raise ValueError(f"simulator: drawthings setting {error}") from error


def _as_shown(window: JsonObject) -> JsonObject:
    """The window as GET answers it: control hints are spelled in lower case there."""
    controls = window["controls"]
    if not isinstance(controls, list):
        return window
    shown: list[JsonValue] = [
        {**control, "inputOverride": str(control.get("inputOverride", "")).lower()}
        for control in controls
        if isinstance(control, dict)
    ]
    return {**window, "controls": shown}


def _stock_models(facts: JsonObject) -> list[_Model]:
    rows = [row for row in array_at(facts, "models") if isinstance(row, dict)]
    return [_Model(str(row["file"]), str(row["name"]), str(row["family"])) for row in rows]


def _model(file: str) -> _Model:
    family = "sdxl" if "xl" in file.lower() else "sd15"
    return _Model(file, file.rsplit(".", 1)[0], family)


def _int(settings: Mapping[str, JsonValue], key: str) -> int:
    value = settings[key]
    return value if isinstance(value, int) else 0


def _float(settings: Mapping[str, JsonValue], key: str) -> float:
    value = settings[key]
    return float(value) if isinstance(value, (int, float)) else 0.0
