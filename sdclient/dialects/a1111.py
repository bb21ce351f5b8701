"""AUTOMATIC1111, 1.8 to 1.10: what is unset is not sent, and what is wrong is mostly swallowed in silence.

Forge and SD.Next descend from it, and so do their dialects: each step of ``compile`` is a method that they
override where they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.a1111_names import put_sampler, spelled_model
from sdclient.dialects.a1111_native import MODEL_OPTION, NativeTables, put_native
from sdclient.dialects.a1111_parts import (
    CONTROL_TITLE,
    check_controls,
    control_unit,
    follow_ups,
    named_sides,
    put_hires,
    put_loras,
    put_refiner,
)
from sdclient.dialects.a1111_reply import BETWEEN_IMAGES, read_generation
from sdclient.dialects.a1111_scripts import (
    put_adetailer,
    put_sd_upscale,
    put_tiled,
    put_ultimate_upscale,
    script_expected,
)
from sdclient.dialects.base import Call, Compiled, ErrorWords, Expected, Operation, ReadReply, Route, ServerFacts
from sdclient.dialects.draft import Draft
from sdclient.dialects.initsize import init_size
from sdclient.dialects.losses import sort_losses
from sdclient.dialects.replies import Phrases, error_words
from sdclient.dialects.samplers import schedule_label
from sdclient.dialects.tables import script
from sdclient.errors import PayloadError
from sdclient.images import encode_base64
from sdclient.schemas.generation import Img2Img, Txt2Img
from sdclient.schemas.parts import ControlNet, HiresFix, Tiled

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
    "styles": Route("GET", f"{_API}/prompt-styles"),
    "scripts": Route("GET", f"{_API}/scripts"),
    "script_info": Route("GET", f"{_API}/script-info"),
    "memory": Route("GET", f"{_API}/memory"),
    "controlnet_models": Route("GET", "/controlnet/model_list"),
    "controlnet_modules": Route("GET", "/controlnet/module_list"),
}
# Fields that are keys of the same name and meaning.
_SAME = frozenset(
    {
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
    }
)
_CANNOT: Mapping[str, str] = {
    "distilled_cfg_scale": "A1111 has no guidance of distilled models; Forge has",
    "shift": "A1111 has no sigma shift",
}
_PHRASES: Phrases = (
    (r"sampler not found", "sampler_name"),
    (r"init image", "init_image"),
    (r"script '?controlnet", "controls"),
    (r"script '?adetailer", "adetailer"),
    (r"script '?tiled diffusion|script '?multidiffusion", "tiled.diffusion"),
    (r"script '?tiled vae|script '?never oom", "tiled.vae"),
    (r"script '?ultimate sd upscale", "ultimate_upscale"),
    (r"could not find upscaler", "hires.upscaler"),
    (r"could not find checkpoint", "refiner.model"),
    (r"invalid encoded image", "init_image"),
)
_CLIP_SKIP_MAX = 12
_ASKED = ("steps", "cfg_scale", "seed", "subseed", "width", "height", "denoising_strength")
_WIRE_NAMES: Mapping[str, str] = {
    "init_images": "init_image",
    "refiner_checkpoint": "refiner.model",
    "refiner_switch_at": "refiner.switch_at",
    "hr_upscaler": "hires.upscaler",
    "hr_second_pass_steps": "hires.steps",
    "alwayson_scripts": "controls",
}


class A1111:
    """The dialect of AUTOMATIC1111's web UI, and the one that others descend from."""

    name = "a1111"
    title = "AUTOMATIC1111"
    short = "A1111"
    """Name in messages."""
    overlay_names: tuple[str, ...] = ("a1111",)
    granularity_px = 8
    resizes_inits = True
    loras_by_path = False
    vaes_by_file = False
    routes: Mapping[Operation, Route] = _ROUTES
    same: frozenset[str] = _SAME
    """Fields that are keys of the same name and meaning."""
    cannot: Mapping[str, str] = _CANNOT
    """Fields that are dropped, and why."""
    phrases: Phrases = _PHRASES
    """What errors say, and the field they mean."""

    def route(self, operation: Operation) -> Route | None:
        """Return where an operation lives."""
        return self.routes.get(operation)

    def recognises(self, options: Mapping[str, JsonValue]) -> bool:
        """Tell whether these options are A1111's several hundred."""
        return "CLIP_stop_at_last_layers" in options and "sd_model_checkpoint" in options

    def compile(self, request: Txt2Img | Img2Img, facts: ServerFacts) -> Compiled:
        """Turn a request into one call, and one more for each image where it is enlarged.

        Raises:
            PayloadError: If a ``native`` key or value is none of this server's, or img2img has no init image.
        """
        draft = Draft(program=self.short)
        self.put_fields(request, draft)
        self.put_overrides(request, draft, facts)
        self.put_sampler(request, draft, facts)
        put_loras(request, draft)
        self.put_refiner(request, draft, facts)
        self.put_controls(request, draft, facts)
        if request.tiled is not None:
            self.put_tiled(request.tiled, request, draft, facts)
        self.put_adetailer(request, draft, facts)
        if isinstance(request, Img2Img):
            self.put_init(request, draft)
            self.put_script(request, draft, facts)
        elif request.hires is not None:
            self.put_hires(request.hires, request, draft, facts)
        then = follow_ups(request, draft, facts)
        self.put_native(request, draft, facts)
        self.complete(request, draft)
        return Compiled(
            call=Call(self.routes[request.kind], draft.values),
            losses=sort_losses(draft.losses),
            then=then,
            expected=self.expected(request, draft),
            asked=_asked(request, draft),
        )

    def read_reply(self, body: object, compiled: Compiled) -> ReadReply:
        """Take a reply apart: the grid before the images and the maps behind them are no images.

        Raises:
            BadReplyError: If there are no images, or the shape is wrong.
        """
        return read_generation(body, compiled)

    def read_error(self, status: int, body: object) -> ErrorWords:
        """Find the server's own words in its keys, in FastAPI's list, in a bare text, or in a page."""
        return error_words(status, body, lambda key: _WIRE_NAMES.get(key, key), self.phrases)

    # --- the steps of compile, for others to override ------------------------------------------------------------------

    def put_fields(self, request: Txt2Img | Img2Img, draft: Draft) -> None:
        """Write the fields that are one key each."""
        # In the order of the fields, so that bodies and losses come in the same order every time.
        for name in type(request).model_fields:
            value = getattr(request, name)
            # Unverified [null-fails]: null may fail or be the default; what is unset stays out.
            if name not in request.model_fields_set or value is None:
                continue
            if name in self.same:
                draft.put(name, value, name)
            elif name in self.cannot and value is not False:
                draft.drop(name, self.cannot[name])
        if request.seed is not None and request.seed >= 0:
            draft.put("seed", request.seed, "seed")
        if request.styles:
            draft.put("styles", list(request.styles), "styles")
        for name, side in named_sides(request):
            if side % self.granularity_px:
                message = f"{self.short} draws in multiples of 8 pixels: {side} becomes {side // 8 * 8}"
                draft.lose(name, "approximated", "warning", message)

    def put_overrides(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write what A1111 has as options; it puts its own values back afterwards, so nobody else notices.

        The checkpoint stays loaded all the same: the next request that asks for it again loads nothing.
        """
        if request.model is not None:
            draft.override(MODEL_OPTION, spelled_model(request.model, "model", draft, facts), "model")
        if request.vae is not None:
            self.put_vae(request.vae, draft)
        if request.clip_skip is not None:
            self.put_clip_skip(request.clip_skip, draft)
        if isinstance(request, Img2Img) and request.mask is not None:
            for option in BETWEEN_IMAGES:
                if (facts.options or {}).get(option) is True:
                    draft.override(option, value=False, field="mask")

    def put_vae(self, vae: str, draft: Draft) -> None:
        """Write the VAE."""
        # In letters of another case the server would look for a file of that name.
        draft.override("sd_vae", {"automatic": "Automatic", "none": "None"}.get(vae.casefold(), vae), "vae")

    def put_clip_skip(self, layers: int, draft: Draft) -> None:
        """Write the layers to skip."""
        if layers > _CLIP_SKIP_MAX:
            draft.refuse("clip_skip", f"{self.short} skips at most {_CLIP_SKIP_MAX} layers, not {layers}")
        else:
            draft.override("CLIP_stop_at_last_layers", layers, "clip_skip")

    def put_sampler(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write sampler and schedule."""
        put_sampler(request.sampler_name, request.scheduler, draft, facts)

    def put_refiner(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the refiner."""
        put_refiner(request, draft, facts)

    def put_controls(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the ControlNet units."""
        if check_controls(request, draft, facts):
            units: list[JsonValue] = [
                self.control_unit(unit, f"controls[{n}]", draft, facts) for n, unit in enumerate(request.controls)
            ]
            draft.add_script(CONTROL_TITLE, units, "controls")

    def control_unit(self, unit: ControlNet, field: str, draft: Draft, facts: ServerFacts) -> JsonValue:
        """Return one ControlNet unit."""
        del facts
        return control_unit(unit, field, draft)

    def put_tiled(self, tiled: Tiled, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the tiles."""
        put_tiled(tiled, request, draft, facts)

    def put_adetailer(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the detectors."""
        put_adetailer(request, draft, facts)

    def put_init(self, request: Img2Img, draft: Draft) -> None:
        """Write the init image and its mask.

        Raises:
            PayloadError: If there is no init image.
        """
        if request.init_image is None:
            raise PayloadError("Img2Img: init_image: missing; give the image to draw over")
        draft.put("init_images", [encode_base64(request.init_image)], "init_image")
        if request.size is None:
            # Left out, the image would be pressed into the server's default size.
            own = init_size(request.init_image)
            draft.values.setdefault("width", own[0])
            draft.values.setdefault("height", own[1])
        if request.mask is not None:
            draft.put("mask", encode_base64(request.mask), "mask")
        if request.inpainting_mask_invert is not None:
            # A number on the wire, a choice of two in meaning.
            draft.put("inpainting_mask_invert", int(request.inpainting_mask_invert), "inpainting_mask_invert")

    def put_script(self, request: Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the script that enlarges by redrawing."""
        if request.ultimate_upscale is not None:
            put_ultimate_upscale(request.ultimate_upscale, script("ultimate_upscale"), request, draft, facts)
        elif request.sd_upscale is not None:
            put_sd_upscale(request.sd_upscale, request, draft, facts)

    def put_hires(self, hires: HiresFix, request: Txt2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the hires fix."""
        put_hires(hires, request, draft, facts)

    def put_native(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the native keys.

        Raises:
            PayloadError: If a key or value is none of this server's.
        """
        put_native(request.native.get(self.name, {}), NativeTables.of(self.name, request.kind), draft, facts)

    def complete(self, request: Txt2Img | Img2Img, draft: Draft) -> None:
        """Look at the whole body, whoever wrote it."""
        # Unverified [hires-without-strength]: it may fail or take a default; neither was asked for.
        if draft.values.get("enable_hr") and draft.values.get("denoising_strength") is None:
            message = "needs denoising_strength beside it, or this server fails"
            draft.refuse(f"native.{self.name}.enable_hr", message)
        if _named_model(draft) is None:
            message = "the model that the server has loaded is used; name one to be sure of it"
            draft.lose("model", "inherited", "note" if request.inherit else "warning", message)

    def expected(self, request: Txt2Img | Img2Img, draft: Draft) -> Expected:
        """Return what the reply must hold."""
        values = draft.values
        # A script may give any number of images in any size.
        if values.get("script_name"):
            is_typed = isinstance(request, Img2Img) and "script_name" in draft.asked and not _is_native(draft)
            return script_expected(cast("Img2Img", request)) if is_typed else Expected()
        images = cast("int", values.get("batch_size", 1)) * cast("int", values.get("n_iter", 1))
        final = (values.get("hr_resize_x"), values.get("hr_resize_y")) if values.get("enable_hr") else ()
        sides = final or (values.get("width"), values.get("height"))
        if any(not isinstance(side, int) or side <= 0 or side % self.granularity_px for side in sides):
            return Expected(images=images)
        return Expected(images=images, size=cast("tuple[int, int]", sides))


def _is_native(draft: Draft) -> bool:
    return draft.asked["script_name"].startswith("native.")


def _named_model(draft: Draft) -> JsonValue:
    """Return the model that the body names, whichever way it does; None where it names none."""
    options = draft.values.get("override_settings")
    named = options.get(MODEL_OPTION) if isinstance(options, dict) else None
    return named or draft.values.get(MODEL_OPTION) or None


def _asked(request: Txt2Img | Img2Img, draft: Draft) -> dict[str, JsonValue]:
    """Return the settings that the reply's ``info`` will name, by the same names."""
    asked = {name: draft.values[name] for name in _ASKED if name in draft.values}
    for name in ("width", "height"):
        if isinstance(side := asked.get(name), int) and side % A1111.granularity_px:
            # A loss tells what it becomes; `info` may tell what was asked, or what was drawn.
            del asked[name]
    if draft.values.get("enable_hr") or draft.values.get("script_name"):
        # There `info` tells of one pass or tile or the other, by version.
        for name in ("width", "height", "denoising_strength"):
            asked.pop(name, None)
    if isinstance(request, Txt2Img):
        asked.pop("denoising_strength", None)
    if "sampler_name" in draft.values:
        asked["sampler_name"] = draft.values["sampler_name"]
    if "scheduler" in draft.values:
        # Servers take a schedule by name or label, and answer with the label.
        asked["scheduler"] = schedule_label(str(draft.values["scheduler"]))
    if (model := _named_model(draft)) is not None:
        asked["model"] = model
    if request.clip_skip is not None:
        asked["clip_skip"] = request.clip_skip
    return asked
