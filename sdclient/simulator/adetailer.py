"""ADetailer: its units, and the labels by which a client can tell that it ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sdclient.simulator.catalogue import strings
from sdclient.simulator.checks import is_number
from sdclient.simulator.facts import JsonObject, JsonValue, array_at, load

__all__ = ["detail_labels"]

_LABELLED = (
    *("ad_model", "ad_prompt", "ad_confidence", "ad_dilate_erode", "ad_mask_blur", "ad_denoising_strength"),
    *("ad_inpaint_only_masked", "ad_inpaint_only_masked_padding"),
)
_SWITCHES = 2


def detail_labels(facts: Mapping[str, JsonValue], args: Sequence[JsonValue], models: int) -> dict[str, str]:
    """Run the units and give what they write into the generation text; wrong units are left out without a word.

    Args:
        facts: The installation.
        args: The arguments of the script: two switches, then units; either switch may be missing.
        models: How many units the server has room for (its option `ad_max_models`).
    """
    known = strings(array_at(dict(facts), "adetailer_models"))
    # What is sent replaces the values of the page from the left, so without the two switches the first unit of the
    # page, whose detector is the first of the list, stays and runs too.
    spare: list[JsonValue] = [{"ad_model": "None"}] * (models - 1)
    page: list[JsonValue] = [False, False, {"ad_model": known[0]}, *spare]
    slots = [*args, *page[len(args) :]][: _SWITCHES + models]
    on = slots[0] if isinstance(slots[0], bool) else True
    units = [unit for unit in slots if isinstance(unit, dict)]
    if not on:
        return {}
    labels: dict[str, str] = {}
    ran = [unit for unit in units if _is_valid(unit) and _runs(known, unit)]
    for number, unit in enumerate(ran, 1):
        ending = "" if number == 1 else f" {_ordinal(number)}"
        labels |= {
            f"ADetailer {key.removeprefix('ad_').replace('_', ' ')}{ending}": str(value)
            for key, value in _filled(unit).items()
            if key in _LABELLED and value != ""
        }
    return labels


def _runs(known: Sequence[str], unit: JsonObject) -> bool:
    return unit.get("ad_model", "None") in known and unit.get("ad_tab_enable", True) is True


def _rows() -> dict[str, JsonObject]:
    return {
        str(row["name"]): row
        for row in array_at(load("extensions"), "adetailer", "unit_fields")
        if isinstance(row, dict)
    }


def _filled(unit: JsonObject) -> JsonObject:
    return {name: unit.get(name, row["default"]) for name, row in _rows().items()}


def _is_valid(unit: JsonObject) -> bool:
    """Unknown keys are forbidden, and every value must fit."""
    rows = _rows()
    return set(unit) <= set(rows) and all(_fits(str(rows[key]["type"]), value) for key, value in unit.items())


def _fits(kind: str, value: JsonValue) -> bool:
    """Read types such as `float 0..1`, `int >= 0`, `enum A|B` and `string|null`."""
    name, _, limits = kind.partition(" ")
    if name == "enum":
        return value in limits.split("|")
    if name in {"int", "float"}:
        return isinstance(value, (int, float)) and is_number(value) and _is_within(limits, value)
    if name == "bool":
        return isinstance(value, bool)
    return isinstance(value, str) or (value is None and "null" in name)


def _is_within(limits: str, value: float) -> bool:
    if ".." in limits:
        low, high = limits.split("..")
        return float(low) <= value <= float(high)
    if limits.startswith(">="):
        return value >= float(limits[2:])
    return not limits.startswith(">") or value > float(limits[1:])


def _ordinal(number: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(number, f"{number}th")
