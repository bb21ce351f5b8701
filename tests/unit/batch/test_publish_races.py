"""Two who publish the same redone job at once, at every change of a file: no image is lost, none stands wrongly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sdclient.batch.again import redo, wanted
from sdclient.batch.commit import commit, make_record
from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import Job, job_id
from sdclient.batch.publish import publish_job, roll_forward, second_place
from sdclient.batch.record import Outcome, OutFile, Record
from sdclient.files import write_new_file
from tests.file_changes import HOOK
from tests.practice_lane import plan_jobs

ME = "a" * 32


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "out", run_seed=1, lease_s=90, beat_s=10)


@pytest.fixture(autouse=True)
def hook() -> Iterator[None]:
    HOOK.install()
    HOOK.disarm()
    HOOK.is_active = True
    yield
    HOOK.is_active = False
    HOOK.disarm()


def committed(folder: RunFolder, job: Job, data: bytes) -> Record:
    part = folder.part_folder(job.id, 1, ME)
    part.mkdir()
    write_new_file(part / "a_1.png", data)
    file = OutFile("a_1.png", "set/a_1.png", hashlib.sha256(data).hexdigest(), len(data))
    record = make_record(job.id, 1, ME, Outcome((file,)), {"kind": job.kind, "place": job.place})
    assert commit(folder, part, record)
    return record


def redone(folder: RunFolder) -> Job:
    (job,) = redo(folder, wanted(["set/a"])).jobs
    return job


@pytest.mark.parametrize("before_change", range(1, 10))
def test_who_publishes_late_does_not_keep_the_new_image_as_the_old_one(folder: RunFolder, before_change: int) -> None:
    (first,) = plan_jobs(folder, ["set/a"])
    publish_job(folder, committed(folder, first, b"old"))
    record = committed(folder, redone(folder), b"new")

    HOOK.arm(before_change, action=lambda: publish_job(folder, record) and None)
    publish_job(folder, record)

    assert (folder.out / "set" / "a_1.png").read_bytes() == b"new"
    assert (folder.state / "replaced" / first.id / "a_1.png").read_bytes() == b"old"


def test_a_redone_image_waits_for_the_one_before_it_to_get_its_place(folder: RunFolder) -> None:
    (first,) = plan_jobs(folder, ["set/a"])
    publish_job(folder, committed(folder, first, b"old"))
    second = redone(folder)
    committed(folder, second, b"never published by who made it")
    third = redone(folder)

    remarks = publish_job(folder, committed(folder, third, b"newest"))
    roll_forward(folder, second.id, [1])

    assert remarks == []
    assert (folder.out / "set" / "a_1.png").read_bytes() == b"newest"
    assert (folder.state / "replaced" / second.id / "a_1.png").read_bytes() == b"never published by who made it"


def test_an_image_that_had_to_stand_beside_a_users_goes_when_it_is_redone(folder: RunFolder) -> None:
    (first,) = plan_jobs(folder, ["set/a"])
    (folder.out / "set").mkdir()
    (folder.out / "set" / "a_1.png").write_bytes(b"mine")
    publish_job(folder, committed(folder, first, b"old"))
    second = redone(folder)

    publish_job(folder, committed(folder, second, b"new"))

    names = {path.name: path.read_bytes() for path in (folder.out / "set").iterdir()}
    assert names == {"a_1.png": b"mine", second_place("a_1.png", second.id): b"new"}
    assert (folder.state / "replaced" / first.id / "a_1.png").read_bytes() == b"old"


def test_an_image_that_comes_after_the_one_that_was_to_replace_it_is_kept_out_of_the_way(folder: RunFolder) -> None:
    (first,) = plan_jobs(folder, ["set/a"])
    second = replace(first, id=job_id(first.kind, first.place, 1), revision=1)
    folder.add([second], folder.read_plan().specs, withdrawn=[first.id])
    publish_job(folder, committed(folder, second, b"new"))

    remarks = publish_job(folder, committed(folder, first, b"late"))

    assert remarks == []
    assert {path.name: path.read_bytes() for path in (folder.out / "set").iterdir()} == {"a_1.png": b"new"}
    assert (folder.state / "replaced" / first.id / "a_1.png").read_bytes() == b"late"
