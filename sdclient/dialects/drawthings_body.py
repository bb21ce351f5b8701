"""The flat body of a Draw Things request: every key that may be sent, once, and in its range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.base import ServerFacts
from sdclient.dialects.draft import Draft, shown
from sdclient.dialects.facts import close_names, drawthings_defaults, drawthings_keys, few_names
from sdclient.errors import PayloadError

__all__ = ["SIZE_STEP_PX", "DrawThingsDraft"]

SIZE_STEP_PX = 64
"""Sizes are floored to multiples of this without a word."""

# Taken by the server though it does not list them among its options.
_UNLISTED = ("restore_faces", "init_images")
# Sent with every request, so that a native key of the name would always be the second one.
_FIELDS_ONLY = ("restore_faces", "width", "height", "batch_size")
_CONTROL_FIELDS: Mapping[str, tuple[type, ...]] = {
    "weight": (int, float),
    "guidanceStart": (int, float),
    "guidanceEnd": (int, float),
    "noPrompt": (bool,),
    "globalAveragePooling": (bool,),
    "downSamplingRate": (int, float),
    "controlImportance": (str,),
    "inputOverride": (str,),
    "targetBlocks": (list,),
}


class DrawThingsDraft(Draft):
    """A Draw Things body that starts from our default for every key this server takes."""

    def __init__(self, facts: ServerFacts) -> None:
        keys = drawthings_keys()
        usable = [key.name for key in keys.values() if key.usable]
        named = facts.options
        self.sendable = frozenset(usable if named is None else (name for name in usable if name in named))
        defaults = drawthings_defaults()
        super().__init__({name: value for name, value in defaults.items() if name in self.sendable}, "Draw Things")
        if named is not None:
            self._note_unknown([name for name in named if name not in keys])

    def put(self, key: str, value: JsonValue, field: str) -> None:
        """Set a key for a field of the request, or note why that cannot be."""
        if key not in _UNLISTED:
            problem = drawthings_keys()[key].problem(value)
            if problem is not None:
                self.refuse(field, f"{shown(value)} is not possible on Draw Things: {key} must be {problem}")
                return
            if key not in self.sendable:
                self.drop(field, f"this version of Draw Things has no {key}; update the app to use it")
                return
        super().put(key, value, field)

    def default(self, key: str, value: JsonValue) -> None:
        """Replace our default of a key by one that follows from the request."""
        if key in self.sendable and key not in self.asked:
            self.values[key] = value

    def put_native(self, native: Mapping[str, JsonValue]) -> None:
        """Add keys that the request gives in Draw Things' own spelling.

        Raises:
            PayloadError: If a key or value is none of Draw Things', or a field of the request sets it, too.
        """
        keys = drawthings_keys()
        for name, value in native.items():
            where = f"native.drawthings.{name[:60]}"
            if name == "init_images":
                raise PayloadError(f"{where}: the image goes into init_image")
            if name in _FIELDS_ONLY:
                raise PayloadError(f"{where}: use the field {name}")
            if name not in keys:
                raise PayloadError(f"{where}: unknown key{close_names(name, keys.spellings)}")
            key = keys[name]
            if not key.usable:
                raise PayloadError(
                    f"{where}: Draw Things refuses every request that carries this key; set it in the app"
                )
            problem = key.problem(value) or _element_problem(key.name, value)
            if problem is not None:
                raise PayloadError(f"{where}: must be {problem}, not {shown(value)}")
            self.claim_native(key.name, where)
            if key.name in self.sendable:
                self.values[key.name] = value
            else:
                self.drop(where, "this version of Draw Things has no such key; update the app to use it")

    def _note_unknown(self, unknown: list[str]) -> None:
        if unknown:
            message = f"keys this sdclient does not know keep what the app shows: {few_names(sorted(unknown))}"
            self.lose("native.drawthings", "inherited", "note", message)


def _element_problem(key: str, value: JsonValue) -> str | None:
    """Say what is wrong with the elements of ``loras`` or ``controls``; the app refuses half of one whole."""
    if key == "loras":
        fields: Mapping[str, tuple[type, ...]] = {"weight": (int, float)}
    elif key == "controls":
        fields = _CONTROL_FIELDS
    else:
        return None
    for item in cast("list[JsonValue]", value):
        missing = [name for name, types in fields.items() if not _holds(item, name, types)]
        if missing:
            return f"a list of objects that each have {', '.join(missing)} of the right type"
    return None


def _holds(item: JsonValue, name: str, types: tuple[type, ...]) -> bool:
    if not isinstance(item, dict):
        return False
    value = item.get(name)
    # True is an int to Python, and none to Draw Things.
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))
