"""The tables of facts, and the defaults we ship for Draw Things."""

import json
from pathlib import Path

import pytest

from sdclient.dialects import facts
from sdclient.dialects.facts import Key, KeyTable, close_names, drawthings_defaults, drawthings_keys, few_names

FOLDER = Path(facts.__file__).parents[1] / "facts"


def test_there_is_a_default_for_every_key_that_can_be_sent_but_the_model() -> None:
    usable = {key.name for key in drawthings_keys().values() if key.usable}

    assert drawthings_defaults().keys() == usable - {"model"}


@pytest.mark.parametrize("name", sorted(drawthings_defaults()))
def test_every_default_is_within_the_servers_range(name: str) -> None:
    assert drawthings_keys()[name].problem(drawthings_defaults()[name]) is None


def test_every_note_is_about_a_key() -> None:
    table = json.loads((FOLDER / "drawthings_defaults.json").read_text(encoding="utf-8"))

    assert set(table["notes"]) <= set(table["values"])
    assert set(table["left_out"]) == set(drawthings_keys()) - set(table["values"])


def test_a_default_is_what_a_fresh_install_shows_unless_a_note_says_otherwise() -> None:
    table = json.loads((FOLDER / "drawthings_defaults.json").read_text(encoding="utf-8"))
    entries = json.loads((FOLDER / "drawthings.json").read_text(encoding="utf-8"))["parameters"]
    shown = {e["key"]: e.get("fresh_install_default", e.get("schema_default")) for e in entries}

    changed = {name for name, value in table["values"].items() if shown[name] is not None and value != shown[name]}

    assert changed <= set(table["notes"])


def test_a_key_is_found_by_every_spelling() -> None:
    table = KeyTable([Key("a", ("b", "c"), frozenset({"int"}))])

    assert table["b"] is table["a"]
    assert "c" in table
    assert "d" not in table
    assert (list(table), len(table), table.spellings) == (["a"], 1, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        (Key("k", types=frozenset({"int"}), minimum=1, maximum=4), 4, None),
        (Key("k", types=frozenset({"int"}), minimum=1, maximum=4), 5, "between 1 and 4"),
        (Key("k", types=frozenset({"int"}), minimum=1), 0, "at least 1"),
        (Key("k", types=frozenset({"int"}), maximum=4), 5, "at most 4"),
        (Key("k", types=frozenset({"int"})), 1.0, "int"),
        (Key("k", types=frozenset({"float"})), 1, None),
        (Key("k", types=frozenset({"float"})), False, "float"),
        (Key("k", types=frozenset({"bool"})), True, None),
        (Key("k", types=frozenset({"string", "null"})), None, None),
        (Key("k", types=frozenset({"string"})), None, "string"),
        (Key("k", types=frozenset({"array"})), [], None),
        (Key("k", types=frozenset({"object"})), {}, None),
        (Key("k", types=frozenset({"object", "null"})), [], "null or object"),
        (Key("k", types=frozenset({"enum"}), labels=("A", "B")), "A", None),
        (Key("k", types=frozenset({"enum"}), labels=("Alpha", "B")), "alpha", "one of Alpha, B; did you mean Alpha?"),
        (Key("k", types=frozenset({"enum"}), labels=("A", "B")), None, "one of A, B"),
    ],
)
def test_a_key_says_what_is_wrong_with_a_value(key: Key, value: object, problem: str | None) -> None:
    assert key.problem(value) == problem


def test_close_names_do_not_mind_letter_case() -> None:
    assert close_names("EULER A", ["Euler a", "DDIM"]) == "; did you mean Euler a?"
    assert close_names("zzz", ["Euler a"]) == ""


def test_few_names_say_that_there_are_more() -> None:
    assert few_names(["a", "b", "c"], 2) == "a, b, …"
    assert few_names(["a", "b"], 2) == "a, b"
