"""One image for every hundred words or so."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.recipes.story import IdeaSettings, SourceText, collect_extracts
from sdclient.recipes.story.answers import Look, parse_look
from sdclient.recipes.story.extracts import pack

SENTENCE = "The fox number {} ran over the long green hill to the old mill near the river."
SOURCE = SourceText("fox", "Fox", " ".join(SENTENCE.format(number) for number in range(42)), "0" * 64)


@dataclass
class Eyes:
    """Sees what it is told to."""

    looks: list[Look]
    name: str = "eyes"
    asked: list[str] = field(default_factory=list)

    def look(self, extract: str) -> Look:
        self.asked.append(extract)
        return self.looks[(len(self.asked) - 1) % len(self.looks)]


def test_sentences_are_packed_into_more_than_a_hundred_words_and_a_short_rest_joins() -> None:
    packed = pack([SENTENCE.format(number) for number in range(14)])

    assert [len(one) for one in packed] == [6, 8]
    assert [len(one) for one in pack(["海" * 300] * 5)] == [3, 2]
    assert pack(["A fox."]) == [["A fox."]]


@given(st.lists(st.integers(1, 150).map("word ".__mul__), min_size=1, max_size=40))
def test_packing_loses_no_sentence(sentences: list[str]) -> None:
    packed = pack(sentences)

    assert [one for extract in packed for one in extract] == sentences
    assert all(packed)


@pytest.mark.parametrize(
    ("answer", "look"),
    [
        ("content: a fox, running\nstyle: ink", Look("a fox, running", "ink")),
        ("Sure:\n**Content:** a fox\n- *Style*: ink.", Look("a fox", "ink.")),
        ("content: a fox", Look("a fox", "")),
        ("I cannot.", Look("", "")),
        ("<think>content: x\n</think>CONTENT : a fox", Look("a fox", "")),
        ("content:\nstyle: ink", Look("", "ink")),
    ],
)
def test_content_and_style_are_read_wherever_they_stand(answer: str, look: Look) -> None:
    assert parse_look(answer) == look


def test_every_extract_becomes_an_image_with_the_style_that_fits_it() -> None:
    eyes = Eyes([Look(f"scene {number}", "ink") for number in range(6)])

    manifest = collect_extracts(SOURCE, eyes, IdeaSettings(style="soft"))

    assert [len(section.ideas) for section in manifest.sections] == [2, 2, 2]
    assert manifest.sections[2].ideas[1].prompt == "scene 5, ink, soft"
    assert manifest.filled == 0
    assert " ".join(eyes.asked) == SOURCE.text


def test_an_extract_in_which_nobody_sees_an_image_is_not_left_out() -> None:
    """The original dropped it without a word."""
    eyes = Eyes([Look("", "ink"), Look("a fox", ""), Look("A FOX.", "")])

    manifest = collect_extracts(SOURCE, eyes, IdeaSettings(style="soft"))

    assert [len(section.ideas) for section in manifest.sections] == [2, 2, 2]
    assert manifest.filled == 5
    assert manifest.sections[0].ideas[1].prompt == "a fox, soft"


def test_without_a_model_key_sentences_stand_in() -> None:
    manifest = collect_extracts(SOURCE, None, IdeaSettings())

    ideas = [one.idea for section in manifest.sections for one in section.ideas]
    assert len(set(ideas)) == 6
    assert all(idea in SOURCE.text for idea in ideas)
    assert manifest.filled == 0


def test_a_whole_book_has_as_many_different_ideas_as_extracts() -> None:
    text = " ".join(
        f"The fox went to place {number} and saw the {number % 7} lanterns there." for number in range(20_000)
    )

    made = collect_extracts(SourceText("b", "B", text, "0"), None, IdeaSettings())

    ideas = [one.idea for section in made.sections for one in section.ideas]
    assert len(ideas) > 1500
    assert len(set(ideas)) == len(ideas)


def test_a_sentence_that_comes_over_and_over_is_looked_at_once_for_each_extract() -> None:
    """Each extract tried all the views again that those before it had taken: a long text of them never ended."""
    source = SourceText("b", "B", "A fox. " * 30_000, "0")
    calls: Counter[str] = Counter()

    sys.setprofile(lambda frame, event, _: calls.update([frame.f_code.co_name] if event == "call" else []))
    try:
        made = collect_extracts(source, None, IdeaSettings())
    finally:
        sys.setprofile(None)

    ideas = [one.idea for section in made.sections for one in section.ideas]
    assert ideas[:2] == ["A fox.", "wide view: A fox."]
    assert len(set(ideas)) == len(ideas) > 500
    assert calls["comparable"] < 30_000 + 5 * len(ideas)
