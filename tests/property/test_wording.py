"""Laws of templates and of lists of values, and the errors that name what is wrong with one."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.errors import ConfigurationError, PayloadError
from sdclient.planning import PromptRow, Wording, make_variations, read_variations
from sdclient.planning.templates import Template
from sdclient.planning.variations import label_of
from sdclient.schemas import ControlNet, Img2Img, Txt2Img

NAMES = st.text("abcdefgh_", min_size=1, max_size=8)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.lists(st.integers(1, 150), min_size=1, max_size=4, unique=True)


def prompts(wording: Wording, row: PromptRow | None = None, **about: str) -> list[object]:
    return [one.changes.get("prompt") for one in wording.versions(row or PromptRow({}), about, where="a.png", key="a")]


@given(TEXTS)
def test_a_text_with_its_braces_doubled_is_filled_with_itself(text: str) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")

    assert Template.parse("prompt", escaped).fill({}, "row 1") == text


@given(st.lists(st.tuples(st.text("xyz ,", max_size=5), NAMES)), st.data())
def test_every_name_is_replaced_by_its_value_and_nothing_else_changes(
    parts: list[tuple[str, str]], data: st.DataObject
) -> None:
    values = {name: data.draw(TEXTS) for _, name in parts}

    filled = Template.parse("prompt", "".join(f"{text}{{{name}}}" for text, name in parts)).fill(values, "row 1")

    assert filled == "".join(text + values[name] for text, name in parts)


@given(st.dictionaries(st.sampled_from(["steps", "cfg_scale", "clip_skip", "seed"]), VALUES))
def test_combinations_are_as_many_as_counted_and_have_names_of_their_own(values: dict[str, list[int]]) -> None:
    variations = make_variations(values)

    labels = [label_of(choices) for choices in variations.combinations()]

    assert len(set(labels)) == len(labels) == variations.count == math.prod(map(len, values.values()))


@given(st.lists(st.integers(1, 150), min_size=2, max_size=5, unique=True))
def test_zipped_lists_go_side_by_side_and_a_single_value_with_all(values: list[int]) -> None:
    variations = make_variations({"steps": values, "cfg_scale": list(reversed(values)), "eta": [0.5]}, zipped=True)

    paired = [[json.loads(choice.text) for choice in choices] for choices in variations.combinations()]

    assert paired == [[one, other, 0.5] for one, other in zip(values, reversed(values), strict=True)]
    assert variations.count == len(values)


def test_values_with_commas_are_written_as_a_json_list() -> None:
    variations = read_variations(['prompt=["a, b", "c"]', "cfg_scale=4,5.5"])

    assert [[choice.shown for choice in choices] for choices in variations.fields] == [["a, b", "c"], ["4", "5.5"]]
    assert [label_of(one) for one in variations.combinations()][1] == "_prompt-a_b_cfg_scale-5.5"


def test_a_template_is_filled_from_columns_fields_and_the_file() -> None:
    wording = Wording(Img2Img(prompt="sharp"), {"prompt": "{Nation} in {folder}, {prompt}, {{{stem}}}"})
    row = PromptRow({"prompt": "a fox"}, {"nation": "Italian"})

    assert prompts(wording, row, folder="family", stem="x") == ["Italian in family, a fox, {x}"]
    assert prompts(wording, PromptRow({}, {"nation": "Greek"}), folder="f", stem="y") == ["Greek in f, sharp, {y}"]


def test_a_name_that_only_a_template_knows_can_vary() -> None:
    wording = Wording(Img2Img(), {"prompt": "at {light}"}, make_variations({"light": ["dawn", "dusk"]}))

    versions = list(wording.versions(PromptRow({}), {}, where="a.png", key="a"))

    assert [one.changes["prompt"] for one in versions] == ["at dawn", "at dusk"]
    assert [one.columns for one in versions] == [{"light": "dawn"}, {"light": "dusk"}]


def test_versions_of_one_image_share_a_seed_unless_they_have_their_own() -> None:
    vary = make_variations({"steps": [10, 20]})

    drawn = [
        one.changes["seed"] for one in Wording(Img2Img(), {}, vary).versions(PromptRow({}), {}, where="a", key="a")
    ]
    other = [
        one.changes["seed"] for one in Wording(Img2Img(), {}, vary).versions(PromptRow({}), {}, where="b", key="b")
    ]
    own = list(Wording(Img2Img(), {}, vary).versions(PromptRow({"seed": 7}), {}, where="a", key="a"))
    common = list(Wording(Img2Img(seed=8), {}, vary).versions(PromptRow({}), {}, where="a", key="a"))

    assert drawn[0] == drawn[1] != other[0]
    assert [one.changes["seed"] for one in own] == [7, 7]
    assert ["seed" in one.changes for one in common] == [False, False]


def test_one_version_alone_keeps_the_seed_of_its_job() -> None:
    (only,) = Wording(Img2Img()).versions(PromptRow({}), {}, where="a", key="a")

    assert (only.label, dict(only.changes)) == ("", {})


def test_dotted_fields_of_rows_and_values_change_a_part_only() -> None:
    request = Img2Img(controls=[ControlNet(module="tile_resample", model="tile", weight=0.5)])
    wording = Wording(request, {}, make_variations({"controls[0].guidance_end": [0.8]}))

    (version,) = wording.versions(PromptRow({}, sets=("controls[0].weight=0.25",)), {}, where="a", key="a")

    unit = request.replace(**version.changes).controls[0]
    assert (unit.model, unit.weight, unit.guidance_end) == ("tile", 0.25, 0.8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{nation", "'{' at character 1 names no column"),
        ("nation}", "'}' at character 7 names no column"),
        ("a { } b", "names no column; write {name}, or {{ and }}"),
        ("{natoin}", "did you mean {nation}?"),
        ("{a|b}", "names {a|b}, which is not there"),
    ],
)
def test_a_template_that_cannot_be_filled_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Wording(Img2Img(), {"prompt": text}).versions(
            PromptRow({}, {"nation": "Greek"}), {}, where="a.png", key="a"
        ).__next__()

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "zipped", "words"),
    [
        (["cfg_scale"], False, "write field=value,value"),
        (["=1"], False, "is no field"),
        (["cfg_scale=4,,5"], False, "one of the values is empty"),
        (["cfg_scale=[]"], False, "a list of values is empty"),
        (["steps=20,20"], False, "'20' and '20' would have one file name"),
        (["steps=20", "steps=30"], False, "is given twice"),
        (["steps=20,30", "cfg_scale=4,5,6"], True, "different lengths (steps has 2, cfg_scale has 3)"),
    ],
)
def test_lists_of_values_that_make_no_sense_are_refused(texts: list[str], *, zipped: bool, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_variations(texts, zipped=zipped)

    assert words in str(caught.value)


def test_an_unknown_field_is_refused_with_the_closest() -> None:
    with pytest.raises(ConfigurationError, match="did you mean cfg_scale"):
        Wording(Txt2Img(), {}, make_variations({"cfg_scal": [4, 5]}))


def test_a_value_that_is_not_allowed_is_refused_when_planning() -> None:
    with pytest.raises(PayloadError, match=r"--vary steps=200: steps"):
        Wording(Txt2Img(), {}, make_variations({"steps": [20, 200]}))


def test_a_value_that_overlays_do_not_allow_either_is_told_as_it_was_typed() -> None:
    with pytest.raises(PayloadError) as caught:
        Wording(Img2Img.load("bake"), {}, make_variations({"cfg_scale": ["x"]}))

    # Once, though every overlay of the payload meets it.
    [line] = str(caught.value).splitlines()
    assert line.startswith('--vary cfg_scale="x": cfg_scale: ')


def test_absurdly_many_jobs_are_refused_with_the_sum_before_they_are_worked_out() -> None:
    thousand = list(range(1000))

    with pytest.raises(ConfigurationError, match=r"1,000,000,000 jobs, more than 20,000"):
        Wording(Txt2Img(), {}, make_variations({"seed": thousand, "subseed": thousand, "clip_skip": thousand}))


def test_a_text_in_place_of_a_list_is_refused_in_python() -> None:
    with pytest.raises(ConfigurationError, match="give a list of values, not the text"):
        make_variations({"steps": "20,30"})
