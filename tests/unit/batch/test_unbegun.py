"""A run that was written and that nobody could begin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sdclient.batch.unbegun import take_back, written_names
from sdclient.errors import StorageError
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from tests.file_changes import HOOK


@pytest.fixture
def hook() -> Iterator[None]:
    HOOK.install()
    HOOK.disarm()
    yield
    HOOK.is_active = False
    HOOK.disarm()


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


def test_where_another_run_was_begun_meanwhile_it_is_said_where_the_plan_lies(tmp_path: Path, hook: None) -> None:
    del hook
    run = planned(tmp_path / "OUT")
    written = written_names(run.folder)

    def begin_another() -> None:
        planned(tmp_path / "OUT")

    def touch() -> None:
        (run.folder.state / "beats" / "another").write_bytes(b"")
        HOOK.arm(1, action=begin_another)

    HOOK.is_active = True
    HOOK.arm(1, action=touch)
    with pytest.raises(StorageError, match=r"another run here at the same moment; .* lies in .*\.taken-back-\d+ \("):
        take_back(run.folder, written)

    [aside] = (tmp_path / "OUT").glob(".sdclient.taken-back-*")
    assert (aside / "beats" / "another").exists()
    assert written_names(run.folder)
