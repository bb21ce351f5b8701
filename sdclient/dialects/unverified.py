"""Facts about servers that no source confirmed: each is handled so that either reading of it is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from sdclient.dialects.facts import entries_of, fact_table

__all__ = ["TABLES", "Unverified", "marked_places", "unverified_facts"]

TABLES = ("a1111", "drawthings", "drawthings_config", "extensions", "others")
"""The tables that mark what they could not confirm."""
_MARK = "unverified"


@dataclass(frozen=True, slots=True)
class Unverified:
    """One fact that is not confirmed.

    Attributes:
        name: Its short name; a comment with it stands where the code takes both readings.
        table: The table that marks it, by the stem of its file.
        at: Its place there, keys and numbers joined by dots.
        what: What is not confirmed.
        treated: What is done so that either reading is right.
        where: The file with the comment.
    """

    name: str
    table: str
    at: str
    what: str
    treated: str
    where: str


def unverified_facts() -> tuple[Unverified, ...]:
    """Return every fact that is not confirmed, in the order of the tables."""
    keys = ("id", "table", "at", "what", "treated", "where")
    return tuple(
        Unverified(*(str(row[key]) for key in keys)) for row in entries_of(fact_table("unverified"), "entries")
    )


def marked_places(table: str) -> frozenset[str]:
    """Return the places of a table that say of something in them that it is not confirmed."""
    return frozenset(_marked(fact_table(table), ()))


def _marked(value: JsonValue, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.startswith(_MARK) or (isinstance(inner, str) and _MARK in inner):
                yield ".".join(path)
            else:
                yield from _marked(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            if isinstance(inner, str) and _MARK in inner:
                yield ".".join((*path, str(number)))
            else:
                yield from _marked(inner, (*path, str(number)))
