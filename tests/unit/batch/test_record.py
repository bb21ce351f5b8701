"""Records: what is refused before anyone follows it."""

from __future__ import annotations

import json

import pytest

from sdclient.batch.record import parse_record
from sdclient.errors import RunFolderError


def record(**changes: object) -> bytes:
    file = {"name": "a.png", "place": "set/a.png", "sha256": "", "size_bytes": 1, **changes}
    return json.dumps({"job": "a" * 20, "epoch": 1, "token": "t", "files": [file]}).encode()


@pytest.mark.parametrize("name", ["../a.png", "b/a.png", "/etc/passwd", "record.json", "", ".."])
def test_a_file_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(RunFolderError, match="damaged"):
        parse_record(record(name=name), "here")


@pytest.mark.parametrize("place", ["../a.png", "/a.png", ".sdclient/run.json", "a/../../b", ""])
def test_a_place_outside_the_output_folder_is_refused(place: str) -> None:
    with pytest.raises(RunFolderError, match="damaged"):
        parse_record(record(place=place), "here")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"files": 3}', b"[" * 100_000])
def test_nonsense_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(RunFolderError, match="here: the record is damaged"):
        parse_record(data, "here")


def test_facts_of_a_file_are_kept() -> None:
    (file,) = parse_record(record(width_px=64), "here").files

    assert file.facts == {"width_px": 64}
