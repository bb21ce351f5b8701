"""A run that was written and that nobody could begin."""

from __future__ import annotations

from pathlib import Path

from sdclient.batch.unbegun import take_back, written_names
from sdclient.run import Run
from sdclient.schemas import Txt2Img


def planned(out: Path) -> Run:
    return Run(out).add(["a fox"], Txt2Img(inherit=True)).save()


def test_nothing_is_left_of_a_run_that_nobody_touched(tmp_path: Path) -> None:
    run = planned(tmp_path / "OUT")

    assert take_back(run.folder, written_names(run.folder))
    assert list(tmp_path.iterdir()) == []


def test_what_else_lies_in_the_folder_stays(tmp_path: Path) -> None:
    run = planned(tmp_path / "OUT")
    (tmp_path / "OUT" / "notes.txt").write_text("mine")

    assert take_back(run.folder, written_names(run.folder))
    assert [path.name for path in (tmp_path / "OUT").iterdir()] == ["notes.txt"]


def test_a_run_that_somebody_else_is_at_is_left_as_it_is(tmp_path: Path) -> None:
    run = planned(tmp_path / "OUT")
    written = written_names(run.folder)
    (run.folder.state / "beats" / "another").write_bytes(b"")

    assert not take_back(run.folder, written)
    assert written_names(run.folder) == written | {"beats/another"}
    assert [path.name for path in (tmp_path / "OUT").iterdir()] == [".sdclient"]
