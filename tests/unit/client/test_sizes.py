from __future__ import annotations

import pytest

from sdclient.client.sizes import SizeRule, parse_size, round_down, round_up
from sdclient.errors import ConfigurationError


@pytest.mark.parametrize("text", ["source", "2048x1024", "long-side=2048", "scale=1.5"])
def test_a_size_reads_back_as_it_was_written(text: str) -> None:
    assert str(parse_size(text)) == text


@pytest.mark.parametrize("text", ["", "big", "0x", "scale=-1", "long-side=", "12x12x12", "x" * 1000])
def test_what_is_no_size_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigurationError, match="write source, 2048x2048") as caught:
        parse_size(text)

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "target"),
    [("source", (1000, 600)), ("64X128", (64, 128)), ("long-side=500", (500, 300)), ("scale=0.5", (500, 300))],
)
def test_each_kind_finds_its_target(text: str, target: tuple[int, int]) -> None:
    assert parse_size(text).target((1000, 600)) == target


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0x5", "64 to 8192 px"),
        ("64x63", "64 to 8192 px"),
        ("9000x64", "64 to 8192 px"),
        ("long-side=8193", "64 to 8192 px"),
        ("long-side=0", "64 to 8192 px"),
        ("scale=0.049", "0.05 to 16"),
        ("scale=16.1", "0.05 to 16"),
        ("scale=0", "0.05 to 16"),
    ],
)
def test_what_no_server_takes_is_refused_before_a_source_is_seen(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parse_size(text)


@pytest.mark.parametrize("text", ["64x8192", "long-side=64", "scale=0.05", "scale=16"])
def test_the_bounds_themselves_are_taken(text: str) -> None:
    assert str(parse_size(text)) == text


@pytest.mark.parametrize("text", ["scale=10", "scale=0.06"])
def test_a_target_no_server_takes_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="64 to 8192"):
        parse_size(text).target((1000, 600))


def test_an_exact_size_is_fitted_into_or_filled_by_one_factor() -> None:
    rule = SizeRule("exact", 500, 500)

    assert rule.content((1000, 600), "pad") == (500, 300)
    assert rule.content((1000, 600), "crop") == (833, 500)


def test_sides_are_rounded_to_the_servers_steps() -> None:
    assert round_up((64, 65), 64) == (64, 128)
    assert round_down((127, 63), 64) == (64, 64)
