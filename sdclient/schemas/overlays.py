"""What a payload says for single dialects: merged into a request, and what another dialect is not told by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from pydantic import JsonValue

__all__ = ["merged", "set_elsewhere", "without"]

# A few-step model with another sampler draws mud, and imported files name it for their own server alone.
_CHOSEN_ANYWHERE = frozenset({"sampler_name", "scheduler"})
# The keys of single dialects that say the same.
_NATIVE_CHOICES: Mapping[str, str] = {
    "sampler_name": "sampler_name",
    "sampler_index": "sampler_name",
    "sampler": "sampler_name",
    "scheduler": "scheduler",
}
# Native keys that are a part of the image by being there; lists and objects are, too, but for the options and the
# models that a second pass alone loads.
_PARTS = frozenset(
    {
        *("enable_hr", "hr_force", "hires_fix", "script_name", "refiner_model", "refiner_checkpoint"),
        *("upscaler", "tiled_diffusion", "init_control"),
    }
)
_NO_PARTS = frozenset({"override_settings", "hr_additional_modules"})

_Overlay = Mapping[str, JsonValue]


def merged(base: Mapping[str, object], overlay: Mapping[str, object]) -> dict[str, object]:
    """Return ``base`` with ``overlay`` on top: mappings are merged, everything else is replaced."""
    result = dict(base)
    for name, value in overlay.items():
        below = result.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[name] = merged(cast("Mapping[str, object]", below), cast("Mapping[str, object]", value))
        else:
            result[name] = value
    return result


def without(overlay: _Overlay, dialect: str, changes: Mapping[str, object]) -> dict[str, JsonValue]:
    """Return an overlay without what ``changes`` decides; of ``native`` only the keys named there."""
    kept = {field: value for field, value in overlay.items() if field not in changes or field == "native"}
    decided = cast("Mapping[str, Mapping[str, object]]", changes.get("native") or {}).get(dialect, {})
    native = kept.get("native")
    if decided and isinstance(native, dict):
        kept["native"] = {key: value for key, value in native.items() if key not in decided}
    return kept


def set_elsewhere(
    values: Mapping[str, object], names: Iterable[str], overlays: Mapping[str, _Overlay]
) -> dict[str, tuple[str, ...]]:
    """Return the fields that a payload sets for other dialects alone, with those dialects.

    A part (a ControlNet unit, a refiner) and a choice that every server has a say in count where any of them names it,
    by a field or by a native key; another plain value where all of them do, since one alone may need what means nothing
    elsewhere. ``native`` stands for the parts among native keys.

    Args:
        values: The request's fields for the dialects of ``names``, merged.
        names: Those dialects.
        overlays: The overlays of all.
    """
    mine = tuple(names)
    others = {name: overlay for name, overlay in overlays.items() if name not in mine}
    natives = cast("Mapping[str, _Overlay]", values.get("native") or {})
    own = {key: value for name in mine for key, value in natives.get(name, {}).items()}
    foreign = {name: dict(keys) for name, keys in natives.items() if name not in mine}
    for name, overlay in others.items():
        foreign.setdefault(name, {}).update(_native_of(overlay))

    found: dict[str, tuple[str, ...]] = {}
    set_here = {field for field, value in values.items() if not _is_empty(value)} | set(_choices(own))
    for field, told in _fields_told(others, foreign).items():
        is_part = any(isinstance(others.get(name, {}).get(field), list | dict) for name in told)
        if field not in set_here and (is_part or field in _CHOSEN_ANYWHERE or 1 < len(told) == len(others)):
            found[field] = told
    with_parts = tuple(name for name in sorted(foreign) if _has_parts(foreign[name]))
    return found | ({"native": with_parts} if with_parts and not _has_parts(own) else {})


def _fields_told(
    others: Mapping[str, _Overlay], foreign: Mapping[str, Mapping[str, JsonValue]]
) -> dict[str, tuple[str, ...]]:
    """Return each field that is said for other dialects, with those that say it."""
    told: dict[str, set[str]] = {}
    for name, overlay in others.items():
        for field, value in overlay.items():
            if field != "native" and not _is_empty(value):
                told.setdefault(field, set()).add(name)
    for name, keys in foreign.items():
        for field in _choices(keys):
            told.setdefault(field, set()).add(name)
    return {field: tuple(sorted(names)) for field, names in told.items()}


def _native_of(overlay: _Overlay) -> dict[str, JsonValue]:
    native = overlay.get("native")
    return native if isinstance(native, dict) else {}


def _choices(keys: Mapping[str, JsonValue]) -> list[str]:
    """Return the fields that native keys say in their own words."""
    return [_NATIVE_CHOICES[key] for key, value in keys.items() if key in _NATIVE_CHOICES and value]


def _is_empty(value: object) -> bool:
    return value is None or value == () or value in ([], {})


def _has_parts(keys: Mapping[str, JsonValue]) -> bool:
    """Tell whether native keys hold scripts, units, LoRAs, an upscaler or another pass, beside plain settings."""
    return any(
        (isinstance(value, list | dict) or name in _PARTS) and value
        for name, value in keys.items()
        if name not in _NO_PARTS
    )
