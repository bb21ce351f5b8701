"""``--set field=value``: change a request by dotted paths, so that the change wins over every overlay."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, cast

from pydantic import JsonValue

from sdclient.errors import PayloadError
from sdclient.schemas.generation import DIALECT_NAMES, Request
from sdclient.schemas.payload import check_overlay

RequestT = TypeVar("RequestT", bound=Request)
Step: TypeAlias = "str | int"

_PATH = re.compile(r"[A-Za-z_][\w+\- ]*(\[\d{1,4}\])*(\.[A-Za-z_][\w+\- ]*(\[\d{1,4}\])*)*")
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


@dataclass(frozen=True, slots=True)
class _Change:
    """One ``--set``, taken apart.

    Attributes:
        text: As typed, for errors.
        path: Field names and list positions, outermost first.
        value: The value as JSON says it.
        bare: The value as typed, where JSON made something else of it; else None.
    """

    text: str
    path: tuple[Step, ...]
    value: JsonValue
    bare: str | None


def apply_sets(request: RequestT, sets: Sequence[str]) -> RequestT:
    """Return a validated copy of ``request`` with changes such as ``controls[0].weight=0.4``.

    A value is JSON where it reads as JSON, else text. A change wins over overlays that carry the same
    field. A path that begins with a dialect's name (``drawthings.steps=8``) changes that overlay alone.

    Args:
        request: The request, with its overlays.
        sets: ``path=value`` each. Their order matters only between two that change the same field.

    Raises:
        PayloadError: If a path is none, a field is unknown, or a value not allowed.
    """
    waiting = [_parse(text) for text in sets]
    while waiting:
        request, refused = _apply_all(request, waiting)
        if len(refused) == len(waiting):
            return _applied_at_once(request, waiting, refused[0][1])
        # What was refused may fit now that the others are in: width=512 with a smaller hires pass set after it.
        waiting = [change for change, _ in refused]
    return request


def _applied_at_once(request: RequestT, changes: Sequence[_Change], first: PayloadError) -> RequestT:
    """Apply changes of which none fits alone: a new part, say, needs two fields; raises ``first`` if they do not fit."""
    values, overlays = _contents(request)
    where = ", ".join(f"--set {change.text[:60]}" for change in changes)
    try:
        for change in changes:
            _change(values, overlays, change, change.value)
        return _validated(request, values, overlays, where)
    except PayloadError:
        raise first from None


def _apply_all(request: RequestT, changes: Sequence[_Change]) -> tuple[RequestT, list[tuple[_Change, PayloadError]]]:
    """Apply what can be applied, in order; return what could not, with its reason."""
    refused: list[tuple[_Change, PayloadError]] = []
    for change in changes:
        try:
            request = _apply(request, change)
        except PayloadError as exc:  # noqa: PERF203 - a handful of changes
            refused.append((change, exc))
    return request, refused


def _parse(text: str) -> _Change:
    path, equals, typed = text.partition("=")
    path = path.strip()
    if not equals or not _PATH.fullmatch(path):
        raise PayloadError(f"--set {text[:60]!r}: write field=value, such as steps=20 or controls[0].weight=0.4")
    steps = tuple(int(match[1]) if match[1] else match[2] for match in _STEP.finditer(path))
    try:
        value = cast("JsonValue", json.loads(typed, parse_constant=_refuse_constant))
    except (ValueError, RecursionError):
        return _Change(text, steps, typed, None)
    return _Change(text, steps, value, None if isinstance(value, str) else typed)


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _apply(request: RequestT, change: _Change) -> RequestT:
    try:
        return _changed(request, change, change.value)
    except PayloadError as first:
        if change.bare is None:
            raise
        # `model=1234` reads as a number, and may be meant as text.
        try:
            return _changed(request, change, change.bare)
        except PayloadError:
            raise first from None


def _changed(request: RequestT, change: _Change, value: JsonValue) -> RequestT:
    values, overlays = _contents(request)
    _change(values, overlays, change, value)
    return _validated(request, values, overlays, f"--set {change.text[:60]}")


def _contents(request: Request) -> tuple[dict[str, JsonValue], dict[str, dict[str, JsonValue]]]:
    """Return what a request says, and what its overlays say, to be changed."""
    values = request.model_dump(mode="python", exclude_unset=True, exclude={"overlays"})
    return values, {name: copy.deepcopy(dict(one)) for name, one in request.overlays.items()}


def _change(
    values: dict[str, JsonValue], overlays: dict[str, dict[str, JsonValue]], change: _Change, value: JsonValue
) -> None:
    where = f"--set {change.text[:60]}"
    first, rest = change.path[0], change.path[1:]
    if first in DIALECT_NAMES:
        if not rest:
            raise PayloadError(f"{where}: name a field of the overlay, such as {first}.steps=8")
        _put(overlays.setdefault(str(first), {}), rest, value, where)
        return
    carriers = [overlay for overlay in overlays.values() if _carries(overlay, change.path)]
    for overlay in carriers:
        _put(overlay, change.path, value, where)
    if first == "native":
        _drop_native(overlays, rest)
    # A part of which only overlays know the rest stays theirs; a whole field is for every server.
    if not rest or not carriers or _carries(values, change.path):
        _put(values, change.path, value, where)


def _validated(
    request: RequestT, values: Mapping[str, JsonValue], overlays: Mapping[str, Mapping[str, JsonValue]], where: str
) -> RequestT:
    _check_overlays(type(request), overlays, where)
    return request.from_mapping({**values, "overlays": overlays} if overlays else values, where=where)


def _carries(values: Mapping[str, object], path: Sequence[Step]) -> bool:
    """Tell whether ``values`` say something about the field that ``path`` changes."""
    first = path[0]
    if not isinstance(first, str) or first == "native" or first not in values:
        return False
    below = values[first]
    if len(path) > 1 and isinstance(path[1], int):
        return isinstance(below, list | tuple) and path[1] < len(cast("list[object]", below))
    return len(path) == 1 or isinstance(below, dict)


def _drop_native(overlays: Mapping[str, dict[str, JsonValue]], path: Sequence[Step]) -> None:
    """Take a native key that was just set out of the overlay that would cover it."""
    overlay = overlays.get(str(path[0])) if path else None
    native = overlay.get("native") if overlay else None
    if isinstance(native, dict) and len(path) > 1:
        native.pop(str(path[1]), None)


def _put(values: dict[str, JsonValue], path: Sequence[Step], value: JsonValue, where: str) -> None:
    """Set ``path`` inside ``values``, making objects on the way."""
    holder: object = values
    for step, following in itertools.pairwise(path):
        holder = _inside(holder, step, following, where)
    last = path[-1]
    if isinstance(holder, dict) and isinstance(last, str):
        cast("dict[str, object]", holder)[last] = value
    elif isinstance(holder, list) and isinstance(last, int):
        _check_position(cast("list[object]", holder), last, where)
        cast("list[object]", holder)[last] = value
    else:
        raise PayloadError(f"{where}: there is nothing inside that is called {last!r}")


def _inside(holder: object, step: Step, following: Step, where: str) -> object:
    if isinstance(holder, dict) and isinstance(step, str):
        table = cast("dict[str, object]", holder)
        below = table.get(step)
        if below is None:
            empty: object = list[object]() if isinstance(following, int) else dict[str, object]()
            below = empty
        # Lists that pydantic made tuples of are made lists again, to be changed in place.
        table[step] = list(cast("tuple[object, ...]", below)) if isinstance(below, tuple) else below
        return table[step]
    if isinstance(holder, list) and isinstance(step, int):
        _check_position(cast("list[object]", holder), step, where)
        return cast("list[object]", holder)[step]
    raise PayloadError(f"{where}: there is nothing inside that is called {step!r}")


def _check_position(items: list[object], position: int, where: str) -> None:
    if position >= len(items):
        raise PayloadError(f"{where}: there is no entry [{position}]; the list has {len(items)}, counted from 0")


def _check_overlays(cls: type[Request], overlays: Mapping[str, Mapping[str, JsonValue]], where: str) -> None:
    # One change may go into several overlays, and is one mistake then.
    names: dict[str, list[str]] = {}
    for name, overlay in overlays.items():
        for line in check_overlay(cls, overlay, name):
            names.setdefault(line.removeprefix(f"{name}."), []).append(line)
    lines = [lines[0] if len(lines) == 1 else problem for problem, lines in names.items()]
    if lines:
        raise PayloadError("\n".join(f"{where}: {line}" for line in lines))
