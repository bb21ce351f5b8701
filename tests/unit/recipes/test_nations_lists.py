"""The study's lists: what people type and what their CSV files hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdclient.errors import ConfigurationError
from sdclient.recipes.nations import QueueEntry, Study, load_queue, load_study, parse_count

STUDY = Study({("Italian", "family"): "a family", ("Italian", "working"): "workers", ("Greek", "family"): "a family"})


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_ten_nations_with_two_categories_come_with_the_program() -> None:
    study = load_study()

    assert len(study.nations) == 10
    assert study.nations == sorted(study.nations)
    assert all(study.categories(nation) == ["family", "working"] for nation in study.nations)
    assert study.prompts["Italian", "family"] == "(A (Italian:1.5) family)"
    assert study.prompts["Greek", "working"] == "(A group of (Greek:1.5) people working)"


@pytest.mark.parametrize(
    ("typed", "nation"),
    [("1", "Greek"), (" 2 ", "Italian"), ("italian", "Italian"), ("002", "Italian"), ("٢", "Italian")],
)
def test_a_nation_is_chosen_by_its_number_in_sorted_order_or_by_name(typed: str, nation: str) -> None:
    assert STUDY.nation(typed) == nation


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("3", "3: no such number of a nation; choose 1 to 2"),
        ("0", "0: no such number of a nation; choose 1 to 2"),
        ("9" * 5000, "choose 1 to 2"),
        ("Italien", "did you mean Italian? known are Greek, Italian"),
        ("", "'': no such nation; known are Greek, Italian"),
        ("-1", "'-1': no such nation"),
        ("²", "'²': no such nation"),
        ("x" * 5000, "no such nation"),
    ],
)
def test_a_nation_that_is_none_is_answered_in_words(typed: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        STUDY.nation(typed)

    assert words in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_category_is_a_column_and_never_part_of_a_prompt() -> None:
    """The original took every prompt that holds the typed text as a substring, so "a" chose everything."""
    with pytest.raises(ConfigurationError, match="no such category; known are family, working"):
        STUDY.category("Italian", "a")

    assert STUDY.category("Italian", "Working") == "working"
    assert STUDY.category("Italian", "1") == "family"


@pytest.mark.parametrize(("typed", "count"), [("1", 1), (" 40 ", 40), ("007", 7), ("100000", 100_000)])
def test_a_count_is_a_whole_number(typed: str, count: int) -> None:
    assert parse_count(typed) == count


@pytest.mark.parametrize(
    "typed", ["", "0", "000", "-2", "1.5", "ten", "100001", "0" * 9 + "9" * 9, "9" * 5000, "1e3", "²", "True"]
)
def test_what_is_no_count_is_refused(typed: str) -> None:
    with pytest.raises(ConfigurationError, match="not a number of images"):
        parse_count(typed)


def test_repeated_rows_of_a_queue_add_up_in_the_order_of_the_first(tmp_path: Path) -> None:
    path = write(tmp_path, "nation,category,count\nItalian,family,2\ngreek,family,1\n2,1,3\n")

    assert load_queue(path, STUDY) == [QueueEntry("Italian", "family", 5), QueueEntry("Greek", "family", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffNation;Category;Count\r\nItalian;family;2\r\n",
        'count,note,category,nation\n2,"a, b",family,Italian\n',
        "nation,category,count\n\n , , \nItalian,family,2",
        "nation,category,count,\nItalian,family,2,\n",
    ],
    ids=["excel with semicolons", "other order and columns", "empty lines", "trailing comma"],
)
def test_a_csv_is_read_as_spreadsheets_write_it(tmp_path: Path, text: str) -> None:
    assert load_queue(write(tmp_path, text), STUDY) == [QueueEntry("Italian", "family", 2)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks the column nation; the columns are nation, category, count"),
        ("nation,category\nItalian,family\n", "lacks the column count"),
        ("nation,category,count\nItalian,family\n", "line 2: a cell is empty"),
        ("nation,category,count\nItalian,family,many\n", "line 2: 'many': not a number of images"),
        ("nation,category,count\nItalian,family,1\nItalien,family,1\n", "line 3: 'Italien': no such nation; did you"),
        ("nation,category,count\nItalian,family,1,2\n", 'line 2: has more cells than the header; put "quotes"'),
        ("nation,category,count\n" + "x" * 200_000 + ",family,1\n", "no CSV (field larger"),
        (b"nation,category,count\nItali\xe9n,family,1\n", "not in UTF-8 (byte 27); save it as CSV in UTF-8"),
    ],
    ids=["empty", "no count", "short row", "no number", "unknown", "long row", "huge cell", "latin-1"],
)
def test_a_queue_that_is_wrong_names_file_and_line(tmp_path: Path, text: str | bytes, words: str) -> None:
    path = write(tmp_path, text)

    with pytest.raises(ConfigurationError) as caught:
        load_queue(path, STUDY)

    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.csv: cannot be read \(No such file"):
        load_queue(tmp_path / "gone.csv", STUDY)


def test_any_csv_with_the_same_columns_is_a_data_set(tmp_path: Path) -> None:
    path = write(tmp_path, 'nation,category,prompt\nMars,home,"a house, red"\nMars,"at\nwork",dig\u2028deep\n')

    study = load_study(path, suffix="")

    assert study.nations == ["Mars"]
    assert study.prompt("Mars", "home") == "a house, red"
    assert study.prompt("Mars", "at\nwork") == "dig\u2028deep"


def test_other_columns_of_a_data_set_are_kept_for_its_nation_and_category(tmp_path: Path) -> None:
    text = "Nation,Category,Prompt,Region,,year \nMars,home,a house,outer,x,1976\nMars,work,a mine,,,\n"

    study = load_study(write(tmp_path, text))

    assert study.columns == {
        ("Mars", "home"): {"Region": "outer", "year": "1976"},
        ("Mars", "work"): {"Region": "", "year": ""},
    }


def test_every_prompt_ends_alike_unless_nothing_is_wanted() -> None:
    assert STUDY.prompt("Italian", "family") == (
        "a family, (35mm lens photography), extremely detailed, 4k, shot on dslr, photorealistic, photographic, sharp"
    )
    assert Study(STUDY.prompts, " ").prompt("Italian", "family") == "a family"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nation,category,prompt\n", "holds no nations"),
        ("nation,category,prompt\nA,b,c\nA,b,d\n", "line 3: A b is there twice; keep one prompt"),
    ],
    ids=["no rows", "twice"],
)
def test_a_data_set_that_is_wrong_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        load_study(write(tmp_path, text))
