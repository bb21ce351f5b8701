"""The line that tells a person about one event."""

from __future__ import annotations

import pytest

from sdclient.batch.events import Event
from sdclient.batch.survey import Counts
from sdclient.cli.talk import _sentence


@pytest.mark.parametrize(
    ("lane", "place", "line"),
    [
        ("", "", "note: the disk is full"),
        ("gpu", "", "gpu: note: the disk is full"),
        ("gpu", "a/b", "a/b: note: the disk is full"),
    ],
)
def test_a_line_begins_with_what_it_is_about_or_with_its_kind(lane: str, place: str, line: str) -> None:
    assert _sentence(Event("remark", Counts(), lane, place, "the disk is full")) == line
