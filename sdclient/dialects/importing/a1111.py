"""A1111's JSON read: the body of a txt2img or img2img request, of A1111 itself or of Forge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, cast

from pydantic import JsonValue

from sdclient.dialects.a1111 import A1111
from sdclient.dialects.a1111_names import listed
from sdclient.dialects.a1111_native import REFUSED, NativeTables, check_args, check_script
from sdclient.dialects.a1111_parts import CONTROL_TITLE
from sdclient.dialects.a1111_scripts import ADETAILER_TITLE
from sdclient.dialects.base import ServerFacts
from sdclient.dialects.facts import KeyTable, a1111_samplers, a1111_schedulers
from sdclient.dialects.forge import Forge
from sdclient.dialects.importing.drawthings import blank_image, checked_image
from sdclient.dialects.importing.result import Imported
from sdclient.dialects.initsize import init_size
from sdclient.dialects.samplers import schedule_label, split_sampler
from sdclient.dialects.tables import Kind, adetailer_keys, body_keys, img2img_size_defaults, runs_unasked
from sdclient.errors import PayloadError
from sdclient.schemas.base import CheckedImage
from sdclient.schemas.generation import Img2Img, Txt2Img
from sdclient.schemas.parts import ControlNet
from sdclient.schemas.scripts import ADetailer

__all__ = ["canonical_body", "import_body"]

Body = dict[str, JsonValue]
Name = Literal["a1111", "forge"]

_DIALECTS = {"a1111": A1111(), "forge": Forge()}
_SHARED = (
    *("prompt", "negative_prompt", "subseed", "subseed_strength", "steps", "cfg_scale", "width", "height"),
    *("seed", "batch_size", "n_iter", "restore_faces", "tiling", "eta", "styles"),
)
_OWN = ("sampler_name", "scheduler", "distilled_cfg_scale")
_IMG2IMG = (
    *("denoising_strength", "resize_mode", "image_cfg_scale", "mask_blur", "inpainting_fill"),
    *("inpaint_full_res", "inpaint_full_res_padding"),
)
_OPTIONS: Mapping[str, str] = {
    "sd_model_checkpoint": "model",
    "sd_vae": "vae",
    "CLIP_stop_at_last_layers": "clip_skip",
}
_HIRES = ("enable_hr", "hr_resize_x", "hr_resize_y", "hr_upscaler", "hr_second_pass_steps", "denoising_strength")
_UNIT_DEFAULTS: Mapping[str, JsonValue] = {
    "module": "none",
    "model": "None",
    "weight": 1.0,
    "guidance_start": 0.0,
    "guidance_end": 1.0,
    "control_mode": "Balanced",
}
# Older versions of the ControlNet extension counted these choices, in the order of their labels; newer ones fail on that.
_COUNTED = frozenset({"resize_mode", "control_mode", "hr_option"})
_COUNTS = (0, 1, 2)
# More than that A1111 takes, and no field here: what is asked for anywhere is to fit every server. Nor does it wrap: the
# second image of 4294967295 has the seed 4294967296, which is one of its own on a GPU, and 0 where noise is drawn on a CPU.
_MAX_SEED = 2**32 - 1
_IMAGES: Mapping[str, str] = {"init_images": "init_image", "mask": "mask"}


def canonical_body(body: Mapping[str, JsonValue], name: Name, kind: Kind) -> tuple[Body, dict[str, str]]:
    """Return what of a body the server would look at, and what it would not, or must not be told by us.

    null stands for what is left out, ``sampler_index`` for ``sampler_name`` where that is missing, and a schedule at
    the end of a sampler's name for ``scheduler``, over which it wins there, too. Of img2img the size, and the way to
    resize to it, are the server's own defaults where the body says none: with us they would be the image's.
    """
    keys = body_keys(name, kind)
    clean: Body = {}
    left: dict[str, str] = {}
    for key, told in body.items():
        value = keys[key].spelled(told) if key in keys else told
        if value is None or (key in REFUSED and key not in _IMAGES):
            if value is not None:
                left[key] = REFUSED[key]
        elif key not in keys:
            left[key] = f"no key of {kind}; the server ignores it"
        elif (problem := keys[key].problem(value)) is not None:
            left[key] = f"must be {problem}, and is {str(value)[:60]!r}"
        else:
            clean[key] = value
    seed = clean.get("seed")
    if isinstance(seed, int) and seed > _MAX_SEED:
        left["seed"] = f"must be at most {_MAX_SEED}, and is {str(seed)[:60]}: one is drawn in its place"
        del clean["seed"]
    if clean.get("seed") == -1:
        # Drawn by the server there, by us here.
        del clean["seed"]
    _clean_scripts(clean, left, name, kind)
    if kind == "img2img":
        clean = {**img2img_size_defaults(), **clean}
    index = clean.pop("sampler_index", None)
    if index is not None and not clean.get("sampler_name"):
        clean["sampler_name"] = index
    _clean_sampler(clean)
    return clean, left


def import_body(body: Mapping[str, JsonValue], kind: Kind | None = None, name: Name = "a1111") -> Imported:
    """Make a request out of an A1111 body; what compiles back to something else is kept as a native key.

    Args:
        body: The body.
        kind: Which request it is; None goes by its keys.
        name: The dialect.

    Raises:
        PayloadError: If an image in it is none.
    """
    only_img2img = body_keys(name, "img2img").keys() - body_keys(name, "txt2img").keys()
    kind = kind or ("img2img" if any(body.get(key) is not None for key in only_img2img) else "txt2img")
    clean, left = canonical_body(body, name, kind)
    draft = _Draft(clean, name, kind)
    return Imported(draft.settled(), name, left)


def _clean_sampler(clean: Body) -> None:
    """Take a schedule off a sampler's name as the server does, and spell both as it lists them."""
    sampler, scheduler = clean.get("sampler_name"), clean.get("scheduler")
    labels = a1111_schedulers().values()
    if isinstance(sampler, str):
        choice = split_sampler(sampler, None)
        if choice.schedule in labels:
            sampler, scheduler = choice.sampler, choice.schedule
        clean["sampler_name"] = listed(sampler, a1111_samplers()) or sampler
    if isinstance(scheduler, str):
        label = schedule_label(scheduler)
        clean["scheduler"] = label if label in labels else scheduler


def _clean_scripts(clean: Body, left: dict[str, str], name: Name, kind: Kind) -> None:
    """Take out scripts and keys of units that the server would fail on or pass over, both without a word."""
    tables = NativeTables.of(name, kind)
    scripts = clean.get("alwayson_scripts")
    if isinstance(scripts, dict):
        kept: Body = {}
        for title, value in scripts.items():
            args = _mapping(value).get("args")
            where = f"alwayson_scripts.{title[:60]}"
            if not isinstance(args, list):
                left[where] = 'no object {"args": […]}'
                continue
            keys = {CONTROL_TITLE.casefold(): tables.units, ADETAILER_TITLE.casefold(): adetailer_keys()}
            units = keys.get(title.casefold())
            args = [_clean_unit(one, units, f"{where}.args[{n}]", left) if units else one for n, one in enumerate(args)]
            if title.casefold() == CONTROL_TITLE.casefold():
                # What is on without a word is said, and what is off without one stays as it is.
                unasked: Body = {"enabled": True} if runs_unasked(name) else {}
                args = [{**_UNIT_DEFAULTS, **unasked, **one} if isinstance(one, dict) else one for one in args]
            if _is_right(partial(check_args, title.casefold(), args, "", tables), where, left):
                kept[title] = {"args": args}
        clean["alwayson_scripts"] = kept
    if not _is_right(partial(check_script, clean, tables), "script_args", left):
        left["script_args"] = left["script_args"].removeprefix(f"{tables.where}.script_args").lstrip(": ")
        left["script_name"] = (
            f"{str(clean['script_name'])[:60]} cannot run with these script_args, so both are left out"
        )
        del clean["script_name"], clean["script_args"]


def _clean_unit(unit: JsonValue, keys: KeyTable, where: str, left: dict[str, str]) -> JsonValue:
    if not isinstance(unit, dict):
        return unit
    kept: Body = {}
    for name, told in unit.items():
        if told is None:
            continue
        is_counted = name in _COUNTED and name in keys and type(told) is int and told in _COUNTS
        value = (
            keys[name].labels[cast("int", told)] if is_counted else keys[name].spelled(told) if name in keys else told
        )
        problem = keys[name].problem(value) if name in keys else "left out; the extension does not know it"
        if problem is None:
            kept[name] = value
        else:
            left[f"{where}.{name[:60]}"] = f"must be {problem}"
    return kept


def _is_right(check: Callable[[], None], where: str, left: dict[str, str]) -> bool:
    try:
        check()
    except PayloadError as exc:
        left[where] = str(exc).lstrip(".: ")
        return False
    return True


class _Draft:
    """Fields and native keys of one import, moved from one to the other until compiling gives what was wanted."""

    def __init__(self, clean: Body, name: Name, kind: Kind) -> None:
        self.dialect = _DIALECTS[name]
        self.cls = Img2Img if kind == "img2img" else Txt2Img
        self.images = {_IMAGES[key]: _image(key, clean.pop(key)) for key in _IMAGES if key in clean}
        self.wanted = clean
        # A number on the wire, a choice of two in meaning.
        invert = clean.get("inpainting_mask_invert") if self.cls is Img2Img else None
        plain: tuple[str, ...] = (*_SHARED, *_IMG2IMG) if self.cls is Img2Img else _SHARED
        self.shared: dict[str, object] = {key: clean[key] for key in plain if key in clean}
        if invert in (0, 1):
            self.shared["inpainting_mask_invert"] = bool(invert)
        self.own: dict[str, object] = {key: clean[key] for key in _OWN if key in clean}
        self._take_options()
        self._take_parts()

    def _take_options(self) -> None:
        for option, field in _OPTIONS.items():
            value = _mapping(self.wanted.get("override_settings")).get(option)
            if value is not None and not (field == "vae" and self.dialect.name == "forge"):
                self.own[field] = value

    def _take_parts(self) -> None:
        wanted = self.wanted
        if isinstance(wanted.get("refiner_checkpoint"), str) and "refiner_switch_at" in wanted:
            self.own["refiner"] = {"model": wanted["refiner_checkpoint"], "switch_at": wanted["refiner_switch_at"]}
        if self.cls is Txt2Img and wanted.get("enable_hr") is True and all(key in wanted for key in _HIRES[:4]):
            self._take_hires()
        for title, value in _mapping(wanted.get("alwayson_scripts")).items():
            args = cast("list[JsonValue]", _mapping(value)["args"])
            if title.casefold() == "controlnet":
                self.own["controls"] = [_unit(unit) for unit in args]
            elif title.casefold() == "adetailer":
                self.own["adetailer"] = [_detector(unit) for unit in args if isinstance(unit, dict)]

    def _take_hires(self) -> None:
        wanted = self.wanted
        hires = {
            "first_width": wanted.get("width"),
            "first_height": wanted.get("height"),
            "strength": wanted.get("denoising_strength"),
            "upscaler": wanted.get("hr_upscaler"),
            # 0 is as many as the first pass, and stays native.
            "steps": wanted.get("hr_second_pass_steps") or None,
        }
        self.own["hires"] = {name: value for name, value in hires.items() if value is not None}
        # There the size of the first pass, here the size of the image.
        self.shared |= {"width": wanted["hr_resize_x"], "height": wanted["hr_resize_y"]}

    def settled(self) -> Txt2Img | Img2Img:
        """Return the request."""
        native = self._rest(self._compiled_or_empty({}))
        fields = [*self.own, *self.shared]
        for _ in range(len(fields) + len(self.wanted) + 1):
            try:
                request = self._request(native)
                body = self._compiled(request)
            except PayloadError as exc:
                if not self._give_back_named(str(exc)):
                    raise
                native = self._rest(self._compiled_or_empty({}))
                continue
            wrong = _first_difference(self.wanted, body)
            if wrong is None:
                return request
            # Not seen to happen: what no field says is native, and native keys are sent as they are.
            raise PayloadError(f"{wrong[:60]}: cannot be kept as it is; take it out and set it by hand")
        raise PayloadError("this payload contradicts itself; take parts out until it can be read")

    def _rest(self, body: Mapping[str, JsonValue]) -> Body:
        """Return what compiling the fields alone does not say."""
        rest: Body = {}
        for key, value in self.wanted.items():
            have = body.get(key)
            if key in ("override_settings", "alwayson_scripts"):
                inner = {
                    name: one for name, one in _mapping(value).items() if _folded(have).get(name.casefold()) != one
                }
                if inner:
                    rest[key] = inner
            elif have != value:
                rest[key] = value
        return rest

    def _compiled_or_empty(self, native: Body) -> Mapping[str, JsonValue]:
        try:
            return self._compiled(self._request(native))
        except PayloadError:
            return {}

    def _request(self, native: Body) -> Txt2Img | Img2Img:
        overlay: dict[str, object] = {**self.own, **({"native": native} if native else {})}
        values: dict[str, object] = {**self.shared, **self.images}
        self.cls.from_mapping(values)
        return self.cls.from_mapping({**values, "overlays": {self.dialect.name: overlay}} if overlay else values)

    def _compiled(self, request: Txt2Img | Img2Img) -> Mapping[str, JsonValue]:
        whole = request.for_dialect(self.dialect.name)
        if isinstance(whole, Img2Img) and whole.init_image is None:
            whole = whole.replace(init_image=blank_image())
        body = dict(self.dialect.compile(whole, ServerFacts(self.dialect.name)).call.body)
        if isinstance(whole, Img2Img) and request.size is None and whole.init_image is not None:
            # The dialect would name the image's own size; a payload without one keeps it open.
            own = dict(zip(("width", "height"), init_size(whole.init_image), strict=True))
            body = {key: value for key, value in body.items() if key in self.shared or own.get(key) != value}
        return body

    def _give_back_named(self, message: str) -> bool:
        for holder in (self.own, self.shared):
            for field in holder:
                if (
                    f"{field}:" in message
                    or f"{field}." in message
                    or f"{field}[" in message
                    or f" {field} " in message
                ):
                    self._drop(field)
                    return True
        return False

    def _drop(self, field: str) -> None:
        self.own.pop(field, None)
        self.shared.pop(field, None)
        if field == "hires":
            self.shared |= {key: self.wanted[key] for key in ("width", "height") if key in self.wanted}


def _first_difference(wanted: Mapping[str, JsonValue], body: Mapping[str, JsonValue]) -> str | None:
    for key, value in wanted.items():
        if key in ("override_settings", "alwayson_scripts"):
            have = _folded(body.get(key))
            wrong = next((name for name, one in _mapping(value).items() if have.get(name.casefold()) != one), None)
            if wrong is not None:
                return f"{key}.{wrong if key == 'override_settings' else wrong.casefold()}"
        elif body.get(key) != value:
            return key
    return None


def _folded(value: JsonValue) -> dict[str, JsonValue]:
    return {name.casefold(): one for name, one in _mapping(value).items()}


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _image(key: str, value: JsonValue) -> CheckedImage:
    text = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(text, str):
        raise PayloadError(f"{key}: one image is read, as base64; take the others out")
    return checked_image(text)


def _unit(unit: JsonValue) -> dict[str, object]:
    """Return a ControlNet unit's fields; a unit that holds more, or is off, comes out wrong and stays native."""
    row = _mapping(unit)
    known = {name: value for name, value in row.items() if name in ControlNet.model_fields and value is not None}
    images = {name: _image(name, known[name]) for name in ("image", "mask") if isinstance(known.get(name), str)}
    return {"model": "None", **known, **images}


def _detector(unit: Mapping[str, JsonValue]) -> dict[str, object]:
    return {field: unit[f"ad_{field}"] for field in ADetailer.model_fields if unit.get(f"ad_{field}") is not None}
