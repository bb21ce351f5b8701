"""Facts about servers that no source confirmed: each is handled so that either reading of it is right."""

from __future__ import annotations

from dataclasses import dataclass

from sdclient.dialects.facts import entries_of, fact_table

__all__ = ["Unverified", "unverified_facts"]


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
