"""AUTOMATIC1111, 1.8 to 1.10: what is unset is not sent, and what is wrong is mostly swallowed in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.a1111_names import check_model, put_sampler
from sdclient.dialects.a1111_native import put_native
from sdclient.dialects.a1111_parts import (
    follow_ups,
    override,
    put_controls,
    put_hires,
    put_loras,
    put_refiner,
    put_tiled,
)
from sdclient.dialects.a1111_reply import read_generation
from sdclient.dialects.base import Call, Compiled, ErrorWords, Expected, Operation, ReadReply, Route, ServerFacts
from sdclient.dialects.draft import Draft
from sdclient.dialects.initsize import init_size
from sdclient.dialects.losses import sort_losses
from sdclient.dialects.replies import error_words
from sdclient.dialects.samplers import SamplerChoice, schedule_label
from sdclient.errors import PayloadError
from sdclient.images import encode_base64
from sdclient.schemas.generation import Img2Img, Txt2Img

__all__ = ["A1111"]

_API = "/sdapi/v1"
_ROUTES: Mapping[Operation, Route] = {
    "txt2img": Route("POST", f"{_API}/txt2img"),
    "img2img": Route("POST", f"{_API}/img2img"),
    "extra_single_image": Route("POST", f"{_API}/extra-single-image"),
    "png_info": Route("POST", f"{_API}/png-info"),
    "options": Route("GET", f"{_API}/options"),
    "set_options": Route("POST", f"{_API}/options"),
    "progress": Route("GET", f"{_API}/progress"),
    "interrupt": Route("POST", f"{_API}/interrupt"),
    "skip": Route("POST", f"{_API}/skip"),
    "models": Route("GET", f"{_API}/sd-models"),
    "vaes": Route("GET", f"{_API}/sd-vae"),
    "samplers": Route("GET", f"{_API}/samplers"),
    "schedulers": Route("GET", f"{_API}/schedulers"),
    "upscalers": Route("GET", f"{_API}/upscalers"),
    "latent_upscale_modes": Route("GET", f"{_API}/latent-upscale-modes"),
    "loras": Route("GET", f"{_API}/loras"),
    "scripts": Route("GET", f"{_API}/scripts"),
    "script_info": Route("GET", f"{_API}/script-info"),
    "memory": Route("GET", f"{_API}/memory"),
    "controlnet_models": Route("GET", "/controlnet/model_list"),
    "controlnet_modules": Route("GET", "/controlnet/module_list"),
}
# Fields that are keys of the same name and meaning.
_SAME = (
    "prompt",
    "negative_prompt",
    "subseed",
    "subseed_strength",
    "steps",
    "cfg_scale",
    "width",
    "height",
    "batch_size",
    "n_iter",
    "restore_faces",
    "tiling",
    "eta",
    "denoising_strength",
    "resize_mode",
    "image_cfg_scale",
    "mask_blur",
    "inpainting_fill",
    "inpaint_full_res",
    "inpaint_full_res_padding",
)
_CANNOT: Mapping[str, str] = {
    "distilled_cfg_scale": "A1111 has no guidance of distilled models; Forge has",
    "shift": "A1111 has no sigma shift",
}
_CLIP_SKIP_MAX = 12
_ASKED = ("steps", "cfg_scale", "seed", "subseed", "width", "height", "denoising_strength")


class A1111:
    """The dialect of AUTOMATIC1111's web UI, and the one that others descend from."""

    name = "a1111"
    title = "AUTOMATIC1111"
    overlay_names: tuple[str, ...] = ("a1111",)
    granularity_px = 8
    resizes_init = True

    def route(self, operation: Operation) -> Route | None:
        """Return where an operation lives."""
        return _ROUTES.get(operation)

    def recognises(self, options: Mapping[str, JsonValue]) -> bool:
        """Tell whether these options are A1111's several hundred."""
        return "CLIP_stop_at_last_layers" in options and "sd_model_checkpoint" in options

    def compile(self, request: Txt2Img | Img2Img, facts: ServerFacts) -> Compiled:
        """Turn a request into one call, and one more for each image where it is enlarged.

        Raises:
            PayloadError: If a ``native`` key or value is none of A1111's, or img2img has no init image.
        """
        draft = Draft()
        _put_fields(request, draft)
        _put_overrides(request, draft, facts)
        sampler = put_sampler(request.sampler_name, request.scheduler, draft, facts)
        put_loras(request, draft)
        put_refiner(request, draft, facts)
        put_controls(request, draft, facts)
        put_tiled(request, draft, facts)
        if isinstance(request, Img2Img):
            _put_init(request, draft)
        elif request.hires is not None:
            put_hires(request.hires, request, draft, facts)
        then = follow_ups(request, draft, facts)
        put_native(request.native.get(self.name, {}), request.kind, draft, facts)
        _note_inherited_model(request, draft)
        return Compiled(
            call=Call(_ROUTES[request.kind], draft.values),
            losses=sort_losses(draft.losses),
            then=then,
            expected=_expected(draft.values),
            asked=_asked(request, draft, sampler),
        )

    def read_reply(self, body: object, compiled: Compiled) -> ReadReply:
        """Take a reply apart: the grid before the images and the maps behind them are no images.

        Raises:
            BadReplyError: If there are no images, or the shape is wrong.
        """
        return read_generation(body, compiled)

    def read_error(self, status: int, body: object) -> ErrorWords:
        """Find the server's own words in its four keys, in FastAPI's list, or in a page."""
        return error_words(status, body, _field_of)


def _put_fields(request: Txt2Img | Img2Img, draft: Draft) -> None:
    # In the order of the fields, so that bodies and losses come in the same order every time.
    for name in type(request).model_fields:
        value = getattr(request, name)
        if name not in request.model_fields_set or value is None:
            continue
        if name in _SAME:
            draft.put(name, value, name)
        elif name in _CANNOT:
            draft.drop(name, _CANNOT[name])
    if request.seed is not None and request.seed >= 0:
        draft.put("seed", request.seed, "seed")
    if request.styles:
        draft.put("styles", list(request.styles), "styles")
    for name in ("width", "height"):
        side = getattr(request, name)
        if side is not None and side % A1111.granularity_px:
            message = f"A1111 draws in multiples of 8 pixels: {side} becomes {side // 8 * 8}"
            draft.lose(name, "approximated", "warning", message)


def _put_overrides(request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
    """Write what A1111 has as options; it puts its own values back afterwards, so nobody else notices.

    The checkpoint stays loaded all the same: the next request that asks for it again loads nothing.
    """
    if request.model is not None:
        override(draft, "sd_model_checkpoint", request.model, "model")
        check_model(request.model, "model", draft, facts)
    if request.vae is not None:
        override(draft, "sd_vae", request.vae, "vae")
    if request.clip_skip is not None:
        if request.clip_skip > _CLIP_SKIP_MAX:
            draft.refuse("clip_skip", f"A1111 skips at most {_CLIP_SKIP_MAX} layers, not {request.clip_skip}")
        else:
            override(draft, "CLIP_stop_at_last_layers", request.clip_skip, "clip_skip")


def _put_init(request: Img2Img, draft: Draft) -> None:
    if request.init_image is None:
        raise PayloadError("Img2Img: init_image: missing; give the image to draw over")
    draft.put("init_images", [encode_base64(request.init_image)], "init_image")
    if request.size is None:
        # Left out, the image would be pressed into 512x512.
        own = init_size(request.init_image)
        draft.values.setdefault("width", own[0])
        draft.values.setdefault("height", own[1])
    if request.mask is not None:
        draft.put("mask", encode_base64(request.mask), "mask")
    if request.inpainting_mask_invert is not None:
        # A number on the wire, a choice of two in meaning.
        draft.put("inpainting_mask_invert", int(request.inpainting_mask_invert), "inpainting_mask_invert")


def _note_inherited_model(request: Txt2Img | Img2Img, draft: Draft) -> None:
    if "override_settings.sd_model_checkpoint" in draft.asked:
        return
    message = "the model that the server has loaded is used; name one to be sure of it"
    draft.lose("model", "inherited", "note" if request.inherit else "warning", message)


def _expected(values: Mapping[str, JsonValue]) -> Expected:
    # A script may give any number of images in any size.
    if values.get("script_name"):
        return Expected()
    images = cast("int", values.get("batch_size", 1)) * cast("int", values.get("n_iter", 1))
    final = (values.get("hr_resize_x"), values.get("hr_resize_y")) if values.get("enable_hr") else ()
    sides = final or (values.get("width"), values.get("height"))
    if any(not isinstance(side, int) or side <= 0 or side % A1111.granularity_px for side in sides):
        return Expected(images=images)
    return Expected(images=images, size=cast("tuple[int, int]", sides))


def _asked(request: Txt2Img | Img2Img, draft: Draft, sampler: SamplerChoice | None) -> dict[str, JsonValue]:
    """Return the settings that the reply's ``info`` will name, by the same names."""
    asked = {name: draft.values[name] for name in _ASKED if name in draft.values}
    if draft.values.get("enable_hr"):
        # There `info` tells of one pass or the other, by version.
        for name in ("width", "height", "denoising_strength"):
            asked.pop(name, None)
    if isinstance(request, Txt2Img):
        asked.pop("denoising_strength", None)
    if "sampler_name" in draft.values:
        asked["sampler_name"] = draft.values["sampler_name"]
    if "scheduler" in draft.values and sampler is not None:
        # Servers take a schedule by name or label, and answer with the label.
        asked["scheduler"] = schedule_label(str(draft.values["scheduler"]))
    if request.model is not None:
        asked["model"] = request.model
    if request.clip_skip is not None:
        asked["clip_skip"] = request.clip_skip
    return asked


def _field_of(key: str) -> str | None:
    """Return our spelling of a key that an error names."""
    others = {
        "init_images": "init_image",
        "refiner_checkpoint": "refiner.model",
        "refiner_switch_at": "refiner.switch_at",
        "hr_upscaler": "hires.upscaler",
        "hr_second_pass_steps": "hires.steps",
        "alwayson_scripts": "controls",
    }
    return others.get(key, key)
