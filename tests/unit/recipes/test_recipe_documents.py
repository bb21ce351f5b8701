"""Documents beside a run: written whole, and never over a person's own work."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdclient.errors import RunFolderError
from sdclient.recipes.documents import Shelf
from sdclient.run import Run


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(Run(tmp_path / "out").save().folder)


def test_a_document_is_written_into_a_folder_that_is_made_for_it(shelf: Shelf) -> None:
    path = shelf.put("pigs/story.md", b"one")

    assert path.read_bytes() == b"one"
    assert path == shelf.folder.out / "pigs/story.md"


def test_a_document_of_ours_is_replaced(shelf: Shelf) -> None:
    shelf.put("story.md", b"one")
    shelf.put("story.md", b"two")

    path = shelf.put("story.md", b"one")

    assert path.read_bytes() == b"one"
    assert [one.name for one in path.parent.iterdir() if one.is_file()] == ["story.md"]
    assert shelf.remarks == []


def test_a_document_changed_by_hand_is_kept_under_another_name_and_said_so(shelf: Shelf) -> None:
    path = shelf.put("story.md", b"one")
    path.write_bytes(b"my own words")

    shelf.put("story.md", b"two")
    path.write_bytes(b"more of my words")
    shelf.put("story.md", b"three")

    assert path.read_bytes() == b"three"
    assert path.with_name("story~1.md").read_bytes() == b"my own words"
    assert path.with_name("story~2.md").read_bytes() == b"more of my words"
    assert shelf.remarks[0] == "story.md was changed by hand since it was made; that one is kept as story~1.md"


def test_a_file_that_was_there_before_the_first_document_is_kept(shelf: Shelf) -> None:
    path = shelf.folder.out / "story.md"
    path.write_bytes(b"mine")

    shelf.put("story.md", b"one")

    assert path.with_name("story~1.md").read_bytes() == b"mine"
    assert shelf.remarks == ["story.md was there already; that one is kept as story~1.md"]


def test_a_program_killed_before_it_wrote_does_not_take_its_own_document_for_a_persons(shelf: Shelf) -> None:
    path = shelf.put("story.md", b"one")
    # As after a kill between the note and the write: the new hash is noted, the old document is still there.
    shelf.put("story.md", b"two")
    path.write_bytes(b"one")

    shelf.put("story.md", b"three")

    assert shelf.remarks == []


def test_a_place_outside_the_output_folder_is_refused(shelf: Shelf) -> None:
    with pytest.raises(RunFolderError, match="no plain path inside this folder"):
        shelf.put("../story.md", b"one")
