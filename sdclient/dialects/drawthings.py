"""Draw Things: one flat object of keys, two routes to draw, and a window whose settings fill every gap.

A key that is left out takes what the app's window shows. So every key that this server names is sent:
from the request, else from the table ``facts/drawthings_defaults.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.base import (
    Call,
    Compiled,
    ErrorWords,
    Expected,
    Operation,
    ReadReply,
    Route,
    ServerFacts,
)
from sdclient.dialects.draft import MASK_FIELDS, shown
from sdclient.dialects.drawthings_body import SIZE_STEP_PX, DrawThingsDraft
from sdclient.dialects.drawthings_parts import (
    put_controls,
    put_enlarge,
    put_hires,
    put_loras,
    put_refiner,
    put_tiled,
)
from sdclient.dialects.facts import close_names, drawthings_keys
from sdclient.dialects.initsize import init_size
from sdclient.dialects.losses import sort_losses
from sdclient.dialects.replies import error_words, reply_images
from sdclient.dialects.samplers import drawthings_sampler
from sdclient.errors import PayloadError
from sdclient.images import encode_base64
from sdclient.schemas.generation import Img2Img, Txt2Img

__all__ = ["DrawThings"]

# Unverified [drawthings-absent]: whatever other routes answer, none of them is asked.
_ROUTES: Mapping[Operation, Route] = {
    "txt2img": Route("POST", "/sdapi/v1/txt2img"),
    "img2img": Route("POST", "/sdapi/v1/img2img"),
    "options": Route("GET", "/sdapi/v1/options"),
}
# The micro-conditioning of SDXL follows the image's size; both ends of the range are the server's.
_SIZE_HINTS = ("original", "target", "negative_original")
_SIZE_HINT_MIN, _SIZE_HINT_MAX = 128, 2048

# Fields with a key of the same meaning and range type.
_SAME: Mapping[str, str] = {
    "model": "model",
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "steps": "steps",
    "cfg_scale": "guidance_scale",
    "distilled_cfg_scale": "guidance_embed",
    "shift": "shift",
    "n_iter": "batch_count",
    "clip_skip": "clip_skip",
    "restore_faces": "restore_faces",
    "image_cfg_scale": "image_guidance",
    "mask_blur": "mask_blur",
    "denoising_strength": "strength",
}
_CANNOT: Mapping[str, str] = {
    "vae": "Draw Things takes the VAE that belongs to the model",
    "subseed": "Draw Things has one seed only",
    "subseed_strength": "Draw Things has one seed only",
    "styles": "Draw Things has no prompt styles; write their words into the prompt",
    "tiling": "Draw Things makes no seamless images",
    "eta": "Draw Things has no eta",
    "adetailer": "Draw Things redraws no faces by itself; they stay as they were drawn",
}
_REFUSED: Mapping[str, str] = {
    "ultimate_upscale": "Draw Things runs no scripts, and the image would stay small; enlarge is near",
    "sd_upscale": "Draw Things runs no scripts, and the image would stay small; enlarge is near",
}


class DrawThings:
    """The dialect of Draw Things' HTTP server."""

    name = "drawthings"
    title = "Draw Things"
    overlay_names: tuple[str, ...] = ("drawthings",)
    granularity_px = SIZE_STEP_PX
    resizes_inits = False
    loras_by_path = False
    vaes_by_file = False

    def route(self, operation: Operation) -> Route | None:
        """Return where an operation lives; only drawing and ``GET options`` exist here."""
        return _ROUTES.get(operation)

    def recognises(self, options: Mapping[str, JsonValue]) -> bool:
        """Tell whether these options are a Draw Things window."""
        return "sd_model_checkpoint" not in options and {"model", "guidance_scale", "refiner_start"} <= options.keys()

    def compile(self, request: Txt2Img | Img2Img, facts: ServerFacts) -> Compiled:
        """Turn a request into one call, the upscaler included.

        Raises:
            PayloadError: If a ``native`` key or value is none of Draw Things', or img2img has no init image.
        """
        draft = DrawThingsDraft(facts)
        size = _put_size(request, draft)
        _put_fields(request, draft)
        _put_sampler(request, draft)
        for put_part in (put_refiner, put_enlarge, put_loras, put_controls, put_tiled):
            put_part(request, draft)
        if isinstance(request, Img2Img):
            _put_init(request, size, draft)
        elif request.hires is not None:
            put_hires(request.hires, size, draft)
        draft.put_native(request.native.get(self.name, {}))
        _check_model(request, draft)
        if isinstance(request, Txt2Img):
            # The server forces 1 in txt2img; a body that says so reads as what happens.
            draft.default("strength", 1.0)
        return Compiled(
            call=Call(_ROUTES[request.kind], draft.values),
            losses=sort_losses(draft.losses),
            expected=_expected(draft.values),
        )

    def read_reply(self, body: object, compiled: Compiled) -> ReadReply:
        """Take a reply apart; it has images and nothing else, so nothing is known of what was applied.

        Raises:
            BadReplyError: If there are no images, or the shape is wrong.
        """
        del compiled
        # Unverified [drawthings-format]: commonly PNG; the bytes are looked at, never the name.
        return ReadReply(images=reply_images(body))

    def read_error(self, status: int, body: object) -> ErrorWords:
        """Find the server's own words. They are in the app's language, so only keys are looked for."""
        return error_words(status, body, _field_of)


def _put_size(request: Txt2Img | Img2Img, draft: DrawThingsDraft) -> tuple[int, int]:
    """Write width and height; unset, img2img takes the init image's and txt2img our default."""
    size = (
        request.width or cast("int", draft.values.get("width", 1024)),
        request.height or cast("int", draft.values.get("height", 1024)),
    )
    if isinstance(request, Img2Img) and request.init_image is not None and request.size is None:
        own = init_size(request.init_image)
        size = (request.width or own[0], request.height or own[1])
    for name, asked in zip(("width", "height"), size, strict=True):
        if asked % SIZE_STEP_PX:
            lower = max(128, asked // SIZE_STEP_PX * SIZE_STEP_PX)
            draft.refuse(
                name,
                f"Draw Things draws in multiples of {SIZE_STEP_PX}: {asked} is none, {lower} and "
                f"{lower + SIZE_STEP_PX} are the nearest",
            )
        draft.put(name, asked, name)
    for prefix in _SIZE_HINTS:
        for name, side in zip(("width", "height"), size, strict=True):
            draft.default(f"{prefix}_{name}", min(max(side, _SIZE_HINT_MIN), _SIZE_HINT_MAX))
    return size


def _put_fields(request: Txt2Img | Img2Img, draft: DrawThingsDraft) -> None:
    # In the order of the fields, so that the losses come in the same order every time.
    for name in type(request).model_fields:
        value = getattr(request, name)
        if name not in request.model_fields_set or value is None or value == ():
            continue
        if name in _SAME:
            draft.put(_SAME[name], value, name)
        elif name in _CANNOT and value is not False:
            draft.drop(name, _CANNOT[name])
        elif name in _REFUSED:
            draft.refuse(name, _REFUSED[name])
    if request.shift is not None:
        # Else the app would work out a shift from the size and ignore the one asked for.
        draft.default("resolution_dependent_shift", value=False)
    if request.seed is not None and request.seed >= 0:
        draft.put("seed", request.seed, "seed")
    else:
        draft.lose("seed", "inherited", "warning", "Draw Things draws a seed and never tells which; give one")
    draft.put("batch_size", request.batch_size, "batch_size")


def _check_model(request: Txt2Img | Img2Img, draft: DrawThingsDraft) -> None:
    """Say that the app's window chooses the model where the request does not."""
    if "model" not in draft.asked and request.model is None:
        advice = "name one to be sure of it" if request.inherit else "name a model, or set inherit to accept that"
        message = f"without one Draw Things uses the model its window shows; {advice}"
        draft.lose("model", "inherited", "warning" if request.inherit else "error", message)


def _put_sampler(request: Txt2Img | Img2Img, draft: DrawThingsDraft) -> None:
    if request.sampler_name is None:
        if request.scheduler is not None:
            draft.drop("scheduler", "Draw Things has no schedule apart from the sampler; name both")
        return
    found = drawthings_sampler(request.sampler_name, request.scheduler)
    if found.label is None:
        labels = drawthings_keys()["sampler"].labels
        hint = close_names(request.sampler_name, labels) or f"; it has {', '.join(labels)}"
        draft.refuse("sampler_name", f"Draw Things has no sampler {shown(request.sampler_name)}{hint}")
        return
    if found.difference:
        draft.lose("sampler_name", "approximated", "warning", f"{found.difference}; {found.label} is used")
    draft.put("sampler", found.label, "sampler_name")


def _put_init(request: Img2Img, size: tuple[int, int], draft: DrawThingsDraft) -> None:
    """Write the one init image, of exactly the size asked for; else the app uses its canvas, or refuses."""
    if request.init_image is None:
        raise PayloadError("Img2Img: init_image: missing; without one Draw Things would draw over its own canvas")
    own = init_size(request.init_image)
    if own != size:
        draft.refuse(
            "init_image",
            f"Draw Things resizes no init image: this one is {own[0]}x{own[1]}, the request is {size[0]}x{size[1]}; "
            "fit it first",
        )
    # Unverified [strict-base64]: a prefix or line breaks may be refused; there are none.
    draft.put("init_images", [encode_base64(request.init_image)], "init_image")
    if request.mask is not None:
        draft.refuse("mask", "Draw Things takes no mask over HTTP; use a server that does")
        for name in MASK_FIELDS:
            if name not in _SAME and getattr(request, name) is not None:
                draft.drop(name, "Draw Things takes no mask over HTTP")
    if request.resize_mode is not None:
        draft.drop("resize_mode", "the init image is sent in the request's size, so nothing is resized", "note")


def _expected(values: Mapping[str, JsonValue]) -> Expected:
    images = cast("int", values.get("batch_count", 1)) * cast("int", values.get("batch_size", 1))
    if "width" not in values or "height" not in values:
        # A server that takes no size draws one of its own.
        return Expected(images=images)
    scale = 1 if values.get("upscaler") is None else cast("int", values.get("upscaler_scale", 0))
    size = None
    # Unverified [scale-of-zero]: 0 may be the network's own factor, or none; no size is expected then.
    # 2 and 4 are kept to; with any other scale the network's own factor is used, and that is not known here.
    if values.get("upscaler") is None or scale in (2, 4):
        width, height = (
            cast("int", values[side]) // SIZE_STEP_PX * SIZE_STEP_PX * scale for side in ("width", "height")
        )
        size = (width, height)
    return Expected(images=images, size=size)


def _field_of(key: str) -> str | None:
    """Return our spelling of a key that an error names."""
    ours = {theirs: name for name, theirs in _SAME.items()}
    others = {"sampler": "sampler_name", "init_images": "init_image", "upscaler": "enlarge.model"}
    others |= {"refiner_model": "refiner.model", "upscaler_scale": "enlarge.scale"}
    keys = drawthings_keys()
    if key in keys:
        key = keys[key].name
        return ours.get(key) or others.get(key) or key
    return others.get(key)
