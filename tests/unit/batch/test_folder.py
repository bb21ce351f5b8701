"""The run folder: made, opened, refused, read while others write."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import pytest

from sdclient.batch.claims import TORN, End, claim_name
from sdclient.batch.folder import RunFolder
from sdclient.batch.identity import new_token
from sdclient.batch.plan import encode_shard, make_job, spec_id
from sdclient.batch.settings import RunSettings, begin_settings, read_settings, refuse_unsafe, why_one_machine
from sdclient.errors import ConfigurationError, PlanError, RunFolderError, StorageError
from sdclient.files import FolderFacts
from tests.practice_lane import SPEC, plan_jobs

JOB = "0123456789abcdef0123"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "out", run_seed=7, lease_s=1.0, beat_s=0.1)


def facts(**changes: object) -> FolderFacts:
    good: dict[str, object] = {
        "writable": True,
        "exclusive_create": True,
        "directory_rename_refuses": True,
        "hard_links": True,
        "fsync_ok": True,
        "rewrite_visible": True,
        "free_bytes": 1,
        "filesystem": "ext4",
        "synced_by": "",
        "problem": None,
    }
    return FolderFacts(**{**good, **changes})  # type: ignore[arg-type]


class TestSettings:
    def test_an_existing_run_keeps_its_seed_and_lease(self, folder: RunFolder) -> None:
        again = RunFolder.create(folder.out, run_seed=8, lease_s=50)

        assert again.settings == RunSettings(7, 1.0, 0.1)

    def test_nothing_in_it_is_an_absolute_path(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["a"])

        for path in folder.state.rglob("*"):
            if path.is_file():
                assert str(folder.out) not in path.read_text(encoding="utf-8")

    def test_a_file_in_the_way_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_bytes(b"")

        with pytest.raises(RunFolderError, match="is a file"):
            RunFolder.create(tmp_path / "out")

    def test_a_folder_that_cannot_be_looked_at_is_trouble_with_the_disk(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"cannot look at .*File name too long"):
            RunFolder.prepare(tmp_path / ("x" * 300))

    def test_a_folder_without_a_run_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(RunFolderError, match="no run here"):
            RunFolder.open(tmp_path)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (json.dumps({"format": 2}), "update sdclient"),
            ("{", "damaged"),
            ("[]", "damaged"),
            (json.dumps({"format": 1}), "damaged"),
        ],
    )
    def test_a_strange_run_file_is_refused(self, folder: RunFolder, content: str, words: str) -> None:
        (folder.state / "run.json").write_text(content, encoding="utf-8")

        with pytest.raises(RunFolderError, match=words):
            read_settings(folder.state, sleep=lambda _: None)

    def test_a_run_file_that_is_just_being_written_is_waited_for(self, folder: RunFolder) -> None:
        path = folder.state / "run.json"
        whole = path.read_bytes()
        path.write_bytes(whole[:5])

        found = read_settings(folder.state, sleep=lambda _: path.write_bytes(whole) and None)

        assert found.run_seed == 7

    def test_a_run_file_that_is_a_folder_is_told(self, tmp_path: Path) -> None:
        (tmp_path / ".sdclient" / "run.json").mkdir(parents=True)

        with pytest.raises(RunFolderError, match="cannot be read"):
            RunFolder.open(tmp_path)

    @pytest.mark.parametrize(("lease_s", "beat_s"), [(1, 1), (float("nan"), 1), (10, 0), (float("inf"), 1)])
    def test_a_lease_shorter_than_two_beats_is_refused(self, tmp_path: Path, lease_s: float, beat_s: float) -> None:
        with pytest.raises(ConfigurationError, match="lease"):
            RunFolder.create(tmp_path / "out", lease_s=lease_s, beat_s=beat_s)

    @pytest.mark.parametrize("flaw", ["exclusive_create", "directory_rename_refuses"])
    def test_a_folder_where_results_could_be_overwritten_is_refused(self, tmp_path: Path, flaw: str) -> None:
        with pytest.raises(RunFolderError, match="cannot hold a run"):
            begin_settings(tmp_path, run_seed=1, lease_s=90, beat_s=10, probe=lambda _: facts(**{flaw: False}))

        assert not (tmp_path / "run.json").exists()

    def test_a_folder_that_cannot_be_written_is_told_as_such(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="cannot make"):
            refuse_unsafe(tmp_path, facts(writable=False, problem="cannot make a folder"))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"synced_by": "Dropbox"}, "Dropbox"),
            ({"filesystem": "afpfs"}, "AFP"),
            ({"rewrite_visible": False}, "signs of life"),
            ({"fsync_ok": False}, ""),
            ({}, ""),
        ],
    )
    def test_folders_that_must_not_be_shared_say_why(
        self, tmp_path: Path, changes: dict[str, object], words: str
    ) -> None:
        refuse_unsafe(tmp_path, facts(**changes))

        assert words in why_one_machine(facts(**changes))
        assert bool(words) == bool(why_one_machine(facts(**changes)))

    @pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
    def test_a_read_only_folder_is_told(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)

        with pytest.raises(StorageError):
            RunFolder.create(tmp_path / "out")

    def test_a_place_below_a_file_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")

        with pytest.raises(StorageError, match="make the run folder"):
            RunFolder.create(tmp_path / "file" / "out")


class TestPlan:
    def test_shards_of_another_process_are_seen(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["a"])
        other = RunFolder.open(folder.out)
        other.read_plan()

        plan_jobs(folder, ["b"])

        assert [job.place for job in other.read_plan().jobs.values()] == ["a", "b"]

    def test_jobs_stay_in_the_order_they_were_planned_over_many_shards(self, folder: RunFolder) -> None:
        names = [f"job{number}" for number in range(12)]
        for name in names:
            plan_jobs(folder, [name])

        assert [job.place for job in RunFolder.open(folder.out).read_plan().jobs.values()] == names

    def test_two_machines_that_plan_one_job_at_once_agree_on_one_of_them(self, folder: RunFolder) -> None:
        other = RunFolder.open(folder.out)
        for which, prompt in ((folder, "a fox"), (other, "a hare")):
            job = make_job("txt2img", "a", SPEC, changes={"prompt": prompt})
            name, data = encode_shard([job], {spec_id(SPEC): SPEC})
            (folder.state / "plan" / name).write_bytes(data)
            which.read_plan()

        assert folder.read_plan() == other.read_plan() == RunFolder.open(folder.out).read_plan()

    def test_a_shard_that_is_just_being_copied_is_waited_for(self, folder: RunFolder) -> None:
        name, data = encode_shard([make_job("txt2img", "a", SPEC)], {spec_id(SPEC): SPEC})
        path = folder.state / "plan" / name
        path.write_bytes(data[:20])
        reader = RunFolder(folder.out, folder.settings, sleep=lambda _: path.write_bytes(data) and None)

        assert len(reader.read_plan().jobs) == 1

    def test_a_shard_that_stays_half_is_refused(self, folder: RunFolder) -> None:
        (folder.state / "plan" / ("0" * 64 + ".jsonl")).write_bytes(b"half")
        reader = RunFolder(folder.out, folder.settings, sleep=lambda _: None)

        with pytest.raises(RunFolderError, match="half copied"):
            reader.read_plan()

    def test_files_that_are_no_shards_are_left_alone(self, folder: RunFolder) -> None:
        (folder.state / "plan" / ".DS_Store").write_bytes(b"x")

        assert folder.read_plan().jobs == {}

    def test_a_contradiction_writes_nothing(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["a"])

        with pytest.raises(PlanError):
            folder.add([make_job("txt2img", "A", SPEC)], {spec_id(SPEC): SPEC})

        assert len(list((folder.state / "plan").iterdir())) == 1


class TestClaims:
    def test_of_many_at_once_one_wins(self, folder: RunFolder) -> None:
        start = threading.Barrier(6)
        won: list[bool] = []

        def race() -> None:
            start.wait()
            won.append(folder.claim(JOB, 1, new_token()))

        threads = [threading.Thread(target=race) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(won) == [False] * 5 + [True]

    def test_an_end_written_twice_keeps_the_first(self, folder: RunFolder) -> None:
        folder.claim(JOB, 1, new_token())
        folder.end_claim(JOB, 1, End("set_aside", "E", "first"))
        folder.end_claim(JOB, 1, End("released"))

        for reader in (folder, RunFolder.open(folder.out)):
            (epoch,) = reader.read_claims()[JOB]
            assert epoch.end == End("set_aside", "E", "first")

    def test_an_end_that_is_just_being_written_is_read_when_it_is_whole(self, folder: RunFolder) -> None:
        folder.claim(JOB, 1, new_token())
        path = folder.state / "claims" / (claim_name(JOB, 1) + ".end")
        path.write_bytes(b"")
        reader = RunFolder(
            folder.out, folder.settings, sleep=lambda _: path.write_bytes(End("released").to_bytes()) and None
        )

        (epoch,) = reader.read_claims()[JOB]

        assert epoch.end == End("released")

    def test_an_end_that_stays_torn_counts_as_failed_and_is_read_again(self, folder: RunFolder) -> None:
        folder.claim(JOB, 1, new_token())
        path = folder.state / "claims" / (claim_name(JOB, 1) + ".end")
        path.write_bytes(b"")
        first = folder.read_claims()[JOB][0].end
        path.write_bytes(End("released").to_bytes())

        assert first is TORN
        assert folder.read_claims()[JOB][0].end == End("released")

    def test_torn_claims_have_owners_of_their_own(self, folder: RunFolder) -> None:
        for job in (JOB, JOB[::-1]):
            (folder.state / "claims" / claim_name(job, 1)).write_bytes(b"to")

        owners = {epochs[0].owner for epochs in folder.read_claims().values()}

        assert len(owners) == 2

    def test_foreign_names_are_left_alone(self, folder: RunFolder) -> None:
        (folder.state / "claims" / "Thumbs.db").write_bytes(b"")

        assert folder.read_claims() == {}

    def test_claims_that_went_are_forgotten(self, folder: RunFolder) -> None:
        folder.claim(JOB, 1, new_token())
        folder.end_claim(JOB, 1, End("released"))
        folder.read_claims()

        folder.remove_claims(JOB, [1])

        assert folder.read_claims() == {}
        assert folder._ends == folder._owners == {}

    def test_removing_claims_that_are_not_there_is_harmless(self, folder: RunFolder) -> None:
        folder.remove_claims(JOB, range(1, 4))

        assert list((folder.state / "claims").iterdir()) == []


class TestDone:
    def test_a_folder_that_was_lost_in_copying_counts_as_empty(self, folder: RunFolder) -> None:
        (folder.state / "done").rmdir()

        assert folder.read_done() == set()

    def test_files_among_the_groups_are_left_alone(self, folder: RunFolder) -> None:
        (folder.state / "done" / ".DS_Store").write_bytes(b"")
        (folder.state / "done" / "ab" / JOB).mkdir(parents=True)

        assert folder.read_done() == {JOB}

    def test_a_missing_record_is_told(self, folder: RunFolder) -> None:
        with pytest.raises(RunFolderError, match="cannot be read"):
            folder.record(JOB)

    def test_a_record_of_another_job_is_refused(self, folder: RunFolder) -> None:
        folder.done_folder(JOB).mkdir(parents=True)
        value = {"job": "b" * 20, "epoch": 1, "token": "t", "files": []}
        (folder.done_folder(JOB) / "record.json").write_text(json.dumps(value))

        with pytest.raises(RunFolderError, match="is the record of job"):
            folder.record(JOB)

    def test_a_damaged_record_is_reported_and_the_others_are_kept(self, folder: RunFolder) -> None:
        jobs = plan_jobs(folder, ["a", "b"])
        for job in jobs:
            folder.done_folder(job.id).mkdir(parents=True)
        value = {"job": jobs[1].id, "epoch": 1, "token": "t", "files": []}
        (folder.done_folder(jobs[0].id) / "record.json").write_text("{")
        (folder.done_folder(jobs[1].id) / "record.json").write_text(json.dumps(value))
        problems: list[str] = []

        records = list(folder.records(problems))

        assert [record.job for record in records] == [jobs[1].id]
        assert len(problems) == 1
        with pytest.raises(RunFolderError):
            list(folder.records())
