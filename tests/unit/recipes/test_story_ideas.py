"""From a text to its list of ideas, and the file that keeps it."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sdclient.errors import ConfigurationError
from sdclient.recipes.story import (
    ExtractIdeas,
    IdeaSettings,
    Manifest,
    SourceText,
    collect_ideas,
    plan_story,
    read_manifest,
    write_manifest,
)
from sdclient.recipes.story.draft import Draft
from sdclient.recipes.story.ideas import STYLE, prompt_of
from sdclient.recipes.story.language import language_of, looks_english
from sdclient.recipes.story.plan import slots
from sdclient.schemas import Txt2Img

SOURCE = SourceText(
    "pigs", "Pigs", "One pig here. Two pigs run. Three sleep. Four pigs fly. Five are far. Six pigs sit.", "0" * 64
)


@dataclass
class Giver:
    """Gives what it has, whatever is asked."""

    answers: list[list[str]]
    name: str = "giver"
    asked: list[tuple[str, tuple[str, ...], int, tuple[str, ...]]] = field(default_factory=list)

    def ideas(self, section: str, sentences: Sequence[str], count: int, taken: Collection[str]) -> list[str]:
        self.asked.append((section, tuple(sentences), count, tuple(taken)))
        return self.answers[len(self.asked) - 1]

    def words_for(self, idea: str) -> str:
        return "" if idea.startswith("b") else f" {idea[0]} light, fog. "


def collected(answers: list[list[str]], **settings: object) -> tuple[Giver, Manifest]:
    giver = Giver(answers)
    return giver, collect_ideas(SOURCE, giver, IdeaSettings(**{"count": 2, **settings}))  # type: ignore[arg-type]


def shown(manifest: Manifest) -> list[list[str]]:
    return [[one.idea for one in section.ideas] for section in manifest.sections]


def test_each_section_is_asked_with_its_own_part_of_the_text() -> None:
    """The original's variable was overwritten: middle and end were asked about the answer before."""
    giver, _ = collected([["a", "b"], ["c", "d"], ["e", "f"]])

    assert [(section, count) for section, _, count, _ in giver.asked] == [("beginning", 2), ("middle", 2), ("end", 2)]
    assert [parts for _, parts, _, _ in giver.asked] == [
        ("One pig here.", "Two pigs run."),
        ("Three sleep.", "Four pigs fly."),
        ("Five are far.", "Six pigs sit."),
    ]


def test_all_ideas_of_every_section_are_kept() -> None:
    """A wrong indent in the original kept only the last idea of each section."""
    _, manifest = collected([["a", "b"], ["c", "d"], ["e", "f"]])

    assert shown(manifest) == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert manifest.filled == 0


def test_too_many_ideas_are_cut_and_repeated_ones_dropped_over_all_sections() -> None:
    """The original's stored answers held 5, 9 and 10 ideas, some of them twice."""
    _, manifest = collected([["a", "b", "c"], ["A.", "b", "d", "e"], ["f", "f", "g"]])

    assert shown(manifest) == [["a", "b"], ["d", "e"], ["f", "g"]]


def test_too_few_ideas_are_filled_up_with_key_sentences_and_marked() -> None:
    _, manifest = collected([["a"], ["c", "d"], []])

    assert [len(one) for one in shown(manifest)] == [2, 2, 2]
    assert manifest.filled == 3
    assert [one.origin for one in manifest.sections[0].ideas] == ["giver", "extract"]


def test_a_prompt_is_the_idea_with_its_marks_and_the_style() -> None:
    _, manifest = collected([["an owl's nest, well-hidden.", 'he said "No."'], ["c", "d"], ["e", "f"]], style=" soft, ")

    assert [one.prompt for one in manifest.sections[0].ideas] == [
        "an owl's nest, well-hidden, soft",
        'he said "No", soft',
    ]


@pytest.mark.parametrize(
    ("idea", "prompt"),
    [
        ("Help!", "Help, ink"),
        ("“Who is there?”", "“Who is there”, ink"),
        ("走れ。", "走れ, ink"),
        ("أين هو؟", "أين هو, ink"),
    ],
)
def test_no_mark_that_ends_a_sentence_stands_before_the_style(idea: str, prompt: str) -> None:
    assert prompt_of(idea, "", "ink") == prompt


@pytest.mark.parametrize(
    ("text", "is_english"),
    [
        ("a red fox, oil painting, detailed", True),
        ("The fox lived under the hill. She had a red lantern.", True),
        ("Der Fuchs lebte unter dem Berg und hatte eine Laterne.", False),
        ("Le renard et la chouette dans les bois sur la rive", False),
        ("Лиса жила под горой", False),
        ("狐は丘の下に住んでいた", False),
        ("كان يا ما كان ملك عجوز", False),
        ("2024", True),
    ],
)
def test_english_is_told_from_other_languages_and_lists_of_things_pass(text: str, *, is_english: bool) -> None:
    assert looks_english(text) == is_english


def test_sections_of_a_draft_are_not_asked_for_again_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    draft = Draft(tmp_path / "pigs", ["one", "two"])
    _, whole = collected([["a", "b"], ["c", "d"], ["e", "f"]])
    draft.keep(whole.sections[:2])

    giver = Giver([["e", "f"]])
    manifest = collect_ideas(SOURCE, giver, IdeaSettings(2), draft)

    assert manifest == whole
    assert [section for section, *_ in giver.asked] == ["end"]
    assert Draft(tmp_path / "pigs", ["one", "other"]).read() == []
    next((tmp_path / "pigs").iterdir()).write_text("[{")
    assert draft.read() == []


def test_only_drafts_are_removed_with_the_drafts(tmp_path: Path) -> None:
    _, whole = collected([["a", "b"], ["c", "d"], ["e", "f"]])
    (tmp_path / "ideas-mine.part.json").write_text("mine")
    draft = Draft(tmp_path, ["one"])
    draft.keep(whole.sections)

    draft.drop()

    assert [path.name for path in tmp_path.iterdir()] == ["ideas-mine.part.json"]


def test_words_of_a_model_come_between_and_none_leave_the_idea_as_it_is() -> None:
    giver = Giver([["a fox", "b"], ["c", "d"], ["e", "f"]])

    manifest = collect_ideas(SOURCE, giver, IdeaSettings(2, "", giver))

    assert [one.prompt for one in manifest.sections[0].ideas] == ["a fox, a light, fog", "b"]


def test_ideas_without_a_model_are_the_same_each_time() -> None:
    one = collect_ideas(SOURCE, ExtractIdeas(), IdeaSettings())

    assert one == collect_ideas(SOURCE, ExtractIdeas(), IdeaSettings())
    assert [len(section.ideas) for section in one.sections] == [5, 5, 5]
    assert one.sections[0].ideas[0].prompt.endswith(STYLE)


def test_ideas_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    _, manifest = collected([["a", "b"], ["c", "d"], ["e", "f"]])

    written = write_manifest(tmp_path / "pigs", manifest, replace=False)

    assert read_manifest(tmp_path / "pigs") == written == manifest


def test_of_two_programs_that_write_ideas_at_once_the_first_one_counts(tmp_path: Path) -> None:
    """The original's two processes both paid for ideas and raced to write them."""
    _, first = collected([["a", "b"], ["c", "d"], ["e", "f"]])
    _, second = collected([["x", "b"], ["c", "d"], ["e", "f"]])
    write_manifest(tmp_path, first, replace=False)

    assert write_manifest(tmp_path, second, replace=False) == first
    assert write_manifest(tmp_path, second, replace=True) == second
    assert read_manifest(tmp_path) == second


def test_no_ideas_yet_are_none(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{", "line 1, column 2: not JSON", id="no json"),
        pytest.param("{}", "ideas.json: title: missing", id="empty"),
        pytest.param(
            json.dumps(
                {"title": "t", "text_sha256": "", "source": "", "sections": [{"section": "x", "ideas": []}] * 2}
            ),
            "two have the same name",
            id="sections",
        ),
        pytest.param(
            json.dumps({"sections": [{"section": "x", "ideas": [{"idea": ""}]}]}), "prompt: missing", id="idea"
        ),
    ],
)
def test_ideas_that_were_broken_by_hand_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "ideas.json").write_text(text)

    with pytest.raises(ConfigurationError, match=said):
        read_manifest(tmp_path)


def test_ideas_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "ideas.json").write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigurationError, match="repair the file, or make new ideas with --new-ideas"):
        read_manifest(tmp_path)


def test_images_are_named_by_section_and_number_and_never_by_the_prompt() -> None:
    """The original's names were the prompt's first 100 characters and the second: they collided and broke at "/"."""
    _, manifest = collected([["a/b " + "long " * 60, "a/b " + "long " * 60 + "er"], ["c", "d"], ["e", "f"]])

    listed = plan_story("pigs", manifest, Txt2Img(), 7)

    places = [job.place for job in listed.jobs]
    assert len(set(places)) == 6
    assert places[0].startswith("pigs/images/beginning-01-")
    assert places[5].startswith("pigs/images/end-02-")
    assert max(len(place) for place in places) < 60
    assert listed.jobs[0].columns["idea"].startswith("a/b long")


def test_an_image_of_an_older_list_never_passes_for_one_of_this() -> None:
    """Five files on disk were complete to the original, whatever they showed."""
    _, old = collected([["a", "b"], ["c", "d"], ["e", "f"]])
    _, new = collected([["a", "x"], ["c", "d"], ["e", "f"]])

    before = {job.place for job in plan_story("pigs", old, Txt2Img(), 7).jobs}
    after = {job.place for job in plan_story("pigs", new, Txt2Img(), 7).jobs}

    assert len(before & after) == 5


def test_seeds_follow_from_run_section_and_number_and_not_from_the_prompt() -> None:
    _, old = collected([["a", "b"], ["c", "d"], ["e", "f"]])
    _, new = collected([["x", "y"], ["c", "d"], ["e", "f"]])

    seeds = [[job.changes["seed"] for job in plan_story("pigs", one, Txt2Img(), 7).jobs] for one in (old, new)]

    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 6
    assert "seed" not in plan_story("pigs", old, Txt2Img(seed=3), 7).jobs[0].changes


def test_slots_know_their_jobs() -> None:
    _, manifest = collected([["a", "b"], ["c", "d"], ["e", "f"]])

    assert [slot.key for slot in slots("pigs", manifest)] == [
        (job.kind, job.place) for job in plan_story("pigs", manifest, Txt2Img(), 7).jobs
    ]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The fox lived under the hill. She had a red lantern.", "en"),
        ("Der Fuchs lebte unter dem Berg und hatte eine Laterne.", "de"),
        ("Le renard et la chouette dans les bois sur la rive", "fr"),
        ("狐は丘の下に住んでいた", "ja"),
        ("从前山下住着一只狐狸", "zh"),
        ("여우는 언덕 아래에 살았다", "ko"),
        ("كان يا ما كان ملك عجوز", "ar"),
        ("روباه پیری زیر تپه زندگی می‌کرد", "fa"),
        ("لومڑی پہاڑی کے نیچے رہتی تھی", "ur"),
        ("Старые лисы жили под горой", "ru"),
        ("Лисиця жила під горою", "uk"),
        ("השועל גר מתחת לגבעה", "he"),
        ("fox, owl, lantern", ""),
        ("2024", ""),
        ("", ""),
    ],
)
def test_a_language_is_told_by_its_script_its_letters_or_its_small_words(text: str, language: str) -> None:
    assert language_of(text) == language
