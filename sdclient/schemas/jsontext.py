"""Strict JSON from a person's hand: no duplicate keys, no NaN, and errors that say where."""

from __future__ import annotations

import json
from typing import cast

from pydantic import JsonValue

from sdclient.errors import PayloadError


class _WrongJsonError(ValueError):
    """A rule of ours that the JSON text breaks."""


def parse_json(text: str, where: str) -> JsonValue:
    """Parse JSON text, refusing what the standard library lets pass.

    Args:
        text: The JSON text.
        where: What to call the source in an error, such as a file name.

    Raises:
        PayloadError: If it is no JSON (with line and column), repeats a key, or holds NaN or Infinity.
    """
    try:
        return cast("JsonValue", json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant))
    except json.JSONDecodeError as exc:
        raise PayloadError(f"{where}: line {exc.lineno}, column {exc.colno}: not JSON: {exc.msg}") from None
    except _WrongJsonError as exc:
        raise PayloadError(f"{where}: {exc}") from None
    except (RecursionError, ValueError) as exc:
        # ValueError: a number with more digits than Python converts.
        raise PayloadError(f"{where}: not usable JSON: nested too deeply, or a number without end") from exc


def parse_json_object(text: str, where: str) -> dict[str, JsonValue]:
    """Parse JSON text that must be an object.

    Raises:
        PayloadError: As ``parse_json``, or if the outermost value is no object.
    """
    value = parse_json(text, where)
    if not isinstance(value, dict):
        raise PayloadError(f"{where}: the whole must be a JSON object {{…}}, not {type(value).__name__}")
    return value


def _without_repeats(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    result: dict[str, JsonValue] = {}
    for key, value in pairs:
        if key in result:
            raise _WrongJsonError(f"the key {key[:60]!r} is there twice; keep one")
        result[key] = value
    return result


def _refuse_constant(name: str) -> object:
    raise _WrongJsonError(f"{name} is no JSON number; write a finite one")
