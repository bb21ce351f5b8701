"""LoRAs, ControlNet units and tiles read back from the labels that an image's own words have for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sdclient.errors import PayloadError
from sdclient.infotext import Infotext
from sdclient.schemas.parts import ControlNet, Lora, Tiles

__all__ = ["take_parts"]

_LORA_LABEL = "Lora"
_CONTROL_LABEL = "ControlNet"
_TILES_LABEL = "Tile size"
_UNIT_LABEL = re.compile(r"ControlNet [0-9]{1,2}")
# "name: 0.5, other: 1"; a name may hold a comma or a colon, a weight ends the pair.
_PAIR = re.compile(r"(.{1,300}?): (-?[0-9]{1,6}(?:\.[0-9]{1,10})?)(?:, |$)")
_SETTING = re.compile(r"([A-Z][a-z]+(?: [a-z]+)?): ([^,]{0,300})(?:, |$)")
_HASH_BEHIND = re.compile(r" \[[0-9a-fA-F]{6,64}\]$")
_TILE_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
_NO_FIELD = "no field says it; set it by hand"
_NOT_WHOLE = "not understood; set it by hand"

# Below 0 the extension takes the preprocessor's own default.
_UNIT_NUMBERS: Mapping[str, str] = {
    "Weight": "weight",
    "Guidance start": "guidance_start",
    "Guidance end": "guidance_end",
    "Processor res": "processor_res",
    "Threshold a": "threshold_a",
    "Threshold b": "threshold_b",
}
_UNIT_WORDS: Mapping[str, str] = {
    "Module": "module",
    "Resize mode": "resize_mode",
    "Control mode": "control_mode",
    "Hr option": "hr_option",
}


def take_parts(info: Infotext, fields: dict[str, object], *, is_img2img: bool) -> tuple[set[str], dict[str, str]]:
    """Put the parts that the labels tell of into ``fields``.

    Returns the labels that were looked at, and those among them that could not be taken, with the reason.

    Args:
        info: The image's own words.
        fields: The request's fields so far; LoRAs that the prompt named are kept.
        is_img2img: Whether the image was drawn over another one, which steers the units.
    """
    left: dict[str, str] = {}
    told = info.fields.get(_LORA_LABEL)
    if told is not None and "loras" not in fields:
        loras = _all_or_none(_pairs(told), _lora)
        if loras is None:
            left[_LORA_LABEL] = _NOT_WHOLE
        else:
            fields["loras"] = loras
    left |= _take_units(info, fields, is_img2img=is_img2img)
    left |= _take_tiles(info, fields)
    return {_LORA_LABEL, _TILES_LABEL, *_unit_labels(info)}, left


def _unit_labels(info: Infotext) -> list[str]:
    return [name for name in info.fields if name == _CONTROL_LABEL or _UNIT_LABEL.fullmatch(name)]


def _take_units(info: Infotext, fields: dict[str, object], *, is_img2img: bool) -> dict[str, str]:
    labels = _unit_labels(info)
    if not labels:
        return {}
    if not is_img2img:
        return dict.fromkeys(labels, "the image it steered by is not in the text; set controls by hand")
    rows: list[dict[str, object]] = []
    for name in labels:
        rows += _pairs(info.fields[name]) if name == _CONTROL_LABEL else [_unit(info.fields[name])]
    units = _all_or_none(rows, _control)
    if not units:
        return dict.fromkeys(labels, _NOT_WHOLE)
    fields["controls"] = units
    return {}


def _take_tiles(info: Infotext, fields: dict[str, object]) -> dict[str, str]:
    told = info.fields.get(_TILES_LABEL)
    if told is None:
        return {}
    size = _TILE_SIZE.fullmatch(told)
    try:
        tiles = Tiles(width=int(size[1]), height=int(size[2])) if size else None
    except PayloadError:
        tiles = None
    if tiles is None:
        return {_TILES_LABEL: _NO_FIELD}
    fields["tiled"] = {"diffusion": {"width": tiles.width, "height": tiles.height}}
    return {}


def _pairs(text: str) -> list[dict[str, object]]:
    """Return the rows of ``name: weight, name: weight``; one row that no part takes where the text is not that."""
    rows: list[dict[str, object]] = []
    position = 0
    while position < len(text):
        pair = _PAIR.match(text, position)
        if pair is None:
            return [{}]
        rows.append({"model": pair[1], "weight": float(pair[2])})
        position = pair.end()
    return rows


def _unit(text: str) -> dict[str, object]:
    """Return the row of one unit of A1111's extension or Forge."""
    told = dict(_SETTING.findall(text))
    row: dict[str, object] = {name: told[label].strip() for label, name in _UNIT_WORDS.items() if told.get(label)}
    for label, name in _UNIT_NUMBERS.items():
        number = _number(told.get(label, ""))
        if number is not None and number >= 0:
            row[name] = int(number) if name == "processor_res" else number
    if told.get("Pixel perfect", "").casefold() == "true":
        row["pixel_perfect"] = True
    if told.get("Model"):
        row["model"] = _HASH_BEHIND.sub("", told["Model"].strip())
    return row


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _lora(row: Mapping[str, object]) -> None:
    Lora.from_mapping(row)


def _control(row: Mapping[str, object]) -> None:
    ControlNet.from_mapping(row)


def _all_or_none(
    rows: list[dict[str, object]], check: Callable[[Mapping[str, object]], None]
) -> list[dict[str, object]] | None:
    """Return the rows where each is a part; None where one is not, for half of them would draw something else."""
    try:
        for row in rows:
            check(row)
    except PayloadError:
        return None
    return rows
