"""Draw Things' JSON read: the body of a request, whichever spellings it uses."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Literal, cast

from pydantic import JsonValue

from sdclient.dialects.base import ServerFacts
from sdclient.dialects.drawthings import DrawThings
from sdclient.dialects.drawthings_parts import IMPORTANCE
from sdclient.dialects.facts import drawthings_defaults, drawthings_keys
from sdclient.dialects.importing.drawthings_forms import Body, whole_control
from sdclient.dialects.importing.result import Imported
from sdclient.dialects.initsize import init_size
from sdclient.errors import CodecError, PayloadError
from sdclient.images import decode_base64, read_image_input
from sdclient.schemas.base import CheckedImage
from sdclient.schemas.generation import Img2Img, Txt2Img

__all__ = ["blank_image", "canonical_body", "checked_image", "import_body"]

_DIALECT = DrawThings()
# Keys with a field of the same meaning for every server.
_SHARED: Mapping[str, str] = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "steps": "steps",
    "guidance_scale": "cfg_scale",
    "width": "width",
    "height": "height",
    "seed": "seed",
    "batch_count": "n_iter",
    "batch_size": "batch_size",
}
# The same for this server: names and settings that mean something else, or nothing, on others.
_OWN: Mapping[str, str] = {
    "model": "model",
    "sampler": "sampler_name",
    "clip_skip": "clip_skip",
    "shift": "shift",
    "guidance_embed": "distilled_cfg_scale",
    "restore_faces": "restore_faces",
}
_IMG2IMG: Mapping[str, str] = {
    "strength": "denoising_strength",
    "image_guidance": "image_cfg_scale",
    "mask_blur": "mask_blur",
}
_TILES = {"diffusion": ("tiled_diffusion", "diffusion_tile"), "vae": ("tiled_decoding", "decoding_tile")}


def canonical_body(body: Mapping[str, JsonValue]) -> tuple[Body, dict[str, str]]:
    """Return a body with main spellings only, and what Draw Things would not take or not look at.

    null for a number, a switch or a list keeps what the app shows, so such a key says nothing.
    """
    keys = drawthings_keys()
    clean: Body = {}
    left: dict[str, str] = {}
    for name, told in body.items():
        value = keys[name].spelled(told) if name in keys else told
        if name in ("init_images", "restore_faces"):
            clean[name] = value
        elif name not in keys:
            left[name] = "no key of the HTTP server, which would refuse the whole request"
        elif not keys[name].usable:
            left[name] = "the server refuses every request that carries it; set it in the app"
        elif value is None and "null" not in keys[name].types:
            left[name] = "null keeps what the app shows"
        elif keys[name].name in clean:
            raise PayloadError(f"{name}: the same as {keys[name].name}, which is there already; keep one of the two")
        else:
            problem = keys[name].problem(value)
            if problem is not None:
                left[name] = f"must be {problem}, and is {str(value)[:60]!r}; our default is sent"
                continue
            clean[keys[name].name] = value
    return clean, left


def import_body(body: Mapping[str, JsonValue], kind: Literal["txt2img", "img2img"] | None = None) -> Imported:
    """Make a request out of a Draw Things body; what compiles back to something else is kept as a native key.

    Args:
        body: The body, in any of its spellings.
        kind: Which request it is; None goes by its init image and its strength.

    Raises:
        PayloadError: If it says one thing twice, or is no request at all.
    """
    keys = drawthings_keys()
    clean, left = canonical_body(body)
    init = clean.pop("init_images", None)
    is_img2img = kind == "img2img" or (kind is None and (init is not None or _is_partial(clean)))
    controls = clean.get("controls")
    if isinstance(controls, list):
        # Payloads of before 2024 lack fields that today's server wants.
        clean["controls"] = [whole_control(row) for row in controls if isinstance(row, dict)]
    loras = clean.get("loras")
    if isinstance(loras, list):
        clean["loras"] = [{**row, "mode": row.get("mode") or "all"} for row in loras if isinstance(row, dict)]
    wanted = dict(clean)
    if wanted.get("prompt", "") is None:
        del wanted["prompt"]
    if not is_img2img and wanted.pop("strength", None) not in (None, 1, 1.0):
        spelled = next(name for name in body if name in keys and keys[name].name == "strength")
        left[spelled] = "txt2img always draws with strength 1"
    fields = _fields(wanted, is_img2img=is_img2img)
    if init is not None:
        fields["shared"]["init_image"] = _image(init)
    return Imported(_settled(fields, wanted, is_img2img=is_img2img), _DIALECT.name, left)


def _is_partial(clean: Mapping[str, JsonValue]) -> bool:
    strength = clean.get("strength")
    return isinstance(strength, int | float) and strength < 1


def checked_image(text: str) -> CheckedImage:
    """Return the image that base64 holds, decoded once to know that it is whole.

    Raises:
        PayloadError: If it is none.
    """
    try:
        return CheckedImage(read_image_input(decode_base64(text)))
    except CodecError as exc:
        raise PayloadError(f"an image of the payload cannot be read: {exc}") from exc


def _image(value: JsonValue) -> CheckedImage:
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], str):
        raise PayloadError(
            "init_images: must be a list of exactly one image; with any other Draw Things uses its canvas"
        )
    return checked_image(value[0])


def _fields(wanted: Mapping[str, JsonValue], *, is_img2img: bool) -> dict[str, dict[str, object]]:
    """Return fields for every server, and the overlay for this one."""
    names = {**_SHARED, **(_IMG2IMG if is_img2img else {})}
    shared: dict[str, object] = {names[key]: value for key, value in wanted.items() if key in names}
    own: dict[str, object] = {_OWN[key]: value for key, value in wanted.items() if key in _OWN and value is not None}
    own |= _parts(wanted, is_img2img=is_img2img)
    return {"shared": shared, "own": own}


def _parts(wanted: Mapping[str, JsonValue], *, is_img2img: bool) -> dict[str, object]:
    parts: dict[str, object] = {}
    if wanted.get("refiner_model"):
        parts["refiner"] = {"model": wanted["refiner_model"], "switch_at": wanted.get("refiner_start", 0.85)}
    if wanted.get("upscaler") and wanted.get("upscaler_scale") in (2, 4):
        parts["enlarge"] = {"model": wanted["upscaler"], "scale": wanted["upscaler_scale"]}
    if wanted.get("hires_fix") is True and not is_img2img:
        names = {"first_width": "width", "first_height": "height", "strength": "strength"}
        parts["hires"] = {
            ours: wanted.get(f"hires_fix_{theirs}", drawthings_defaults()[f"hires_fix_{theirs}"])
            for ours, theirs in names.items()
        }
    tiled = {part: _tiles(wanted, prefix) for part, (switch, prefix) in _TILES.items() if wanted.get(switch) is True}
    if tiled:
        parts["tiled"] = tiled
    loras = wanted.get("loras")
    if isinstance(loras, list) and loras:
        parts["loras"] = [_lora(lora) for lora in loras]
    controls = wanted.get("controls")
    if isinstance(controls, list) and controls:
        parts["controls"] = [_control(control) for control in controls]
    return parts


def _control(control: JsonValue) -> dict[str, object]:
    row = control if isinstance(control, dict) else {}
    importance = {theirs: ours for ours, theirs in IMPORTANCE.items()}
    known: dict[str, object] = {
        "model": row.get("file"),
        "weight": row.get("weight"),
        "guidance_start": row.get("guidanceStart"),
        "guidance_end": row.get("guidanceEnd"),
        "control_mode": importance.get(str(row.get("controlImportance"))),
        # The label of a hint is taken for a module, too.
        "module": row.get("inputOverride") or "none",
    }
    if row.get("downSamplingRate") not in (1, 1.0, None):
        known |= {"module": "tile_resample", "threshold_a": row.get("downSamplingRate")}
    return {name: value for name, value in known.items() if value is not None}


def _tiles(wanted: Mapping[str, JsonValue], prefix: str) -> dict[str, object]:
    sides = ("width", "height", "overlap")
    return {side: wanted.get(f"{prefix}_{side}", drawthings_defaults()[f"{prefix}_{side}"]) for side in sides}


def _lora(lora: JsonValue) -> dict[str, object]:
    row = lora if isinstance(lora, dict) else {}
    known = {"model": row.get("file"), "weight": row.get("weight"), "mode": row.get("mode", "all")}
    return {name: value for name, value in known.items() if value is not None}


def _settled(
    fields: Mapping[str, dict[str, object]], wanted: Mapping[str, JsonValue], *, is_img2img: bool
) -> Txt2Img | Img2Img:
    """Give back fields to native keys until compiling says what was wanted."""
    native = {key: value for key, value in wanted.items() if not _says(fields, key)}
    cls = Img2Img if is_img2img else Txt2Img
    shared, own = dict(fields["shared"]), dict(fields["own"])
    # A field may be out of our range, or stand for more than one key; each such round moves something, so it ends.
    for _ in range(len(wanted) + 1):
        try:
            request = _request(cls, shared, own, native)
            body = _compiled(request)
        except PayloadError as exc:
            field = _named(str(exc), own, shared)
            if field is None:
                raise
            _give_back(field, shared, own, native, wanted)
            continue
        wrong = next((key for key, value in wanted.items() if not _is_same(body.get(key), value)), None)
        if wrong is None:
            return request
        field = _field_of(wrong)
        # A key beside those that the field sets can be added; one that it sets needs the field out of the way.
        if wrong in native or not _fits(cls, shared, own, {**native, wrong: wanted[wrong]}):
            _give_back(field or wrong, shared, own, native, wanted)
        else:
            native[wrong] = wanted[wrong]
    return _request(cls, shared, own, native)


def _fits(
    cls: type[Txt2Img | Img2Img],
    shared: Mapping[str, object],
    own: Mapping[str, object],
    native: Mapping[str, JsonValue],
) -> bool:
    try:
        _compiled(_request(cls, shared, own, native))
    except PayloadError:
        return False
    return True


def _request(
    cls: type[Txt2Img | Img2Img],
    shared: Mapping[str, object],
    own: Mapping[str, object],
    native: Mapping[str, JsonValue],
) -> Txt2Img | Img2Img:
    overlay = {**own, **({"native": dict(native)} if native else {})}
    values = dict(shared)
    # What the file says once for all must be right alone, and the overlay on top of it.
    cls.from_mapping(values)
    return cls.from_mapping({**values, "overlays": {_DIALECT.name: overlay}} if overlay else values)


def _compiled(request: Txt2Img | Img2Img) -> Mapping[str, JsonValue]:
    whole = request.for_dialect(_DIALECT.name)
    if isinstance(whole, Img2Img) and whole.init_image is None:
        whole = whole.replace(init_image=blank_image())
    if isinstance(whole, Img2Img) and whole.size is None:
        size = init_size(cast("bytes", whole.init_image))
        whole = whole.replace(width=whole.width or size[0], height=whole.height or size[1])
    return _DIALECT.compile(whole, ServerFacts(_DIALECT.name)).call.body


@functools.cache
def blank_image() -> bytes:
    """Return a small image that stands where a payload has none."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    return file.getvalue()


_FIELDS_OF_PARTS: Mapping[str, str] = {
    "refiner_": "refiner",
    "upscaler": "enlarge",
    "hires_fix": "hires",
    "tiled_": "tiled",
    "diffusion_tile": "tiled",
    "decoding_tile": "tiled",
    "loras": "loras",
    "controls": "controls",
}


def _field_of(key: str) -> str | None:
    plain = {**_SHARED, **_OWN, **_IMG2IMG}
    if key in plain:
        return plain[key]
    return next((field for start, field in _FIELDS_OF_PARTS.items() if key.startswith(start)), None)


def _keys_of(field: str, wanted: Mapping[str, JsonValue]) -> list[str]:
    return [key for key in wanted if _field_of(key) == field]


def _says(fields: Mapping[str, Mapping[str, object]], key: str) -> bool:
    field = _field_of(key)
    return field is not None and (field in fields["shared"] or field in fields["own"])


def _give_back(
    field: str,
    shared: dict[str, object],
    own: dict[str, object],
    native: Body,
    wanted: Mapping[str, JsonValue],
) -> None:
    shared.pop(field, None)
    own.pop(field, None)
    native |= {key: wanted[key] for key in _keys_of(field, wanted) if key != "restore_faces"}


def _named(message: str, *holders: Mapping[str, object]) -> str | None:
    """Return the field that an error is about, where it is one that can be given back."""
    return next((name for holder in holders for name in holder if re.search(rf"\b{re.escape(name)}\b", message)), None)


def _is_same(have: JsonValue, want: JsonValue) -> bool:
    return have == want and isinstance(have, bool) == isinstance(want, bool)
