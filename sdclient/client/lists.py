"""Names in the lists that servers offer, which differ in shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast


def names_in(entries: object, keys: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the names in a list, each once, in order.

    Args:
        entries: A list of objects, or an object that holds a list of plain names, as ControlNet's do.
        keys: The keys of an entry that hold its names, or the key of that list.

    Returns:
        The names; None where it is no such list.
    """
    if isinstance(entries, dict):
        found = cast("dict[str, object]", entries).get(keys[0])
        return _texts(cast("list[object]", found)) if isinstance(found, list) else None
    if not isinstance(entries, list):
        return None
    rows = [cast("dict[str, object]", row) for row in cast("list[object]", entries) if isinstance(row, dict)]
    return _texts(row.get(key) for row in rows for key in keys) if rows or not entries else None


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))
