"""Checking request bodies against the fact tables: types, ranges, choices, aliases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sdclient.simulator.facts import Field, JsonObject, JsonValue

__all__ = ["CheckError", "Problem", "coerce", "decode_element", "decode_strict", "group_keys", "is_number"]


class CheckError(Exception):
    """A body that a strict server refuses; the text says why."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of a lenient server's validation.

    Attributes:
        field: Name of the key.
        message: What is wrong with its value.
        code: The validation framework's name for that.
    """

    field: str
    message: str
    code: str


def is_number(value: JsonValue) -> bool:
    """Tell numbers from everything else; true and false are no numbers."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# --- strict: Draw Things -------------------------------------------------------------------------------------------


def group_keys(body: Mapping[str, JsonValue], fields: Sequence[Field], extra: Sequence[str]) -> dict[str, str]:
    """Map each table key that `body` sets to the spelling used.

    Args:
        body: The decoded request.
        fields: The table of keys.
        extra: Keys that are accepted beside the table.

    Raises:
        CheckError: If a key is unknown, unusable, or given under two spellings.
    """
    spellings = {name: field for field in fields for name in (field.name, *field.aliases)}
    unknown = [key for key in body if key not in spellings and key not in extra]
    if unknown:
        raise CheckError("Unrecognized keys: [" + ", ".join(f'"{key}"' for key in unknown) + "]")
    used: dict[str, str] = {}
    for key in body:
        field = spellings.get(key)
        if field is None:
            continue
        # A key that lists itself among its aliases is counted twice by the app, so one is already too many.
        if field.name in used or not field.usable:
            raise CheckError(f"More than one key for the same parameter: {field.name}")
        used[field.name] = key
    return used


def decode_strict(field: Field, value: JsonValue, current: JsonValue) -> JsonValue:
    """Decode one value the way a typed decoder does: no coercion at all.

    Args:
        field: The row of the table.
        value: What the request holds.
        current: What the app shows, kept where null says so.

    Raises:
        CheckError: If the type is wrong, or the value out of range or not one of the choices.
    """
    if value is None:
        if field.kind == "enum":
            raise CheckError(f"{field.name}: null is not a value of this type")
        return None if field.kind == "string" else current
    if not _has_type(field.kind, value):
        raise CheckError(f"{field.name}: expected {field.kind}, found {_shown(value)}")
    if field.choices and value not in field.choices:
        raise CheckError(f"{field.name}: {_shown(value)} is not one of {', '.join(field.choices)}")
    if isinstance(value, (int, float)) and not _in_range(field, value):
        raise CheckError(f"{field.name}: {_shown(value)} is not within {field.minimum} ... {field.maximum}")
    return value


def decode_element(kind: str, fields: Sequence[Field], element: JsonValue) -> JsonObject:
    """Decode one element of a `loras` or `controls` list; unknown keys in it are ignored.

    Raises:
        CheckError: If a required key is missing or a type is wrong. Choices are not checked: the app takes any text.
    """
    if not isinstance(element, dict):
        raise CheckError(f"{kind}: expected object, found {_shown(element)}")
    decoded: JsonObject = {}
    for field in fields:
        value = element.get(field.name)
        if value is None:
            if field.required:
                raise CheckError(f"{kind}: {field.name}: no value")
        elif not _has_type(field.kind, value):
            raise CheckError(f"{kind}: {field.name}: expected {field.kind}, found {_shown(value)}")
        decoded[field.name] = value
    return decoded


def _has_type(kind: str, value: JsonValue) -> bool:
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "float":
        return is_number(value)
    expected: dict[str, type] = {"bool": bool, "string": str, "enum": str, "array": list, "object": dict}
    return isinstance(value, expected[kind])


def _in_range(field: Field, value: float) -> bool:
    above = field.minimum is None or value >= field.minimum
    return above and (field.maximum is None or value <= field.maximum)


def _shown(value: JsonValue) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - short enough for one line


# --- lenient: servers that validate with pydantic ----------------------------------------------------------------------


def coerce(field: Field, value: JsonValue) -> tuple[JsonValue, Problem | None]:
    """Read one value as FastAPI with pydantic 1 does: numbers in strings count, unknown keys were dropped before.

    Returns:
        The value as the server sees it, and what is wrong with it or None.
    """
    readers = {"int": _as_int, "float": _as_float, "bool": _as_bool, "string": _as_string}
    reader = readers.get(field.kind)
    result, problem = reader(field.name, value) if reader else _as_container(field, value)
    if problem is None and isinstance(result, (int, float)) and not isinstance(result, bool):
        problem = _range_problem(field, result)
    return result, problem


def _as_int(name: str, value: JsonValue) -> tuple[JsonValue, Problem | None]:
    try:
        if isinstance(value, (int, float, str)):
            return int(value), None
    except (ValueError, OverflowError):
        pass
    return value, Problem(name, "value is not a valid integer", "type_error.integer")


def _as_float(name: str, value: JsonValue) -> tuple[JsonValue, Problem | None]:
    try:
        if isinstance(value, (int, float, str)):
            return float(value), None
    except (ValueError, OverflowError):
        pass
    return value, Problem(name, "value is not a valid float", "type_error.float")


def _as_bool(name: str, value: JsonValue) -> tuple[JsonValue, Problem | None]:
    word = str(value).lower() if isinstance(value, (bool, int, str)) else ""
    if word in {"true", "1", "on", "t", "y", "yes"}:
        return True, None
    if word in {"false", "0", "off", "f", "n", "no"}:
        return False, None
    return value, Problem(name, "value could not be parsed to a boolean", "type_error.bool")


def _as_string(name: str, value: JsonValue) -> tuple[JsonValue, Problem | None]:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value), None
    return value, Problem(name, "str type expected", "type_error.str")


def _as_container(field: Field, value: JsonValue) -> tuple[JsonValue, Problem | None]:
    if field.kind == "object":
        fits, word = isinstance(value, dict), "dict"
    else:
        fits, word = isinstance(value, list), "list"
    return value, None if fits else Problem(field.name, f"value is not a valid {word}", f"type_error.{word}")


def _range_problem(field: Field, value: float) -> Problem | None:
    if field.minimum is not None and value < field.minimum:
        limit = f"{field.minimum:g}"
        return Problem(
            field.name, f"ensure this value is greater than or equal to {limit}", "value_error.number.not_ge"
        )
    if field.maximum is not None and value > field.maximum:
        limit = f"{field.maximum:g}"
        return Problem(field.name, f"ensure this value is less than or equal to {limit}", "value_error.number.not_le")
    return None
