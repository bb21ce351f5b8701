"""The table-driven checks, walked over every row of the Draw Things table."""

from __future__ import annotations

import pytest

from sdclient.simulator.checks import CheckError, coerce, decode_element, decode_strict, group_keys
from sdclient.simulator.facts import Field, a1111_fields, array_at, drawthings_fields, load

FIELDS = drawthings_fields()
USABLE = [field for field in FIELDS if field.usable]
NUMBERS = [field for field in USABLE if field.kind in {"int", "float"}]
ENUMS = [field for field in USABLE if field.kind == "enum"]
ALIASED = [(field, alias) for field in USABLE for alias in field.aliases]
EXTRA = ("restore_faces", "init_images")


def name(value: object) -> str:
    return value.name if isinstance(value, Field) else str(value)


def test_the_drawthings_table_has_all_its_rows() -> None:
    assert len(FIELDS) == 83
    assert len({spelling for field in FIELDS for spelling in (field.name, *field.aliases)}) == 83 + len(ALIASED)


@pytest.mark.parametrize("field", NUMBERS, ids=name)
def test_a_number_is_accepted_at_both_ends_of_its_range(field: Field) -> None:
    ends = [field.minimum, field.maximum]

    assert [decode_strict(field, end, None) for end in ends] == ends


@pytest.mark.parametrize("field", NUMBERS, ids=name)
@pytest.mark.parametrize("end", ["minimum", "maximum"])
def test_a_number_is_refused_just_outside_its_range(field: Field, end: str) -> None:
    step = (1 if field.kind == "int" else 0.001) * (-1 if end == "minimum" else 1)

    with pytest.raises(CheckError, match=field.name):
        decode_strict(field, getattr(field, end) + step, None)


@pytest.mark.parametrize("field", ENUMS, ids=name)
def test_an_enum_takes_its_exact_labels_and_nothing_else(field: Field) -> None:
    assert [decode_strict(field, choice, None) for choice in field.choices] == list(field.choices)
    for wrong in (field.choices[0].swapcase(), field.choices[0] + " ", ""):
        with pytest.raises(CheckError, match="is not one of"):
            decode_strict(field, wrong, None)


@pytest.mark.parametrize("field", USABLE, ids=name)
def test_a_value_of_another_type_is_refused(field: Field) -> None:
    wrong: dict[str, list[object]] = {
        "int": [True, "1", 20.0, []],
        "float": [False, "1", []],
        "bool": [1, "true"],
        "string": [1, [], True],
        "enum": [1, []],
        "array": ["", {}, 1],
    }

    for value in wrong[field.kind]:
        with pytest.raises(CheckError, match="expected"):
            decode_strict(field, value, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", USABLE, ids=name)
def test_null_clears_strings_keeps_the_rest_and_is_an_error_for_enums(field: Field) -> None:
    if field.kind == "enum":
        with pytest.raises(CheckError):
            decode_strict(field, None, "kept")
    else:
        assert decode_strict(field, None, "kept") == (None if field.kind == "string" else "kept")


@pytest.mark.parametrize(("field", "alias"), ALIASED, ids=name)
def test_an_alias_is_accepted_in_place_of_its_key(field: Field, alias: str) -> None:
    assert group_keys({alias: 1}, FIELDS, EXTRA) == {field.name: alias}


@pytest.mark.parametrize(("field", "alias"), ALIASED, ids=name)
def test_a_key_and_its_alias_together_are_refused(field: Field, alias: str) -> None:
    with pytest.raises(CheckError, match="More than one key"):
        group_keys({field.name: 1, alias: 1}, FIELDS, EXTRA)


@pytest.mark.parametrize("field", [field for field in FIELDS if not field.usable], ids=name)
def test_a_key_that_is_its_own_alias_is_refused_even_alone(field: Field) -> None:
    with pytest.raises(CheckError, match="More than one key"):
        group_keys({field.name: field.default}, FIELDS, EXTRA)


@pytest.mark.parametrize("key", array_at(load("drawthings"), "keys_that_look_right_but_are_rejected", "keys"))
def test_keys_that_only_look_right_are_refused_by_name(key: str) -> None:
    with pytest.raises(CheckError, match=rf'Unrecognized keys: \["{key}"\]'):
        group_keys({"prompt": "x", key: None}, FIELDS, EXTRA)


@pytest.mark.parametrize("kind", ["loras", "controls"])
def test_every_required_key_of_an_element_is_required(kind: str) -> None:
    values = {"float": 1.0, "bool": True, "string": "", "array": []}
    fields = drawthings_fields(kind)
    whole = {field.name: values[field.kind] for field in fields}

    assert decode_element(kind, fields, {**whole, "unknown": 1}) == whole  # type: ignore[dict-item]
    for field in fields:
        lacking = {key: value for key, value in whole.items() if key != field.name}
        if field.required:
            with pytest.raises(CheckError, match=field.name):
                decode_element(kind, fields, lacking)  # type: ignore[arg-type]
        else:
            assert decode_element(kind, fields, lacking)[field.name] is None  # type: ignore[arg-type]


def test_an_element_that_is_no_object_or_holds_a_wrong_type_is_refused() -> None:
    fields = drawthings_fields("loras")

    for element in ("file.ckpt", {"file": "x", "weight": "heavy"}, {"file": "x", "weight": True}):
        with pytest.raises(CheckError, match="expected"):
            decode_element("loras", fields, element)


@pytest.mark.parametrize(
    ("kind", "value", "seen"),
    [
        ("int", "20", 20),
        ("int", 20.7, 20),
        ("float", "1.5", 1.5),
        ("bool", "yes", True),
        ("bool", 0, False),
        ("string", 5, "5"),
        ("array", [1], [1]),
        ("object", {}, {}),
    ],
)
def test_the_lenient_check_reads_what_pydantic_1_reads(kind: str, value: object, seen: object) -> None:
    assert coerce(Field("x", kind), value) == (seen, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("int", "many", "type_error.integer"),
        ("int", float("inf"), "type_error.integer"),
        ("int", [], "type_error.integer"),
        ("float", "much", "type_error.float"),
        ("float", {}, "type_error.float"),
        ("bool", "maybe", "type_error.bool"),
        ("string", [], "type_error.str"),
        ("array", {}, "type_error.list"),
        ("object", [], "type_error.dict"),
    ],
)
def test_the_lenient_check_names_what_it_cannot_read(kind: str, value: object, code: str) -> None:
    problem = coerce(Field("x", kind), value)[1]  # type: ignore[arg-type]

    assert problem is not None
    assert (problem.field, problem.code) == ("x", code)


@pytest.mark.parametrize(("value", "code"), [(0, "value_error.number.not_ge"), (9, "value_error.number.not_le")])
def test_the_lenient_check_keeps_ranges(value: float, code: str) -> None:
    fields = {field.name: field for field in a1111_fields("/sdapi/v1/extra-single-image")}

    problem = coerce(fields["upscaling_resize"], value)[1]

    assert problem is not None
    assert problem.code == code
