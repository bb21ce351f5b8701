"""What language models answer, and what is read out of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.recipes.story.answers import MAX_IDEA_CHARS, different, parse_ideas

TWO = ["a fox, asleep (under a tree)", "an owl's nest"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(json.dumps(TWO), id="json"),
        pytest.param(
            f"Sure! Here are 2 ideas:\n```json\n{json.dumps(TWO, indent=1)}\n```\nEnjoy!", id="prose and fence"
        ),
        pytest.param(json.dumps({"ideas": TWO}), id="object"),
        pytest.param(json.dumps([{"idea": one, "n": 1} for one in TWO]), id="objects"),
        pytest.param(f'<think>Maybe ["a", "b", "c"]?</think>\n{json.dumps(TWO)}', id="thoughts before"),
        pytest.param(
            f'1. "a"\n2. "b"\n3. "c"</think>\n{TWO[0]!r} it is:\n1. {TWO[0]}\n2. {TWO[1]}', id="thoughts unmarked"
        ),
        pytest.param("\n".join(json.dumps({"idea": one}) for one in TWO), id="an object a line"),
        pytest.param(json.dumps({"1": TWO[0], "2": TWO[1]}), id="an object with numbers"),
        pytest.param(json.dumps([TWO]), id="a list in a list"),
        pytest.param(json.dumps(TWO)[:-1] + ",]", id="a comma too much"),
        pytest.param(json.dumps(TWO)[:-1] + ', "an owl at nig', id="cut off"),
        pytest.param(f"['{TWO[0]}', '{TWO[1]}']", id="single quotation marks"),
        pytest.param(f"[“{TWO[0]}”, “{TWO[1]}”]", id="curly quotation marks"),
        pytest.param(f'[\n "{TWO[0]}", // the first\n "{TWO[1]}"\n]', id="a comment"),
        pytest.param(f"[Note: short] {json.dumps(TWO)}", id="a bracket before"),
        pytest.param(f"1) {TWO[0]}\n2) {TWO[1]}\n", id="numbers with brackets"),
        pytest.param(f'Ideas:\n\n1. **{TWO[0]}**\n\n2. "{TWO[1]}"\n\nLet me know!', id="numbers with dots"),
        pytest.param(f"- {TWO[0]}\n* {TWO[1]}", id="dashes"),
        pytest.param(f"9. {TWO[0]}\n10. {TWO[1]}", id="two digits"),
        pytest.param("1. a fox, asleep\n   (under a tree)\n2. an owl's nest", id="several lines"),
        pytest.param(f"1) {TWO[0]}\n2) {TWO[1]}\n3) {TWO[0].upper()}", id="repeated"),
        pytest.param(f"Here they are: 1. {TWO[0]} 2. {TWO[1]}", id="on one line"),
        pytest.param(f"(1) {TWO[0]} (2) {TWO[1]}\n\nLet me know!", id="brackets on one line"),
    ],
)
def test_ideas_are_read_with_all_their_marks(answer: str) -> None:
    """The original split at every bracket, cut two characters off each piece, and took out all punctuation."""
    assert parse_ideas(answer) == TWO


@pytest.mark.parametrize("answer", ["", "I cannot help with that.", "{}", "[]", "[1, 2]", "[[", '["', "[" * 200_000])
def test_an_answer_without_a_list_gives_no_ideas(answer: str) -> None:
    assert parse_ideas(answer) == []


@given(st.text(max_size=500))
def test_no_answer_makes_it_fail(answer: str) -> None:
    found = parse_ideas(answer)

    assert found == different(found)


def test_numbers_inside_an_idea_do_not_take_it_apart() -> None:
    assert parse_ideas("1. a clock at 2. 30 in the night\n2. 3 foxes (1) and an owl") == [
        "a clock at 2. 30 in the night",
        "3 foxes (1) and an owl",
    ]


def test_a_list_of_blanks_is_no_list_and_hides_none() -> None:
    assert parse_ideas('["\\u00a0"]') == []
    assert parse_ideas('Like this: ["..."]\n1. A fox\n2. An owl') == ["A fox", "An owl"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60), max_size=6))
def test_a_json_list_comes_back_tidied_up_whatever_stands_in_it(ideas: list[str]) -> None:
    assert parse_ideas(json.dumps(ideas)) == different(ideas)


def test_ideas_that_differ_only_in_marks_and_case_are_one() -> None:
    assert different(["A red fox.", "a red fox", "  ", "An owl"], ["an OWL!"]) == ["A red fox."]


def test_an_endless_idea_is_cut_at_a_word() -> None:
    (idea,) = different(["word " * 500])

    assert len(idea) <= MAX_IDEA_CHARS
    assert idea.endswith("word")


@pytest.mark.parametrize("piece", ['["', "['a", '[ "a ', "<think>", "{", "1. "], ids=repr)
def test_an_answer_of_one_thing_over_and_over_ends_and_is_one_idea_at_most(piece: str) -> None:
    assert len(parse_ideas(piece * 100_000)) <= 1


def test_escaped_quotation_marks_stay_in_a_list_that_is_nearly_json() -> None:
    assert parse_ideas(r'["he said \"hi\", and ran", "an owl",]') == ['he said "hi", and ran', "an owl"]
