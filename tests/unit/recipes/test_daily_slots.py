"""Which part of the day a moment belongs to, also where clocks change."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.errors import ConfigurationError
from sdclient.recipes.daily.slots import open_zone, slot_at

HOURS = (0, 3, 6, 9, 12, 15, 18, 21)
MADRID = open_zone("Europe/Madrid")
UTC = dt.timezone.utc


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("moment", "key"),
    [
        ("2026-11-20T05:00:00+00:00", "2026-11-20_06_Europe-Madrid"),
        ("2026-11-20T04:59:59+00:00", "2026-11-20_03_Europe-Madrid"),
        ("2026-11-19T23:00:00+00:00", "2026-11-20_00_Europe-Madrid"),
        ("2026-11-19T22:59:00+00:00", "2026-11-19_21_Europe-Madrid"),
        ("2026-11-20T08:30:00+00:00", "2026-11-20_09_Europe-Madrid"),
        ("2026-11-20T12:30:00+09:00", "2026-11-20_03_Europe-Madrid"),
    ],
)
def test_a_moment_lies_in_the_slot_that_began_last(moment: str, key: str) -> None:
    """The README of the original leaves 9 o'clock out, its code and data have it."""
    assert slot_at(at(moment), HOURS, MADRID).key == key


def test_a_cycle_that_begins_at_the_last_minute_keeps_its_slot() -> None:
    """The original compared hours: what began at xx:59 was drawn for one hour and posted in another."""
    slot = slot_at(at("2026-11-20T06:59:59+01:00"), HOURS, MADRID)

    assert (slot.hour, slot.start, slot.end) == (6, at("2026-11-20T05:00:00+00:00"), at("2026-11-20T08:00:00+00:00"))


def test_an_hour_that_is_skipped_gives_way_to_the_next() -> None:
    hours = (0, 2, 3)
    before, after = at("2026-03-29T00:59:59+00:00"), at("2026-03-29T01:00:00+00:00")

    assert slot_at(before, hours, MADRID).key == "2026-03-29_00_Europe-Madrid"
    assert slot_at(after, hours, MADRID).key == "2026-03-29_03_Europe-Madrid"


def test_an_hour_that_comes_twice_is_one_slot() -> None:
    hours = (0, 2, 6)
    first, second = at("2026-10-25T00:30:00+00:00"), at("2026-10-25T01:30:00+00:00")

    assert first.astimezone(MADRID).hour == second.astimezone(MADRID).hour == 2
    assert slot_at(first, hours, MADRID) == slot_at(second, hours, MADRID)


def test_a_change_of_clocks_inside_a_slot_makes_it_longer_or_shorter_and_not_two() -> None:
    autumn = slot_at(at("2026-10-25T00:30:00+00:00"), HOURS, MADRID)
    spring = slot_at(at("2026-03-29T00:30:00+00:00"), HOURS, MADRID)

    assert (autumn.end - autumn.start, spring.end - spring.start) == (dt.timedelta(hours=4), dt.timedelta(hours=2))


def test_one_slot_a_day_works_too() -> None:
    assert slot_at(at("2026-11-20T08:59:00+01:00"), (9,), MADRID).key == "2026-11-19_09_Europe-Madrid"


def test_a_day_that_a_country_skipped_does_no_harm() -> None:
    samoa = open_zone("Pacific/Apia")

    slot = slot_at(at("2011-12-30T12:00:00+00:00"), HOURS, samoa)

    assert slot.start <= at("2011-12-30T12:00:00+00:00") < slot.end


@given(
    st.integers(946_684_800, 2_145_830_400).map(lambda seconds: dt.datetime.fromtimestamp(seconds, UTC)),
    st.sampled_from(["Europe/Madrid", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu", "UTC"]),
    st.sets(st.integers(0, 23), min_size=1),
)
def test_every_moment_lies_in_exactly_one_slot(now: dt.datetime, zone: str, hours: set[int]) -> None:
    slot = slot_at(now, sorted(hours), open_zone(zone))

    assert slot.start <= now < slot.end
    assert slot_at(slot.start, sorted(hours), open_zone(zone)).key == slot.key
    assert slot_at(slot.end, sorted(hours), open_zone(zone)).key != slot.key


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Europe/Madrit", "did you mean Europe/Madrid?"),
        ("madrid", "did you mean Europe/Madrid?"),
        ("", "no such time zone"),
        ("../../etc/passwd", "no such time zone"),
        ("UTC+2\0", "no such time zone"),
        ("Mars/Olympus Mons", "no such time zone"),
    ],
)
def test_an_unknown_time_zone_is_refused_with_a_close_one(name: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_zone(name)

    assert words in str(caught.value)
