"""Asked is applied: what a reply says was used, held against what was asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from sdclient.client.cleaning import clean_text
from sdclient.client.labels import sent_units, told_by_scripts
from sdclient.client.result import Change
from sdclient.dialects.a1111_names import model_stem
from sdclient.dialects.a1111_reply import masks_behind
from sdclient.dialects.base import Compiled, ReadReply
from sdclient.dialects.losses import is_lost
from sdclient.dialects.samplers import split_sampler
from sdclient.infotext import Infotext, parse_infotext
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.schemas.parts import ControlNet

_MODEL_FIELDS = frozenset({"model", "vae", "refiner", "refiner.model", "hires_upscaler", "hires.upscaler"})
# What is always told where it was done; silence about it means that it was not.
_TOLD_WHEN_DONE = frozenset({"refiner", "switch_at"})
# Names of settings in a reply that are fields of a part.
_FIELD_OF: Mapping[str, str] = {
    "refiner": "refiner.model",
    "switch_at": "refiner.switch_at",
    "hires_upscaler": "hires.upscaler",
}
_FORMATS: Mapping[str, str] = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP"}
# What asks for no file: the checkpoint's own VAE, or the one that the server chooses.
_OWN_VAE = ("automatic", "none")
_CLOSE = 1e-6
# Every server that tells its rounding by a loss rounds to this; the others' steps are multiples of it.
_STEP_PX = 8
_SHOWN_CHARS = 200
_CONTROL_MODEL = re.compile(r"\bModel: ?\"?([^,\"]+)")
_CONTROL_WEIGHT = re.compile(r"\bWeight: ?([0-9.]+)")
_HASH = re.compile(r"[0-9a-fA-F]{8}|[0-9a-fA-F]{10}|[0-9a-fA-F]{64}")
_CONTROL_MODULE = re.compile(r"\bModule: ?\"?([^,\"]+)")


def find_changes(
    request: Txt2Img | Img2Img,
    compiled: Compiled,
    read: ReadReply,
    *,
    file_format: str | None = None,
    size: tuple[int, int] | None = None,
    tells_vae: bool = False,
) -> tuple[Change, ...]:
    """Return every setting that the reply says was applied otherwise than asked.

    A server that says nothing of what it used (Draw Things) has none but those of the image itself: its format, and
    its size where another than asked may pass.

    Args:
        request: The request, overlays merged.
        compiled: What was sent, and which settings to compare.
        read: The reply taken apart.
        file_format: Format of the files that came, as in ``ImageFacts.format``; None does not compare it.
        size: Width and height in pixels of the first image as it came; None does not compare them.
        tells_vae: Whether this server names the VAE in every reply, and none where the model's own drew.
    """
    applied = {**_told_in_text(read.infotexts), **read.applied}
    wanted_fields = {**_asked_parts(request, compiled), **compiled.asked}
    # What was left out before sending is told by its loss.
    asked = {
        name: value for name, value in wanted_fields.items() if not is_lost(_FIELD_OF.get(name, name), compiled.losses)
    }
    found = [
        Change(name, value, _safe(applied[name]))
        for name, value in asked.items()
        if name in applied and not _is_same(name, value, applied[name])
    ]
    labels = read.info.get("extra_generation_params")
    if isinstance(labels, dict):
        silent = (name for name in asked if name in _TOLD_WHEN_DONE and name not in applied)
        found += [Change(name, asked[name], None) for name in silent]
        found += [] if is_lost("controls", compiled.losses) else _control_changes(request, compiled, labels)
        found += _script_changes(request, compiled, labels, read)
    found += _surplus(compiled, read)
    known = {change.field for change in found}
    found += [change for change in _size_changes(compiled, size) if change.field not in known]
    found += _untold_size(compiled, applied, size)
    found += _vae_left_out(compiled, read) if tells_vae else []
    wanted = _wanted_format(compiled)
    if file_format and wanted and file_format != wanted:
        found.append(Change("format", wanted, file_format))
    return tuple(found)


def _size_changes(compiled: Compiled, size: tuple[int, int] | None) -> list[Change]:
    """Compare the image's own size where the dialect lets another one pass; elsewhere it would be refused by now."""
    body = compiled.call.body
    # What enlarges on its own terms (a script, a network, a follow-up call) says nothing of the size asked for.
    if size is None or compiled.expected.size or compiled.then or body.get("script_name") or body.get("upscaler"):
        return []
    keys = ("hr_resize_x", "hr_resize_y") if body.get("enable_hr") else ("width", "height")
    sides = zip(("width", "height"), keys, (body.get(key) for key in keys), size, strict=True)
    # Left out or 0, a side is the server's to choose; and where a loss tells what it becomes, that is enough.
    return [
        Change(name, asked, got)
        for name, key, asked, got in sides
        if isinstance(asked, int) and asked not in (0, got) and (key in compiled.asked or asked % _STEP_PX == 0)
    ]


def _untold_size(compiled: Compiled, applied: Mapping[str, JsonValue], size: tuple[int, int] | None) -> list[Change]:
    """Hold an image that was left to be of the server's size against the size that the reply itself tells."""
    body = compiled.call.body
    # A pass or script that enlarges is told of by the size before it, or by the one behind.
    others = ("width", "height", "enable_hr", "script_name", "alwayson_scripts", "upscaler")
    if size is None or compiled.then or any(body.get(key) for key in others):
        return []
    told = applied.get("width"), applied.get("height")
    sides = [side for side in told if type(side) is int]
    if len(sides) < len(told) or all(
        side // _STEP_PX == got // _STEP_PX for side, got in zip(sides, size, strict=True)
    ):
        return []
    return [Change("size", f"{sides[0]}x{sides[1]}", f"{size[0]}x{size[1]}")]


def _vae_left_out(compiled: Compiled, read: ReadReply) -> list[Change]:
    """Record a VAE that was sent where the reply says, by a null, that none was loaded."""
    options = compiled.call.body.get("override_settings")
    sent = options.get("sd_vae") if isinstance(options, dict) else None
    if not isinstance(sent, str) or sent.casefold() in ("", *_OWN_VAE):
        return []
    # What the server's list did not hold is told by its loss.
    fields = ("vae", "native.a1111.override_settings.sd_vae")
    is_told = any(is_lost(field, compiled.losses) for field in fields)
    is_null = read.info.get("sd_vae_name", sent) is None
    return [Change("vae", sent, None)] if is_null and not is_told else []


def _wanted_format(compiled: Compiled) -> str | None:
    """Return the format that images are to come in: PNG, which loses nothing, unless native keys name another."""
    body = compiled.call.body
    options = body.get("override_settings")
    named = body.get("samples_format") or (options.get("samples_format") if isinstance(options, dict) else None)
    return _FORMATS.get(str(named or "png").casefold())


def _surplus(compiled: Compiled, read: ReadReply) -> list[Change]:
    """Record images that came and belong to nothing that was sent; they are kept, as maps."""
    if not read.maps or compiled.call.body.get("script_name"):
        # Scripts give images of stages in between, and those are told apart where the reply is read.
        return []
    if len(read.maps) <= len(sent_units("ControlNet", compiled)) + len(read.images) * masks_behind(compiled):
        return []
    return [Change("images", len(read.images), len(read.images) + len(read.maps))]


def _told_in_text(infotexts: tuple[str, ...]) -> dict[str, JsonValue]:
    """Return what the first image's infotext tells; some servers leave a key out of ``info`` that is in it."""
    text = parse_infotext(infotexts[0]) if infotexts else Infotext()
    width, height = text.size or (None, None)
    told: dict[str, JsonValue] = {
        "steps": text.get_int("Steps"),
        "seed": text.get_int("Seed"),
        "sampler_name": text.fields.get("Sampler"),
        "model": text.fields.get("Model"),
        "width": width,
        "height": height,
    }
    return {name: value for name, value in told.items() if value is not None}


def _asked_parts(request: Txt2Img | Img2Img, compiled: Compiled) -> dict[str, JsonValue]:
    asked: dict[str, JsonValue] = {}
    if request.vae is not None and request.vae.casefold() not in _OWN_VAE:
        asked["vae"] = request.vae
    if request.refiner is not None:
        # As the server lists it; where that is another spelling than the request's, a loss tells.
        sent = compiled.call.body.get("refiner_checkpoint", request.refiner.model)
        asked |= {"refiner": sent, "switch_at": request.refiner.switch_at}
    if isinstance(request, Txt2Img) and request.hires is not None and request.hires.upscaler is not None:
        asked["hires_upscaler"] = request.hires.upscaler
    return asked


def _control_changes(request: Txt2Img | Img2Img, compiled: Compiled, labels: Mapping[str, JsonValue]) -> list[Change]:
    """Compare ControlNet units: a script that failed is swallowed by the server, and leaves no label behind."""
    # Older versions of the extension number and name their labels otherwise; then only "none at all" tells.
    names = [name for name in labels if name.startswith("ControlNet")]
    found: list[Change] = []
    for number, (field, unit) in enumerate(_units(request, compiled)):
        text = labels.get(f"ControlNet {number}")
        if not names:
            found.append(Change(field, unit.model, None))
        elif isinstance(text, str):
            found += _unit_changes(field, unit, text)
    return found


def _units(request: Txt2Img | Img2Img, compiled: Compiled) -> list[tuple[str, ControlNet]]:
    """Return the units that were sent, by the name of each: the request's, or those of its native keys."""
    if request.controls:
        return [(f"controls[{number}]", unit) for number, unit in enumerate(request.controls)]
    found: list[tuple[str, ControlNet]] = []
    for number, unit in enumerate(sent_units("ControlNet", compiled)):
        # Off by default in the extension; Forge leaves the labels of what is off out as well.
        if unit.get("enabled") is True:
            told = {name: unit[name] for name in ("model", "module", "weight") if unit.get(name) is not None}
            found.append((f"ControlNet[{number}]", ControlNet.from_mapping({"model": "None", **told})))
    return found


def _script_changes(
    request: Txt2Img | Img2Img, compiled: Compiled, labels: Mapping[str, JsonValue], read: ReadReply
) -> list[Change]:
    """Record what scripts say they did otherwise, or say nothing of."""
    text = parse_infotext(read.infotexts[0]) if read.infotexts else Infotext()
    told = told_by_scripts(request, compiled, {**text.fields, **labels})
    return [
        Change(one.field, one.asked, None if one.applied is None else _safe(one.applied))
        for one in told
        if one.applied is None or not _is_same(one.field, one.asked, one.applied)
    ]


def _unit_changes(field: str, unit: ControlNet, text: str) -> list[Change]:
    model, weight = _CONTROL_MODEL.search(text), _CONTROL_WEIGHT.search(text)
    found: list[Change] = []
    # The extension finds a model by a part of its name.
    if model and model_stem(unit.model) not in model_stem(model[1].strip()):
        found.append(Change(f"{field}.model", unit.model, _safe(model[1].strip())))
    module = _CONTROL_MODULE.search(text)
    if module and _plain(module[1]) != _plain(unit.module):
        found.append(Change(f"{field}.module", unit.module, _safe(module[1].strip())))
    if weight and not _is_same("weight", unit.weight, _number(weight[1])):
        found.append(Change(f"{field}.weight", unit.weight, _safe(weight[1])))
    return found


def _plain(module: str) -> str:
    """Return a preprocessor's name as both of its spellings, on pages and over HTTP, come to."""
    return module.strip().casefold().replace(" ", "_")


def _is_same(name: str, asked: JsonValue, applied: JsonValue) -> bool:
    if name in _MODEL_FIELDS and isinstance(asked, str) and isinstance(applied, str):
        # Servers name a model by title, file or stem, with its hash or without; asked for by its hash alone, the
        # name tells nothing.
        return model_stem(asked) == model_stem(applied) or _HASH.fullmatch(asked) is not None
    if isinstance(asked, int | float) and not isinstance(asked, bool):
        number = _number(applied)
        return number is not None and abs(asked - number) < _CLOSE
    if isinstance(asked, str) and isinstance(applied, str):
        return (name == "sampler_name" and _is_same_sampler(asked, applied)) or asked.casefold() == applied.casefold()
    return asked == applied


def _is_same_sampler(asked: str, applied: str) -> bool:
    """Compare names with a schedule at their end, which some versions tell apart from it."""
    first, second = split_sampler(asked, None), split_sampler(applied, None)
    schedules = {one.schedule for one in (first, second) if one.schedule is not None}
    return first.sampler.casefold() == second.sampler.casefold() and len(schedules) <= 1


def _number(value: JsonValue) -> float | None:
    """Return a finite number for a number or its text; None for anything else, however large."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _safe(value: JsonValue) -> JsonValue:
    """Return a server's value as something that any record can hold."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float) and _number(value) is not None:
        return value
    text = value if isinstance(value, str) else str(type(value).__name__)
    return cast("JsonValue", clean_text(text)[:_SHOWN_CHARS])
