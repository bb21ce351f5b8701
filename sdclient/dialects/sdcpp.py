"""stable-diffusion.cpp's ``sd-server``: one model from its start, a few keys, and silence about what it ignores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.a1111_names import close_hint, listed, model_stem, model_titles
from sdclient.dialects.a1111_parts import named_sides, put_hires
from sdclient.dialects.a1111_reply import read_generation
from sdclient.dialects.base import Call, Compiled, ErrorWords, Expected, Operation, ReadReply, Route, ServerFacts
from sdclient.dialects.draft import Draft, is_about_no_mask, shown
from sdclient.dialects.facts import close_names, few_names
from sdclient.dialects.initsize import init_size
from sdclient.dialects.lora_tags import LoraTag, lose_tags, take_tags
from sdclient.dialects.losses import sort_losses
from sdclient.dialects.replies import Phrases, error_words
from sdclient.dialects.samplers import native_sampler, native_schedule, split_sampler
from sdclient.dialects.tables import body_keys, small_samplers, small_schedulers
from sdclient.errors import PayloadError
from sdclient.images import encode_base64
from sdclient.schemas.generation import Img2Img, Txt2Img
from sdclient.schemas.parts import HiresFix, Lora, Tiled

__all__ = ["SdCpp"]

_API = "/sdapi/v1"
_ROUTES: Mapping[Operation, Route] = {
    "txt2img": Route("POST", f"{_API}/txt2img"),
    "img2img": Route("POST", f"{_API}/img2img"),
    "options": Route("GET", f"{_API}/options"),
    "models": Route("GET", f"{_API}/sd-models"),
    "samplers": Route("GET", f"{_API}/samplers"),
    "schedulers": Route("GET", f"{_API}/schedulers"),
    "upscalers": Route("GET", f"{_API}/upscalers"),
    "latent_upscale_modes": Route("GET", f"{_API}/latent-upscale-modes"),
    "loras": Route("GET", f"{_API}/loras"),
}
_IGNORED: Mapping[str, str] = {
    "vae": "takes the VAE it was started with",
    "subseed": "has one seed only",
    "subseed_strength": "has one seed only",
    "styles": "has no prompt styles; write their words into the prompt",
    "restore_faces": "has no face restorer",
    "tiling": "makes no seamless images",
    "eta": "takes no eta on this route",
    "distilled_cfg_scale": "takes no guidance of distilled models on this route",
    "shift": "takes no sigma shift on this route",
    "tiled": "has tiles by its start-up flags only; it may run out of memory",
    "refiner": "has no refiner; the image is drawn by one model",
    "adetailer": "redraws no faces",
    "resize_mode": "crops and resizes the init image, and knows no other way",
    "image_cfg_scale": "takes no guidance by the init image on this route",
    "mask_blur": "takes the mask as it is",
    "inpainting_fill": "starts from the image under the mask",
    "inpaint_full_res": "works on the whole image",
    "inpaint_full_res_padding": "works on the whole image",
}
_REFUSED: Mapping[str, str] = {
    "enlarge": "has no upscaler for finished images, and they would stay small; set enlarge to null",
    "controls": "takes no ControlNet on this route; leave controls out",
    "ultimate_upscale": "runs no scripts, and the image would stay small",
    "sd_upscale": "runs no scripts, and the image would stay small",
}
_NOT_NATIVE: Mapping[str, str] = {
    "init_images": "the image goes into init_image",
    "mask": "the mask goes into mask",
}
_PHRASES: Phrases = (
    (r"prompt required", "prompt"),
    (r"lora", "loras"),
    (r"width|height", "width"),
    (r"sampler|sample.method", "sampler_name"),
    (r"scheduler", "scheduler"),
    (r"upscaler", "hires.upscaler"),
)
_LORA_ENDINGS = (".safetensors", ".gguf", ".ckpt", ".pt")
_ASKED = ("steps", "cfg_scale", "seed", "clip_skip")
_SIDES = ("width", "height")
_HIRES_SIDES = ("hr_resize_x", "hr_resize_y")


class SdCpp:
    """The dialect of stable-diffusion.cpp's server, which KoboldCpp's descends from."""

    name = "sdcpp"
    title = "stable-diffusion.cpp"
    overlay_names: tuple[str, ...] = ("sdcpp",)
    # What it rounds sizes to is not told; multiples of 64 suit every model.
    granularity_px = 64
    resizes_inits = False
    loras_by_path = True
    routes: Mapping[Operation, Route] = _ROUTES
    table: str = "sdcpp"
    """Whose tables of keys and samplers hold."""
    ignored: Mapping[str, str] = _IGNORED
    """Fields that are dropped, and why."""
    refused: Mapping[str, str] = _REFUSED
    """Fields that would change what comes back, and why they cannot be."""
    phrases: Phrases = _PHRASES
    """What errors say, and the field they mean."""

    def route(self, operation: Operation) -> Route | None:
        """Return where an operation lives."""
        return self.routes.get(operation)

    def recognises(self, options: Mapping[str, JsonValue]) -> bool:
        """Tell whether these are the two options that it has; KoboldCpp has the same two."""
        return set(options) == {"samples_format", "sd_model_checkpoint"}

    def compile(self, request: Txt2Img | Img2Img, facts: ServerFacts) -> Compiled:
        """Turn a request into one call.

        Raises:
            PayloadError: If a ``native`` key or value is none of this server's, or img2img has no init image.
        """
        draft = Draft(program=self.title)
        self.put_prompt(request, draft)
        self.put_fields(request, draft, facts)
        self.put_count(request, draft)
        self.put_sampler(request, draft, facts)
        self.put_loras(request, draft, facts)
        for name in type(request).model_fields:
            value = getattr(request, name)
            # What is switched off and cannot be done is as asked.
            if name not in request.model_fields_set or value is False or value in (None, (), Tiled()):
                continue
            if name in self.refused:
                draft.refuse(name, f"{self.title} {self.refused[name]}")
            elif name in self.ignored and not is_about_no_mask(name, request):
                draft.drop(name, f"{self.title} {self.ignored[name]}")
        if isinstance(request, Img2Img):
            self.put_init(request, draft)
        elif request.hires is not None:
            self.put_hires(request.hires, request, draft, facts)
        self.put_native(request, draft, facts)
        self.check_model(request, draft, facts)
        # In a hires fix the reply tells the size of one pass or the other; the image's own is the second's.
        sizes = _HIRES_SIDES if draft.values.get("enable_hr") else _SIDES
        asked = {name: draft.values[name] for name in (*_ASKED, *sizes) if name in draft.values}
        return Compiled(
            call=Call(self.routes[request.kind], draft.values),
            losses=sort_losses(draft.losses),
            expected=self.expected(draft),
            asked=asked | self.asked_more(request, draft),
        )

    def read_reply(self, body: object, compiled: Compiled) -> ReadReply:
        """Take a reply apart. Older builds give an empty ``info``, newer ones an object in a string.

        Raises:
            BadReplyError: If there are no images, or the shape is wrong.
        """
        read = read_generation(body, compiled)
        # The schedule comes in its own spelling there, whichever way it was asked for.
        applied = {name: value for name, value in read.applied.items() if name != "vae"}
        return replace(read, applied=applied)

    def read_error(self, status: int, body: object) -> ErrorWords:
        """Find the server's own words."""
        return error_words(status, body, lambda key: {"init_images": "init_image"}.get(key, key), self.phrases)

    # --- the steps of compile, for others to override ------------------------------------------------------------------

    def put_prompt(self, request: Txt2Img | Img2Img, draft: Draft) -> None:
        """Write the prompt, which must not be empty here."""
        draft.put("prompt", request.prompt, "prompt")
        if not request.prompt:
            draft.refuse("prompt", f"{self.title} refuses an empty prompt; write at least a word")

    def put_fields(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the fields that are one key each."""
        del facts
        if request.negative_prompt:
            draft.put("negative_prompt", request.negative_prompt, "negative_prompt")
        for name in ("width", "height", "steps", "cfg_scale", "clip_skip"):
            value = cast("JsonValue", getattr(request, name))
            if value is not None:
                draft.put(name, value, name)
        if request.seed is not None and request.seed >= 0:
            draft.put("seed", request.seed, "seed")
        self.check_size(request, draft)

    def check_size(self, request: Txt2Img | Img2Img, draft: Draft) -> None:
        """Say that a size may come out otherwise; not every build rounds, and none tells to what."""
        for name, side in named_sides(request):
            if side % self.granularity_px:
                message = (
                    f"{self.title} may draw another size than {side}; what it rounds to depends on the model, "
                    f"and multiples of {self.granularity_px} suit every one"
                )
                draft.lose(name, "approximated", "warning", message)

    def put_count(self, request: Txt2Img | Img2Img, draft: Draft) -> None:
        """Write how many images to make, one number here."""
        if request.image_count > 1:
            draft.put("batch_size", request.image_count, "batch_size")
        if request.n_iter > 1:
            message = f"{self.title} has one number of images: {request.image_count} in one batch"
            draft.lose("n_iter", "approximated", "note", message)

    def put_sampler(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write sampler and schedule by the server's own names; an unknown one it would ignore without a word."""
        choice = split_sampler(request.sampler_name or "", request.scheduler)
        if choice.schedule is not None:
            field = "scheduler" if request.scheduler else "sampler_name"
            self.put_schedule(choice.schedule, field, draft, facts)
        if request.sampler_name is None:
            return
        # Unverified [koboldcpp-sampler]: an unknown one may become any other; only known names are sent.
        known = facts.samplers or self.samplers()
        name, difference = native_sampler(choice.sampler, self.samplers())
        # A newer build may list one that is in no table here.
        found = listed(name, known) if name else listed(choice.sampler, facts.samplers or ())
        if found is None:
            message = f"{self.title} has no sampler {shown(request.sampler_name)}{close_hint(choice.sampler, known)}"
            draft.refuse("sampler_name", message)
            return
        if difference:
            draft.lose("sampler_name", "approximated", "warning", f"{self.title} has no {difference}; {found} is used")
        draft.put("sampler_name", found, "sampler_name")

    def samplers(self) -> Sequence[str]:
        """Return the samplers this program has."""
        return small_samplers(self.table)

    def put_schedule(self, label: str, field: str, draft: Draft, facts: ServerFacts) -> None:
        """Write the schedule."""
        if label == "Automatic":
            return
        known = facts.schedulers or small_schedulers()
        name, is_near = native_schedule(label)
        found = listed(name or label, known)
        if found is None:
            draft.refuse(field, f"{self.title} has no schedule {shown(label)}{close_hint(label, known)}")
            return
        if is_near:
            draft.lose(field, "approximated", "warning", f"{self.title} has no {label} schedule; {found} is used")
        draft.put("scheduler", found, field)

    def put_loras(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the LoRAs by their path in the server's list, those of tags, too: it would read a tag as words."""
        items = [_lora(lora, f"loras[{n}]", draft, facts) for n, lora in enumerate(request.loras)]
        words, tagged = _without_tags(request.prompt, facts)
        if tagged:
            draft.put("prompt", words, "prompt")
        if items or tagged:
            field = "loras" if items else "prompt"
            draft.put("lora", [item for item in (*items, *tagged) if item is not None], field)
        lose_tags(words, draft, "name a LoRA of its list, with one weight")

    def put_init(self, request: Img2Img, draft: Draft) -> None:
        """Write the init image and its mask.

        Raises:
            PayloadError: If there is no init image: the server would draw something else without a word.
        """
        if request.init_image is None:
            raise PayloadError("Img2Img: init_image: missing; give the image to draw over")
        draft.put("init_images", [encode_base64(request.init_image)], "init_image")
        if request.size is None:
            own = init_size(request.init_image)
            draft.values.setdefault("width", own[0])
            draft.values.setdefault("height", own[1])
        if request.denoising_strength is not None:
            draft.put("denoising_strength", request.denoising_strength, "denoising_strength")
        if request.mask is not None:
            draft.put("mask", encode_base64(request.mask), "mask")
        if request.inpainting_mask_invert is not None:
            draft.put("inpainting_mask_invert", int(request.inpainting_mask_invert), "inpainting_mask_invert")

    def put_hires(self, hires: HiresFix, request: Txt2Img, draft: Draft, facts: ServerFacts) -> None:
        """Write the hires fix."""
        put_hires(hires, request, draft, facts, steps_key="hr_steps", latent=("Latent",))

    def put_native(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Merge the native keys.

        Raises:
            PayloadError: If a key or value is none of this server's, or a field of the request sets it, too.
        """
        table = body_keys(self.table, request.kind)
        for name, value in request.native.get(self.name, {}).items():
            where = f"native.{self.name}.{name[:60]}"
            if name in _NOT_NATIVE:
                raise PayloadError(f"{where}: cannot be set: {_NOT_NATIVE[name]}")
            if name not in table:
                raise PayloadError(f"{where}: unknown key{close_names(name, table.spellings)}")
            problem = table[name].problem(value)
            # null for a number ends in a 500 there.
            if problem is not None or value is None:
                raise PayloadError(f"{where}: must be {problem or 'left out rather than null'}, not {shown(value)}")
            draft.claim_native(name, where)
            self._check_choice(name, value, where, draft, facts)
            draft.values[name] = value

    def _check_choice(self, name: str, value: JsonValue, where: str, draft: Draft, facts: ServerFacts) -> None:
        """Refuse a sampler or schedule that nobody lists; the server would draw with its own and say nothing."""
        lists = {
            "sampler_name": (*self.samplers(), *(facts.samplers or ())),
            "scheduler": (*small_schedulers(), *(facts.schedulers or ())),
        }
        if name in lists and listed(str(value), lists[name]) is None:
            what = "sampler" if name == "sampler_name" else "schedule"
            hint = close_hint(str(value), lists[name])
            draft.refuse(where, f"{self.title} has no {what} {shown(value)}{hint}")

    def check_model(self, request: Txt2Img | Img2Img, draft: Draft, facts: ServerFacts) -> None:
        """Say that the server draws with the model it was started with, and refuse to wait for another."""
        if request.model is None:
            message = "the model that the server was started with is used"
            draft.lose("model", "inherited", "note" if request.inherit else "warning", message)
        elif facts.models is None:
            message = f"{self.title} keeps to the model it was started with; that it is this one is not known here"
            draft.lose("model", "inherited", "warning", message)
        elif model_stem(request.model) not in {model_stem(name) for name in facts.models}:
            has = few_names(model_titles(facts.models), 2) or "none"
            message = f"{self.title} was started with {has} and changes no model; start it with {shown(request.model)}"
            draft.refuse("model", message)

    def expected(self, draft: Draft) -> Expected:
        """Return what the reply must hold."""
        values = draft.values
        final = (values.get("hr_resize_x"), values.get("hr_resize_y")) if values.get("enable_hr") else ()
        sides = final or (values.get("width"), values.get("height"))
        images = cast("int", values.get("batch_size", 1))
        if any(not isinstance(side, int) or side <= 0 or side % self.granularity_px for side in sides):
            return Expected(images=images)
        return Expected(images=images, size=cast("tuple[int, int]", sides))

    def asked_more(self, request: Txt2Img | Img2Img, draft: Draft) -> dict[str, JsonValue]:
        """Return further settings that the reply will name."""
        more: dict[str, JsonValue] = {}
        if "sampler_name" in draft.values:
            more["sampler_name"] = draft.values["sampler_name"]
        if "scheduler" in draft.values:
            more["scheduler"] = draft.values["scheduler"]
        if isinstance(request, Img2Img) and "denoising_strength" in draft.values:
            more["denoising_strength"] = draft.values["denoising_strength"]
        if request.model is not None:
            more["model"] = request.model
        return more


def _lora(lora: Lora, field: str, draft: Draft, facts: ServerFacts) -> JsonValue:
    if lora.mode != "all":
        message = f"{draft.program} cannot give a LoRA to the {lora.mode} model alone; it is applied to all"
        draft.lose(f"{field}.mode", "approximated", "warning", message)
    path = lora.model.replace("\\", "/")
    found = _lora_path(path, facts)
    if found is None and facts.loras is not None:
        hint = close_names(path, facts.loras) or (f"; it has {few_names(facts.loras)}" if facts.loras else "")
        draft.refuse(f"{field}.model", f"this server has no LoRA {shown(lora.model)}{hint}")
        return None
    return {"path": found, "multiplier": lora.weight}


def _lora_path(path: str, facts: ServerFacts) -> str | None:
    if facts.loras is None:
        # The list is of files, so a bare name is given the usual ending.
        return path if path.endswith(_LORA_ENDINGS) else f"{path}.safetensors"
    stem = _stem(path)
    return path if path in facts.loras else next((item for item in facts.loras if _stem(item) == stem), None)


def _without_tags(prompt: str, facts: ServerFacts) -> tuple[str, list[JsonValue]]:
    """Take the tags that the server has a LoRA for out of a prompt; without any word left, it would be refused."""
    items: list[JsonValue] = []

    def is_taken(tag: LoraTag) -> bool:
        path = None if tag.weight is None else _lora_path(tag.name, facts)
        if path is not None:
            items.append({"path": path, "multiplier": tag.weight})
        return path is not None

    words = take_tags(prompt, is_taken)
    return (words, items) if words and items else (prompt, [])


def _stem(path: str) -> str:
    name = PurePosixPath(path).name
    for ending in _LORA_ENDINGS:
        name = name.removesuffix(ending)
    return name.casefold()
