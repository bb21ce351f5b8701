"""Names of unfinished files: whose they are, and what of them may be taken away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sdclient.batch.folder import RunFolder
from sdclient.batch.sweep import clean
from sdclient.files import is_abandoned, temporary_name

CODE = "from sdclient.files import temporary_name; print(temporary_name('.').name)"
no_hint = pytest.mark.skipif(sys.platform == "win32", reason="no hint whether a process is gone")


def left_behind() -> str:
    """Return a name that a process made which has ended."""
    env = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": ""}
    return subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=env
    ).stdout.strip()


@no_hint
def test_a_name_of_a_process_that_has_ended_is_abandoned_and_one_of_our_own_is_not(tmp_path: Path) -> None:
    names = [left_behind(), temporary_name(tmp_path).name, temporary_name(tmp_path, ".probe").name]

    assert [is_abandoned(name) for name in names] == [True, False, False]


@pytest.mark.parametrize(
    "name", [".tmp-0123456789abcdef", ".tmp-", "fox.png", f".tmp-{'0' * 12}-1-1-01234567", ".tmp-x-99999999-1-01234567"]
)
def test_of_other_names_and_other_machines_nothing_is_known(name: str) -> None:
    assert not is_abandoned(name)


@no_hint
def test_cleaning_takes_away_what_is_certainly_left_and_patience_the_rest(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=0.2, beat_s=0.1)
    dead, elsewhere, ours = left_behind(), f".tmp-{'0' * 12}-1-1-01234567", temporary_name(tmp_path).name
    (folder.state / "replaced" / "job").mkdir()
    for place in (folder.out, folder.state, folder.state / "plan", folder.state / "replaced" / "job"):
        for name in (dead, elsewhere):
            (place / name).write_bytes(b"half")
    (folder.state / f"{dead}.probe").mkdir()
    (folder.out / "fox.tmp-1").write_bytes(b"mine")

    first = clean(folder)
    (folder.out / ours).write_bytes(b"half")
    second = clean(folder, is_patient=True, sleep=lambda _: (folder.out / f"{ours}2").write_bytes(b"new") and None)

    assert (first.unfinished, second.unfinished) == (5, 5)
    assert sorted(path.name for path in folder.out.iterdir() if path.is_file()) == [f"{ours}2", "fox.tmp-1"]
