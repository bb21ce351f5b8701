"""SD.Next: A1111's requests with other samplers, JPEG unless told otherwise, and no ControlNet on these routes."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from sdclient.dialects.a1111 import A1111
from sdclient.dialects.a1111_names import close_hint, doubt_sampler, listed
from sdclient.dialects.a1111_parts import PIXEL_UPSCALER, put_hires
from sdclient.dialects.a1111_scripts import put_ultimate_upscale
from sdclient.dialects.base import Compiled, Operation, ReadReply, Route, ServerFacts
from sdclient.dialects.draft import Draft, shown
from sdclient.dialects.facts import sdnext_samplers
from sdclient.dialects.replies import reply_object
from sdclient.dialects.samplers import split_sampler
from sdclient.dialects.tables import script, sdnext_resize_modes, sdnext_sigmas
from sdclient.errors import BadReplyError
from sdclient.schemas.generation import Img2Img, Txt2Img
from sdclient.schemas.parts import HiresFix, Tiled

__all__ = ["SdNext"]

_ABSENT: tuple[Operation, ...] = ("latent_upscale_modes", "controlnet_models", "controlnet_modules")
# Its own names of samplers that A1111 calls otherwise.
_SAMPLERS: Mapping[str, str] = {"dpm2": "KDPM2", "dpm2 a": "KDPM2 a", "lms": "LMSD", "plms": "PNDM"}
_NEAREST: Mapping[str, str] = {"dpm++ 2s a": "DPM++ 1S", "dpm++ 2m sde heun": "DPM++ 2M SDE"}
# What enlarges by a plain resize, by the names of newer and older versions.
_PLAIN = ("Resize Lanczos", "Lanczos")
_FIXED = 1
# How a hires fix with both sides given is fitted elsewhere, too.
_CROP = 2
_BY_CONTEXT = 5
_LATENT = 3


class SdNext(A1111):
    """The dialect of SD.Next."""

    name = "sdnext"
    title = "SD.Next"
    short = "SD.Next"
    overlay_names: tuple[str, ...] = ("sdnext",)
    routes: Mapping[Operation, Route] = {name: route for name, route in A1111.routes.items() if name not in _ABSENT}
    same: frozenset[str] = A1111.same - {"restore_faces", "image_cfg_scale", "resize_mode"}
    cannot: Mapping[str, str] = {
        "distilled_cfg_scale": "SD.Next takes the guidance of distilled models from cfg_scale",
        "restore_faces": "SD.Next has no face restorer on this route; its detailer redraws faces",
        "image_cfg_scale": 'SD.Next has no such field; native={"sdnext": {"cfg_image": …}} is near',
    }

    def recognises(self, options: Mapping[str, JsonValue]) -> bool:
        """Tell whether these options hold some of the diffusers library's, which only SD.Next groups so."""
        # Not in any table of ours; where they are missing, its version route tells.
        return "sd_model_checkpoint" in options and any(name.startswith("diffusers_") for name in options)

    def read_reply(self, body: object, compiled: Compiled) -> ReadReply:
        """Take a reply apart as A1111's; without images it is what somebody interrupted, or there is no model.

        Raises:
            BadReplyError: If there are no images, or the shape is wrong.
        """
        if reply_object(body).get("images") == []:
            raise BadReplyError(
                "the reply has no images, though it says success: somebody probably interrupted the server, "
                "or it has no model loaded; draw it again, or look at its log",
                200,
            )
        return super().read_reply(body, compiled)

    def put_fields(self, request: Txt2Img | Img2Img, draft: Draft) -> None:
        """Write the plain fields, and ask for PNG: what it gives by itself is JPEG, lossy and without metadata."""
        super().put_fields(request, draft)
        draft.values["samples_format"] = "png"
        if request.shift is not None:
            draft.put("schedulers_shift", request.shift, "shift")

    def put_clip_skip(self, layers: int, draft: Draft) -> None:
        """Write the layers to skip, a key of its own here."""
        draft.put("clip_skip", layers, "clip_skip")

    def put_sampler(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the sampler by its own name, which no schedule is fused to, and the schedule as a setting."""
        choice = split_sampler(request.sampler_name or "", request.scheduler)
        if choice.schedule is not None:
            _put_schedule(choice.schedule, "scheduler" if request.scheduler else "sampler_name", draft)
        if request.sampler_name is None:
            return
        family = choice.sampler.casefold()
        name = listed(_SAMPLERS.get(family, choice.sampler), facts.samplers)
        if name is None or (facts.samplers is None and family in _NEAREST):
            near = listed(_NEAREST.get(family, ""), facts.samplers)
            if not near:
                hint = close_hint(choice.sampler, facts.samplers or ())
                draft.refuse("sampler_name", f"this server has no sampler {shown(request.sampler_name)}{hint}")
                return
            draft.lose("sampler_name", "approximated", "warning", f"SD.Next has no {choice.sampler}; {near} is used")
            name = near
        doubt_sampler(name, sdnext_samplers(), draft, facts)
        draft.put("sampler_name", name, "sampler_name")

    def put_refiner(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Drop the refiner, which is a model of the server's own settings here."""
        del facts
        if request.refiner is not None:
            draft.drop("refiner", "SD.Next chooses its refiner in its own settings; the image is drawn without one")

    def put_controls(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Refuse ControlNet: it lives on a route of its own, and naming the script would end in a 422."""
        del facts
        if request.controls:
            draft.refuse("controls", "SD.Next has ControlNet on another route only; leave controls out there")

    def put_tiled(self, tiled: Tiled, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Drop the tiles, which are settings of the server's here."""
        del request, facts
        for name, tiles in (("diffusion", tiled.diffusion), ("vae", tiled.vae)):
            if tiles is not None:
                draft.drop(f"tiled.{name}", "SD.Next has tiles in its own settings only; it may run out of memory")

    def put_adetailer(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the first detector for SD.Next's own detailer, which chooses the model by its settings."""
        del facts
        if not request.adetailer:
            return
        unit = request.adetailer[0]
        draft.put("detailer_enabled", value=True, field="adetailer")
        for key, value in (
            ("detailer_prompt", unit.prompt),
            ("detailer_negative", unit.negative_prompt),
            ("detailer_steps", unit.steps),
            ("detailer_strength", unit.denoising_strength),
        ):
            if value is not None:
                draft.put(key, value, "adetailer[0]")
        message = "SD.Next's own detailer is used: prompt, steps and strength as asked, all else by its settings"
        draft.lose("adetailer", "approximated", "warning", message)

    def put_init(self, request: Img2Img, draft: Draft) -> None:
        """Write the init image with a way to fit it: by itself SD.Next would keep the image's size, not the request's."""
        super().put_init(request, draft)
        mode = request.resize_mode
        if mode == _LATENT:
            message = "SD.Next does not stretch in latent space; it stretches the image"
            draft.lose("resize_mode", "approximated", "warning", message)
        number = sdnext_resize_modes().get(mode or 0, _FIXED)
        if mode is None:
            draft.values["resize_mode"] = number
        else:
            draft.put("resize_mode", number, "resize_mode")

    def put_script(self, request: Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the upscale script, which has another title and fewer arguments here."""
        if request.ultimate_upscale is not None:
            known = script("sdnext_ultimate_upscale")
            put_ultimate_upscale(request.ultimate_upscale, known, request, draft, facts)
        elif request.sd_upscale is not None:
            draft.refuse("sd_upscale", "SD.Next does not have A1111's script; use ultimate_upscale or enlarge")

    def put_hires(self, hires: HiresFix, request: Txt2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the hires fix, with a second pass for every upscaler and its strength under both names."""
        # Its own latent modes are in its list of upscalers; for a name that is not it takes a plain resize.
        put_hires(hires, request, draft, facts, latent=())
        if "enable_hr" in draft.values:
            draft.put("hr_denoising_strength", hires.strength, "hires.strength")
            # Else a plain resize would do without the second pass.
            draft.values["hr_force"] = True
            if hires.upscaler is None:
                known = facts.upscalers or ()
                draft.values["hr_upscaler"] = next((name for name in _PLAIN if name in known), PIXEL_UPSCALER)

    def complete(self, request: Txt2Img | Img2Img, draft: Draft) -> None:
        """Complete a hires fix: with resize mode 0, its default here, the image stays as large as the first pass."""
        super().complete(request, draft)
        values = draft.values
        if not values.get("enable_hr"):
            return
        mode = values.setdefault("hr_resize_mode", _CROP)
        if mode == 0 or (values.get("hr_upscaler") == "None" and mode != _BY_CONTEXT):
            key = "hr_resize_mode" if mode == 0 else "hr_upscaler"
            field = draft.asked.get(key, "hires")
            draft.refuse(
                field, f"SD.Next enlarges nothing where {key} is {values[key]}; leave it out for a plain resize"
            )


def _put_schedule(label: str, field: str, draft: Draft) -> None:
    sigma = sdnext_sigmas().get(label)
    if sigma is not None:
        draft.put("schedulers_sigma", sigma, field)
    elif label != "Automatic":
        draft.drop(field, f"SD.Next has no {label} schedule; its own for the sampler is used")
