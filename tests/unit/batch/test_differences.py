"""What two plans of one job have otherwise is said field by field."""

from sdclient.batch.differences import differences


def test_each_field_is_named_with_what_it_was_and_is() -> None:
    before = {"request": {"steps": 5, "refiner": {"switch_at": 0.7}}, "changes": {"prompt": "a fox"}}
    after = {"request": {"steps": 7, "refiner": {"switch_at": 0.8}}, "changes": {"prompt": "a fox"}}

    assert differences(before, after) == "steps 5, now 7; refiner.switch_at 0.7, now 0.8"


def test_many_fields_are_counted_and_long_values_cut() -> None:
    said = differences({}, {"request": dict.fromkeys("abcde", "x" * 200)})

    assert said.endswith(" and 2 more")
    assert "unset, now" in said
    assert len(said) < 300
