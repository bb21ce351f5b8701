"""Texts taken apart: any script, with sentence marks or without."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.errors import ConfigurationError
from sdclient.recipes.story.extract import ExtractIdeas, key_sentences
from sdclient.recipes.story.text import MAX_SENTENCE_CHARS, read_text, sentences, story_name, thirds, title_of

JAPANESE = "昔々、山の上に小さな家がありました。お婆さんは猫と暮らしていました。ある夜、大きな嵐が来ました！猫は外へ走りました。お婆さんは灯りを持って探しました。朝、二人は海辺で見つかりました。"  # noqa: RUF001 - Japanese
ARABIC = "كان يا ما كان في قديم الزمان ملك عجوز. كان يعيش في قصر كبير على الجبل؟ خرج الأمير إلى الغابة، ورأى طائرا أحمر. عاد الأمير إلى القصر ليلا."


def test_a_text_is_read_with_or_without_its_extension(tmp_path: Path) -> None:
    (tmp_path / "the_three-pigs.txt").write_text("\ufeffOnce upon a time.\r\n", encoding="utf-8")

    short = read_text(tmp_path / "the_three-pigs")

    assert short == read_text(tmp_path / "the_three-pigs.txt")
    assert (short.name, short.title, short.text) == ("the_three-pigs", "The Three Pigs", "Once upon a time.")


@pytest.mark.parametrize(
    ("name", "folder", "title"),
    [
        ("my story.v2.txt", "my-story.v2", "My Story V2"),
        ("images.csv", "images", "Images"),
        ("Dr. Jekyll.txt", "Dr.-Jekyll", "Dr. Jekyll"),
        ("don't_stop.txt", "don't_stop", "Don't Stop"),
        ("a:b.md", "a_b", "A B"),
        ("童話.txt", "童話", "童話"),
    ],
)
def test_folders_and_titles_follow_the_file_name(name: str, folder: str, title: str) -> None:
    assert (story_name(Path(name)), title_of(Path(name))) == (folder, title)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"", "holds no words", id="empty"),
        pytest.param(b" \n\n ... !?", "holds no words", id="marks only"),
        pytest.param(b"\xff\xfe\x00", "no text in UTF-8", id="no text"),
        pytest.param(b"a" * 20_000_001, "larger than 20 MB; illustrate it in parts", id="huge"),
    ],
)
def test_a_text_that_cannot_be_illustrated_is_refused_in_words(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "t.txt").write_bytes(data)

    with pytest.raises(ConfigurationError, match=said):
        read_text(tmp_path / "t.txt")


def test_a_missing_text_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read .No such file or directory.; name a text file"):
        read_text(tmp_path / "t.txt")


def test_western_sentences_end_before_white_space_and_not_after_a_title() -> None:
    found = sentences('Mr. Fox had 3.5 eggs. "Come in!" he said. Dr. No left... Then?')

    assert found == ["Mr. Fox had 3.5 eggs.", '"Come in!"', "he said.", "Dr. No left...", "Then?"]


def test_japanese_sentences_end_without_blanks() -> None:
    found = sentences(JAPANESE)

    assert len(found) == 6
    assert found[2] == "ある夜、大きな嵐が来ました！"  # noqa: RUF001 - Japanese


def test_arabic_sentences_end_at_arabic_marks() -> None:
    assert len(sentences(ARABIC)) == 4


def test_paragraphs_end_sentences_and_single_line_ends_do_not() -> None:
    assert sentences("A headline\n\nOne line\nand another") == ["A headline", "One line and another"]


def test_a_text_without_sentence_marks_is_cut_at_words() -> None:
    found = sentences("the fox ran over the hill " * 100)

    assert all(len(one) <= MAX_SENTENCE_CHARS for one in found)
    assert all(one.split()[0] in "the fox ran over hill" for one in found)
    assert " ".join(found).split() == ("the fox ran over the hill " * 100).split()


def test_a_text_without_blanks_and_marks_is_cut_where_it_is_full() -> None:
    assert [len(one) for one in sentences("海" * 700)] == [300, 300, 100]


@given(st.text(max_size=2000))
def test_no_letter_is_lost_by_taking_a_text_apart(text: str) -> None:
    letters = "".join(char for char in "".join(sentences(text)) if char.isalnum())

    assert letters == "".join(char for char in text if char.isalnum())


@given(st.lists(st.sampled_from(["A fox.", "The old wolf ran home.", "Rain!", "海。"]), min_size=1, max_size=40))
def test_every_section_has_a_sentence_and_together_they_have_all(words: list[str]) -> None:
    text = " ".join(words)

    parts = thirds(text)

    assert list(parts) == ["beginning", "middle", "end"]
    assert all(parts.values())
    if len(words) >= 3 * 4:
        assert [one for part in parts.values() for one in part] == sentences(text)


def test_thirds_go_by_length() -> None:
    parts = thirds("a one. b two. c three. d four. e five. f six. ")

    assert [len(one) for one in parts.values()] == [2, 2, 2]


def test_a_text_whose_name_holds_a_dot_is_found_without_its_extension(tmp_path: Path) -> None:
    (tmp_path / "my.story.txt").write_text("A fox.")

    assert read_text(tmp_path / "my.story").name == "my.story"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("A fox." + " " * 5_000_000 + "An owl.", id="blanks"),
        pytest.param("\n" * 5_000_000 + "A fox.", id="line ends"),
        pytest.param("A. B. C. " * 500_000, id="abbreviations"),
        pytest.param("word" * 1_000_000, id="no blanks"),
        pytest.param("The fox ran home. " * 250_000, id="a long text"),
    ],
)
def test_a_huge_text_is_read_in_a_time_that_grows_with_its_length_only(tmp_path: Path, text: str) -> None:
    """Each takes seconds at most; the test's own time limit is what an expression that runs wild would meet."""
    (tmp_path / "t.txt").write_text(text)

    parts = thirds(read_text(tmp_path / "t.txt").text)

    assert len(ExtractIdeas().ideas("middle", parts["middle"], 5, [])) == 5


def test_key_sentences_are_different_ones_in_their_order() -> None:
    text = ["The wolf came to the house.", "Oh!", "the wolf came to the house", "The wolf blew the house down."]

    assert key_sentences(text, 2) == ["The wolf came to the house.", "The wolf blew the house down."]


def test_what_is_said_is_chosen_last() -> None:
    text = ['"The wolf, the wolf is at the house," they said.', "The wolf stood near the house at the river."]

    assert key_sentences(text, 1) == [text[1]]


@pytest.mark.parametrize(
    "text", ["A fox.", JAPANESE, ARABIC, "word " * 500], ids=["tiny", "japanese", "arabic", "no marks"]
)
@pytest.mark.parametrize("count", [1, 5, 12])
def test_extracting_gives_exactly_as_many_different_ideas_as_are_asked_for(text: str, count: int) -> None:
    taken: list[str] = []

    for section, parts in thirds(text).items():
        found = ExtractIdeas().ideas(section, parts, count, taken)
        assert len(found) == count
        taken += found

    assert len(set(taken)) == 3 * count


def test_a_sentence_that_has_to_serve_twice_is_seen_in_another_view() -> None:
    found = ExtractIdeas().ideas("middle", ["A fox."], 3, [])

    assert found == ["A fox.", "wide view: A fox.", "close-up: A fox."]
