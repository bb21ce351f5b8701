"""Inputs found in whichever spelling a disk has, and what people are told once."""

from __future__ import annotations

import os
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest

from sdclient.batch.folder import RunFolder
from sdclient.batch.inputs import Inputs, input_path
from sdclient.batch.plan import FileInput
from sdclient.batch.told import note_told, read_told
from sdclient.errors import RunFolderError, StorageError
from tests.practice_lane import PracticeLane, plan_jobs, work

NAME = "Sm\u00f8rrebr\u00f8d/\u00c5sa/caf\u00e9.png"


@pytest.mark.parametrize("planned", ["NFC", "NFD"])
@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_an_input_opens_in_whichever_spelling_the_disk_has(tmp_path: Path, planned: str, on_disk: str) -> None:
    folder = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=1.0, beat_s=0.1)
    path = tmp_path / unicodedata.normalize(on_disk, f"B\u00e4ren/{NAME}")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"an image")
    named = FileInput(unicodedata.normalize(planned, "../B\u00e4ren"), unicodedata.normalize(planned, NAME))
    plan_jobs(folder, ["cafe"], kind="img2img", inputs=[named])
    lane = PracticeLane()

    result = work(folder, lane)

    assert result.counts.done == 1
    assert lane.inputs == {"cafe": b"an image"}


def test_an_input_that_is_not_there_is_named_as_planned(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=1.0, beat_s=0.1)
    (job,) = plan_jobs(folder, ["cafe"], kind="img2img", inputs=[FileInput(".", "caf\u00e9.png")])

    with pytest.raises(RunFolderError, match=r"caf\u00e9\.png: the input is not there"):
        Inputs(folder).path(job)


@pytest.mark.skipif(shutil.which("mount") is None or not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts")
def test_an_input_that_is_missing_on_a_share_mounted_anew_is_not_waited_for(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=1.0, beat_s=0.1)
    there, missing = plan_jobs(
        folder, ["a", "b"], kind="img2img", inputs=[FileInput("../in", "a.png"), FileInput("../in", "b.png")]
    )
    share = tmp_path / "in"
    share.mkdir()
    (share / "a.png").write_bytes(b"image")
    inputs = Inputs(folder)
    inputs.path(there)
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(share)], check=False, capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(StorageError, match="the folder with the inputs is gone"):
            inputs.path(missing)
        (share / "a.png").write_bytes(b"image")
        with pytest.raises(RunFolderError, match=r"b\.png: the input is not there"):
            inputs.path(missing)
    finally:
        subprocess.run(["umount", "-l", str(share)], check=True)


def test_a_link_is_not_followed_whatever_its_spelling(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_bytes(b"an image")
    (tmp_path / "cafe\u0301.png").symlink_to(tmp_path / "real.png")

    with pytest.raises(RunFolderError, match="is a link"):
        input_path(tmp_path, "caf\u00e9.png")


def test_what_was_told_is_kept_beside_what_was_told_before(tmp_path: Path) -> None:
    note_told(tmp_path, ["a.txt: no image"])
    note_told(tmp_path, ["b\n.txt: no image", "a.txt: no image"])

    assert read_told(tmp_path) == {"a.txt: no image", "b\n.txt: no image"}


def test_a_torn_note_only_means_that_it_is_told_again(tmp_path: Path) -> None:
    (tmp_path / "told.jsonl").write_bytes(b'"a.txt: no i')

    assert read_told(tmp_path) == set()
