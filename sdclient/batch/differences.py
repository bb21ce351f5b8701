"""In which fields two plans of one job differ, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import JsonValue

_TOLD = 3
_SHOWN = 60


def differences(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> str:
    """Say what is otherwise, a few fields of it: ``steps 5, now 7; width 512, now 1024 and 2 more``."""
    old, new = _flat(dict(before)), _flat(dict(after))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    told = [f"{_name(name)} {_shown(old.get(name))}, now {_shown(new.get(name))}" for name in names[:_TOLD]]
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return "; ".join(told) + more or "other settings"


def _name(path: str) -> str:
    """Return a path as people know the field: without where the plan keeps it."""
    return path.removeprefix("changes.").removeprefix("request.").removeprefix("segment.")


def _flat(value: JsonValue, path: str = "") -> dict[str, JsonValue]:
    """Return every value below ``value`` by its dotted path."""
    if not isinstance(value, dict):
        return {path: value}
    flat: dict[str, JsonValue] = {}
    for name, part in value.items():
        flat |= _flat(part, f"{path}.{name}" if path else name)
    return flat


def _shown(value: JsonValue) -> str:
    text = "unset" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
