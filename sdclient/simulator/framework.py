"""How FastAPI with pydantic 1 checks a body, and what the servers built on it refuse."""

from __future__ import annotations

from collections.abc import Sequence

from sdclient.simulator.checks import Problem, coerce
from sdclient.simulator.dialect import Call, Refusal, json_reply
from sdclient.simulator.facts import Field, JsonObject, JsonValue

__all__ = ["HttpError", "invalid", "object_body", "validated"]

_NO_NULL = frozenset({"script_args", "alwayson_scripts", "send_images", "save_images", "sampler_index"})


class HttpError(Exception):
    """Raised where the real program raises its framework's HTTPException; each program has its own body for it.

    Args:
        status: HTTP status.
        detail: The text.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


def invalid(problems: Sequence[Problem]) -> Refusal:
    """Give the framework's 422, whose `detail` is a list."""
    found: list[JsonValue] = [
        {"loc": ["body", *([problem.field] if problem.field else [])], "msg": problem.message, "type": problem.code}
        for problem in problems
    ]
    return Refusal(json_reply({"detail": found}, 422))


def object_body(call: Call) -> JsonObject:
    """Decode a body that must be a JSON object.

    Raises:
        Refusal: With the framework's 422 if it is not.
    """
    try:
        body = call.json()
    except (ValueError, RecursionError) as problem:
        raise invalid(
            [Problem("", f"JSON could not be decoded: {problem}"[:200], "value_error.jsondecode")]
        ) from problem
    if not isinstance(body, dict):
        raise invalid([Problem("", "value is not a valid dict", "type_error.dict")])
    return body


def validated(call: Call, fields: Sequence[Field]) -> JsonObject:
    """Fill defaults in and check what is there; keys that no field knows fall away.

    Args:
        call: The request.
        fields: The table of its body.

    Returns:
        One value per field.

    Raises:
        Refusal: With the framework's 422 that lists every problem.
    """
    body = object_body(call)
    # The two generation requests are built from constructor arguments that are all optional, so null passes there.
    lenient = any(field.name == "override_settings" for field in fields)
    values: JsonObject = {}
    problems: list[Problem] = []
    for field in fields:
        value = body.get(field.name, None if field.required else field.default)
        problem: Problem | None = None
        if field.name not in body:
            problem = Problem(field.name, "field required", "value_error.missing") if field.required else None
        elif value is not None:
            value, problem = coerce(field, value)
        elif not _takes_null(field, lenient=lenient):
            problem = Problem(field.name, "none is not an allowed value", "type_error.none.not_allowed")
        values[field.name] = value
        problems += [problem] if problem else []
    if problems:
        raise invalid(problems)
    return values


def _takes_null(field: Field, *, lenient: bool) -> bool:
    optional = field.nullable or (field.default is None and not field.required)
    return optional or (lenient and field.name not in _NO_NULL)
