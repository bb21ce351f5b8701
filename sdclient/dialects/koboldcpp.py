"""KoboldCpp: the image routes of a text server; one image a call, limits that clamp, and failures that look like success."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.base import Expected, Operation, Route, ServerFacts
from sdclient.dialects.draft import Draft
from sdclient.dialects.lora_tags import lose_tags
from sdclient.dialects.replies import Phrases
from sdclient.dialects.samplers import native_schedule
from sdclient.dialects.sdcpp import SdCpp
from sdclient.schemas.generation import Img2Img, Txt2Img
from sdclient.schemas.parts import HiresFix

__all__ = ["KoboldCpp"]

# Unverified [koboldcpp-newer]: newer versions may have more; what these offer is enough.
_ROUTES: tuple[Operation, ...] = (
    "txt2img",
    "img2img",
    "options",
    "models",
    "samplers",
    "upscalers",
    "latent_upscale_modes",
)
_CLAMPED: Mapping[str, tuple[float, float]] = {"steps": (1, 80), "cfg_scale": (1, 25)}
_MAX_BODY_CHARS = 32 * 1024 * 1024
_OLD_LONG_SIDE_PX = 1024
_OLD = (1, 76)


class KoboldCpp(SdCpp):
    """The dialect of KoboldCpp's image routes; what draws below them is stable-diffusion.cpp."""

    name = "koboldcpp"
    table: str = "koboldcpp"
    title = "KoboldCpp"
    overlay_names: tuple[str, ...] = ("koboldcpp",)
    routes: Mapping[Operation, Route] = {name: SdCpp.routes[name] for name in _ROUTES}
    ignored: Mapping[str, str] = {
        **{name: why for name, why in SdCpp.ignored.items() if name != "distilled_cfg_scale"},
        "loras": "has the LoRA it was started with, and no other",
        "hires": "draws in one pass, at the full size",
        "resize_mode": "fits the init image in its own way",
    }
    phrases: Phrases = ((r"error parsing input", "request"), (r"payload is too big", "init_image"))

    def recognises(self, options: Mapping[str, JsonValue]) -> bool:
        """Tell whether these are the two options that it has, with no image model loaded."""
        return super().recognises(options) and options["sd_model_checkpoint"] == "inactive"

    def put_prompt(self, request: Txt2Img | Img2Img, draft: Draft) -> None:
        """Write the prompt, empty or not: left out, it would be a prompt of KoboldCpp's own."""
        draft.put("prompt", request.prompt, "prompt")

    def put_fields(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the plain fields, and say what will be clamped."""
        super().put_fields(request, draft, facts)
        for name, (low, high) in _CLAMPED.items():
            value = cast("float | None", getattr(request, name))
            if value is not None and not low <= value <= high:
                kept = type(value)(min(max(value, low), high))
                message = f"KoboldCpp takes {low:g} to {high:g}, and makes {kept:g} of {value:g}"
                draft.lose(name, "approximated", "warning", message)
                # What it would make of it anyway, so that the body and the image's text tell what was drawn.
                draft.put(name, kept, name)
        if request.distilled_cfg_scale is not None and _is_old(facts):
            draft.drop("distilled_cfg_scale", "this version of KoboldCpp takes no guidance of distilled models")
        elif request.distilled_cfg_scale is not None:
            draft.put("distilled_guidance", request.distilled_cfg_scale, "distilled_cfg_scale")
        if isinstance(request, Img2Img) and request.mask is not None and _is_old(facts):
            # It would draw over the whole image, and call that a success.
            draft.refuse("mask", "this version of KoboldCpp takes no mask; update it")

    def check_size(self, request: Txt2Img | Img2Img, draft: Draft) -> None:
        """Say that a size may come out otherwise, by steps or by a limit of the server's."""
        for name in ("width", "height"):
            side = cast("int | None", getattr(request, name))
            if side is not None and (side % self.granularity_px or side > _OLD_LONG_SIDE_PX):
                message = f"KoboldCpp keeps to limits of its own and may draw another size than {side}"
                draft.lose(name, "approximated", "warning", message)

    def put_count(self, request: Txt2Img | Img2Img, draft: Draft) -> None:
        """Refuse more than one image."""
        if request.image_count > 1:
            field = "batch_size" if request.batch_size > 1 else "n_iter"
            draft.refuse(field, f"KoboldCpp makes one image a call, not {request.image_count}")

    def put_schedule(self, label: str, field: str, draft: Draft, facts: ServerFacts) -> None:
        """Write the schedule by the name below; KoboldCpp has no list of them, and an older one no such key."""
        if label == "Automatic":
            return
        if _is_old(facts):
            draft.drop(field, "this version of KoboldCpp has no schedules")
            return
        name, _ = native_schedule(label)
        draft.put("scheduler", name or label.casefold(), field)
        message = "KoboldCpp does not tell which schedules it knows, and ignores others without a word"
        draft.lose(field, "approximated", "note", message)

    def put_loras(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Leave the LoRAs to the loss: there is no key for them, and tags are words here."""
        del facts
        lose_tags(request.prompt, draft, "start it with that LoRA, and take the tag out")

    def put_init(self, request: Img2Img, draft: Draft) -> None:
        """Write the init image and its mask, within the size of a request that KoboldCpp takes."""
        super().put_init(request, draft)
        images = (*cast("list[str]", draft.values["init_images"]), draft.values.get("mask"))
        if sum(len(image) for image in images if isinstance(image, str)) > _MAX_BODY_CHARS:
            draft.refuse("init_image", "KoboldCpp takes requests of at most 32 MB; send a smaller image, or a JPEG")

    def put_hires(self, hires: HiresFix, request: Txt2Img, draft: Draft, facts: ServerFacts) -> None:
        """Leave the hires fix to the loss: there is no key for it."""

    def expected(self, draft: Draft) -> Expected:
        """Return what the reply must hold; its size is read from the image, since limits of the server's may change it."""
        del draft
        return Expected(images=1)


def _is_old(facts: ServerFacts) -> bool:
    """Tell whether a version is known, and as old as the last one without masks and schedules."""
    parts = (facts.version or "").split(".")[:2]
    numbers = tuple(int(part) for part in parts if part.isascii() and part.isdigit())
    return len(numbers) == len(_OLD) and numbers <= _OLD
