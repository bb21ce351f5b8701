"""Chapters and prompts of a source: split by regular expressions, within a bounded time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sdclient.errors import ConfigurationError
from sdclient.recipes.interleave import PromptConfig, read_chapters, splitting
from sdclient.recipes.interleave.prompts import Chapters

EPISODES = "About\nSeason1\nThe keeper\n\nA storm\nSeason2 Autumn\nA canal\nA fox\n"


def read(folder: Path, text: str, **keys: object) -> Chapters:
    (folder / "s.txt").write_text(text, encoding="utf-8")
    return read_chapters(PromptConfig.model_validate({"source": "s.txt", "key": "s", **keys}), folder)


def test_chapters_and_prompts_are_found_and_blank_lines_are_no_prompts(tmp_path: Path) -> None:
    """Blank lines counted as prompts in the original."""
    found = read(tmp_path, EPISODES, max_chapters=5)

    assert [(one.number, one.prompts) for one in found.chapters] == [
        (0, ("The keeper", "A storm")),
        (1, ("A canal", "A fox")),
    ]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    found = read(tmp_path, EPISODES + "Season3\n", max_chapters=2, max_entries_per_chapter=1)

    assert found.remarks == (
        "chapter 0: 1 of 2 prompts are taken (max_entries_per_chapter 1)",
        "chapter 1: 'Autumn' stands before the first prompt and is none",
        "chapter 1: 1 of 2 prompts are taken (max_entries_per_chapter 1)",
        "max_chapters: 2 of 3 chapters are taken",
    )


def test_an_override_replaces_the_words_and_the_file_still_counts(tmp_path: Path) -> None:
    found = read(tmp_path, EPISODES, prompt_override="a red fox")

    assert found.chapters[0].prompts == ("a red fox", "a red fox")


def test_a_regex_with_groups_adds_nothing_to_the_prompts(tmp_path: Path) -> None:
    """Groups were injected into the result of the original's split."""
    text = "Gen.1\n[1] In the beginning\n[2] And the earth\nGen.2\n[1] Thus\n"
    found = read(
        tmp_path, text, max_chapters=2, chapter_split_regex=r"(Gen)\.(\d+)", prompt_split_regex=r"(\[)(\d+)(\])"
    )

    assert [one.prompts for one in found.chapters] == [("In the beginning", "And the earth"), ("Thus",)]


def test_verses_over_several_lines_and_windows_line_ends_become_one_line(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_bytes(b"Gen.1\r\n[1] In the\r\n  beginning\r\n")
    config = PromptConfig(source="s.txt", key="s", chapter_split_regex=r"Gen\.\d+", prompt_split_regex=r"\[\d+\]")

    assert read_chapters(config, tmp_path).chapters[0].prompts == ("In the beginning",)


def test_a_chapter_regex_that_never_matches_is_an_error(tmp_path: Path) -> None:
    """The original made an empty folder and said nothing."""
    with pytest.raises(ConfigurationError, match=r"chapter_split_regex 'Part\\\\d' matches nowhere"):
        read(tmp_path, EPISODES, chapter_split_regex=r"Part\d")


def test_a_chapter_without_prompts_is_left_out_and_said_so(tmp_path: Path) -> None:
    """The original failed with an index error while building its grid."""
    found = read(tmp_path, "Season1\nSeason2\nA fox\n", max_chapters=2)

    assert [one.number for one in found.chapters] == [1]
    assert found.remarks == ("chapter 0: has no prompt and is left out",)


def test_chapters_without_any_prompt_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no chapter has a prompt; prompt_split_regex '###'"):
        read(tmp_path, EPISODES, prompt_split_regex="###")


def test_a_regex_that_backtracks_without_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("Season1\n" + "a" * 60 + "!\n", encoding="utf-8")
    config = PromptConfig(source="s.txt", key="s", prompt_split_regex="(a+)+$")
    began = time.monotonic()

    with pytest.raises(ConfigurationError, match=r"took longer than 0\.5 s and was ended"):
        read_chapters(config, tmp_path, limit_s=0.5)

    assert time.monotonic() - began < 20


def test_prompts_in_other_scripts_come_through(tmp_path: Path) -> None:
    found = read(tmp_path, "第1章\n海辺の灯台\n嵐の夜\n", chapter_split_regex=r"第\d+章")

    assert found.chapters[0].prompts == ("海辺の灯台", "嵐の夜")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "the source is empty", id="empty"),
        pytest.param(" \n ", "the source is empty", id="blank"),
        pytest.param("Season1\n" + "x" * 20_001, "chapter 0, prompt 0 has 20001 characters", id="endless prompt"),
        pytest.param("x" * 20_000_001, "larger than 20 MB", id="huge"),
    ],
)
def test_a_source_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read(tmp_path, text)


def test_a_missing_source_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    config = PromptConfig(source="s.txt", key="s")
    with pytest.raises(ConfigurationError, match="the source cannot be read"):
        read_chapters(config, tmp_path)

    (tmp_path / "s.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"the source is not in UTF-8 \(byte 0\)"):
        read_chapters(config, tmp_path)


def test_a_split_that_fails_in_its_own_process_says_why(tmp_path: Path) -> None:
    # Compiles in one dialect of regular expressions, and not with the flags of the other: a look behind of no fixed width.
    (tmp_path / "s.txt").write_text(EPISODES, encoding="utf-8")
    config = PromptConfig.model_construct(
        source="s.txt",
        key="s",
        prompt_override=None,
        chapter_split_regex="(?<=a+)b",
        prompt_split_regex="\n",
        max_chapters=1,
        max_entries_per_chapter=9,
    )

    with pytest.raises(ConfigurationError, match=r"cannot be split: .*look-behind requires fixed-width pattern"):
        read_chapters(config, tmp_path)


def test_what_the_splitting_program_finds_counts_what_was_not_asked_for_too() -> None:
    found = splitting.find(
        {"text": EPISODES, "chapter": r"Season\d+", "prompt": "\n", "max_chapters": 1, "max_entries": 1}
    )

    assert found == {
        "chapters": [{"head": "", "entries": ["The keeper"], "all_entries": 2}],
        "all_chapters": 2,
    }
