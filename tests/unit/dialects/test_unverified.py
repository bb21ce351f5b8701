"""Facts that no source confirms: listed whole, told on the guide's page, and marked where the code takes both readings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import JsonValue

from sdclient.dialects.facts import fact_table
from sdclient.dialects.matrix import matrix_markdown
from sdclient.dialects.unverified import Unverified, unverified_facts

ROOT = Path(__file__).parents[3]
FACTS = unverified_facts()
TABLES = ("a1111", "drawthings", "drawthings_config", "extensions", "others")
"""The tables that mark what they could not confirm."""
MARK = "unverified"


def marked_places(table: str) -> frozenset[str]:
    """Return the places of a table that say of something in them that it is not confirmed."""
    return frozenset(marked(fact_table(table), ()))


def marked(value: JsonValue, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.startswith(MARK) or (isinstance(inner, str) and MARK in inner):
                yield ".".join(path)
            else:
                yield from marked(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            if isinstance(inner, str) and MARK in inner:
                yield ".".join((*path, str(number)))
            else:
                yield from marked(inner, (*path, str(number)))


@pytest.mark.parametrize("table", TABLES)
def test_every_fact_that_a_table_marks_is_listed_once(table: str) -> None:
    listed = Counter(fact.at for fact in FACTS if fact.table == table)

    assert set(listed) == marked_places(table)
    assert set(listed.values()) == {1}


def test_no_other_table_marks_any() -> None:
    others = {path.stem for path in (ROOT / "sdclient" / "facts").glob("*.json")} - {*TABLES, "unverified"}

    assert not [name for name in others if "unverified" in str(fact_table(name))]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_the_code_says_where_it_takes_both_readings(fact: Unverified) -> None:
    text = (ROOT / fact.where).read_text(encoding="utf-8")

    assert text.count(f"# Unverified [{fact.name}]: ") == 1


def test_the_guide_tells_every_one_of_them() -> None:
    page = matrix_markdown()

    assert all(f"| {fact.what} | {fact.treated} |" in page for fact in FACTS)
