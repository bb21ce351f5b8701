"""Commit, publish, find again, sweep."""

from __future__ import annotations

import errno
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sdclient.batch import commit as commit_module
from sdclient.batch.beats import Beat
from sdclient.batch.commit import commit, make_record
from sdclient.batch.folder import RunFolder
from sdclient.batch.identity import new_token, own_identity
from sdclient.batch.inputs import Inputs
from sdclient.batch.plan import FileInput, Job, job_id
from sdclient.batch.publish import locate, publish_job, roll_forward, second_place
from sdclient.batch.record import Outcome, OutFile, Record
from sdclient.batch.sweep import Swept, sweep
from sdclient.errors import ConfigurationError, RunFolderError, StorageError
from sdclient.files import CommitOutcome, write_new_file
from tests.practice_lane import plan_jobs

ME, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "out", run_seed=1, lease_s=90, beat_s=10)


@pytest.fixture
def job(folder: RunFolder) -> Job:
    return plan_jobs(folder, ["set/a"])[0]


def part_of(
    folder: RunFolder, job: Job, *, token: str = ME, epoch: int = 1, data: bytes = b"image"
) -> tuple[Path, Record]:
    part = folder.part_folder(job.id, epoch, token)
    part.mkdir()
    write_new_file(part / "a_1.png", data)
    file = OutFile("a_1.png", "set/a_1.png", "", len(data))
    return part, make_record(job.id, epoch, token, Outcome((file,)), {"server": "gpu"})


class TestCommit:
    def test_the_first_wins_and_a_late_one_changes_nothing(self, folder: RunFolder, job: Job) -> None:
        first, late = part_of(folder, job), part_of(folder, job, token=OTHER, epoch=2, data=b"late")

        won = [commit(folder, *first), commit(folder, *late)]

        assert won == [True, False]
        assert folder.record(job.id).token == ME
        assert (folder.done_folder(job.id) / "a_1.png").read_bytes() == b"image"
        assert list((folder.state / "parts").iterdir()) == []

    def test_a_rename_that_reports_an_error_and_happened_counts_as_won(
        self, folder: RunFolder, job: Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def landed(source: Path, target: Path) -> CommitOutcome:
            source.rename(target)
            raise StorageError("the reply was lost") from OSError(errno.EIO, "lost")

        monkeypatch.setattr(commit_module, "commit_directory", landed)

        assert commit(folder, *part_of(folder, job))

    def test_a_repeated_rename_that_is_refused_by_our_own_record_counts_as_won(
        self, folder: RunFolder, job: Job
    ) -> None:
        part, record = part_of(folder, job)
        shutil.copytree(part, folder.done_folder(job.id))
        (folder.done_folder(job.id) / "record.json").write_bytes(record.to_bytes())

        assert commit(folder, part, record)

    def test_an_error_without_a_record_is_raised(self, folder: RunFolder, job: Job) -> None:
        part, record = part_of(folder, job)
        shutil.rmtree(folder.state / "done")
        (folder.state / "done").write_bytes(b"")

        with pytest.raises(StorageError):
            commit(folder, part, record)

    def test_a_lost_race_whose_winner_cannot_be_read_is_lost(self, folder: RunFolder, job: Job) -> None:
        part, record = part_of(folder, job)
        folder.done_folder(job.id).mkdir(parents=True)
        (folder.done_folder(job.id) / "record.json").write_bytes(b"torn")

        assert not commit(folder, part, record)

    def test_a_job_without_outputs_is_done_too(self, folder: RunFolder, job: Job) -> None:
        part = folder.part_folder(job.id, 1, ME)
        part.mkdir()
        record = make_record(job.id, 1, ME, Outcome(()), {})

        assert commit(folder, part, record)
        assert publish_job(folder, record) == []


class TestPublish:
    def test_files_go_to_their_places_and_doing_it_again_is_harmless(self, folder: RunFolder, job: Job) -> None:
        part, record = part_of(folder, job)
        commit(folder, part, record)

        remarks = publish_job(folder, record) + publish_job(folder, record)

        assert remarks == []
        assert (folder.out / "set" / "a_1.png").read_bytes() == b"image"
        assert [path.name for path in folder.done_folder(job.id).iterdir()] == ["record.json"]

    def test_two_files_of_the_users_leave_the_image_with_its_record(self, folder: RunFolder, job: Job) -> None:
        part, record = part_of(folder, job)
        commit(folder, part, record)
        (folder.out / "set").mkdir()
        for place in ("set/a_1.png", second_place("set/a_1.png", job.id)):
            (folder.out / place).write_bytes(b"mine")

        (remark,) = publish_job(folder, record)

        assert str(folder.done_folder(job.id)) in remark
        assert (folder.done_folder(job.id) / "a_1.png").read_bytes() == b"image"

    def test_claims_stay_when_the_files_cannot_be_moved(self, folder: RunFolder, job: Job) -> None:
        folder.claim(job.id, 1, ME)
        commit(folder, *part_of(folder, job))
        (folder.out / "set").write_bytes(b"a file where the folder should be")

        with pytest.raises(RunFolderError):
            roll_forward(folder, job.id, [1])

        assert len(list((folder.state / "claims").iterdir())) == 1

    def test_a_link_in_the_way_is_not_followed(self, folder: RunFolder, job: Job, tmp_path: Path) -> None:
        part, record = part_of(folder, job)
        commit(folder, part, record)
        (tmp_path / "elsewhere").mkdir()
        (folder.out / "set").symlink_to(tmp_path / "elsewhere")

        with pytest.raises(RunFolderError, match="link"):
            publish_job(folder, record)

        assert list((tmp_path / "elsewhere").iterdir()) == []


class TestRedone:
    def test_old_files_whose_names_the_new_ones_do_not_have_are_kept_and_taken_away(
        self, folder: RunFolder, job: Job
    ) -> None:
        again = replace(job, id=job_id(job.kind, job.place, 1), revision=1)
        folder.add([again], folder.read_plan().specs)
        for one, names in ((job, ("a_1.png", "a_2.png")), (again, ("a_1.jpg",))):
            part = folder.part_folder(one.id, 1, ME)
            part.mkdir()
            files = []
            for name in names:
                data = f"{one.revision} {name}".encode()
                write_new_file(part / name, data)
                files.append(OutFile(name, f"set/{name}", hashlib.sha256(data).hexdigest(), len(data)))
            record = make_record(one.id, 1, ME, Outcome(tuple(files)), {})
            commit(folder, part, record)
            publish_job(folder, record)

        assert [path.name for path in (folder.out / "set").iterdir()] == ["a_1.jpg"]
        kept = folder.state / "replaced" / job.id
        assert sorted(path.name for path in kept.iterdir()) == ["a_1.png", "a_2.png"]


def test_a_commit_that_is_repeated_is_still_ours_and_leaves_nothing_behind(folder: RunFolder, job: Job) -> None:
    part, record = part_of(folder, job)
    commit(folder, part, record)
    again, _ = part_of(folder, job)

    assert commit(folder, again, record)
    assert not again.exists()


class TestLocate:
    def test_a_file_is_found_wherever_it_is_on_its_way(self, folder: RunFolder, job: Job) -> None:
        part, record = part_of(folder, job)
        commit(folder, part, record)
        kept = locate(folder, record, 0)
        publish_job(folder, record)

        assert kept == folder.done_folder(job.id) / "a_1.png"
        assert locate(folder, record, 0) == folder.out / "set" / "a_1.png"

    def test_one_that_is_gone_or_never_was_is_told(self, folder: RunFolder, job: Job) -> None:
        part, record = part_of(folder, job)
        commit(folder, part, record)
        publish_job(folder, record)
        (folder.out / "set" / "a_1.png").unlink()

        with pytest.raises(RunFolderError, match="is gone"):
            locate(folder, record, 0)
        with pytest.raises(RunFolderError, match="it made 1"):
            locate(folder, record, 1)


class TestInputs:
    def test_a_whole_folder_that_goes_away_is_trouble_with_the_disk(self, folder: RunFolder, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "b.png").touch()
        (job,) = plan_jobs(folder, ["b"], kind="img2img", inputs=[FileInput("../in", "b.png")])
        inputs = Inputs(folder)
        inputs.refuse_missing_roots()
        shutil.rmtree(tmp_path / "in")

        with pytest.raises(StorageError, match="is gone"):
            inputs.path(job)
        with pytest.raises(ConfigurationError, match="--in"):
            inputs.refuse_missing_roots()

    def test_an_input_that_leads_out_of_its_folder_is_refused(self, folder: RunFolder, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "secret.png").write_bytes(b"secret")
        (job,) = plan_jobs(folder, ["b"], kind="img2img", inputs=[FileInput("../in", "../secret.png")])

        with pytest.raises(RunFolderError):
            Inputs(folder).path(job)


class TestSweep:
    def test_only_what_dead_workers_left_is_taken_away(self, folder: RunFolder, job: Job) -> None:
        dead, living = new_token(), new_token()
        for token, who in ((dead, replace(own_identity(), start="1")), (living, own_identity())):
            (folder.state / "beats" / token).write_bytes(Beat(1, who).to_bytes())
            part_of(folder, job, token=token)
        (folder.state / "parts" / f"swept.{dead}.0").mkdir()
        (folder.state / "parts" / "notes.txt").write_bytes(b"mine")

        swept = sweep(folder, ME, lambda token: token == dead)

        left = {path.name for path in (folder.state / "parts").iterdir()}
        assert swept == Swept(parts=2, claims=0, beats=1)
        assert left == {folder.part_folder(job.id, 1, living).name, "notes.txt"}
        assert [path.name for path in (folder.state / "beats").iterdir()] == [living]

    def test_the_beat_of_a_dead_worker_stays_while_a_claim_of_its_is_open(self, folder: RunFolder, job: Job) -> None:
        folder.claim(job.id, 1, OTHER)
        (folder.state / "beats" / OTHER).write_bytes(b"torn")

        assert sweep(folder, ME, lambda _: True).beats == 0

    def test_claims_of_done_jobs_go_once_their_files_are_published(self, folder: RunFolder, job: Job) -> None:
        folder.claim(job.id, 1, ME)
        part, record = part_of(folder, job)
        commit(folder, part, record)
        before = sweep(folder, ME, lambda _: True).claims
        publish_job(folder, record)

        assert (before, sweep(folder, ME, lambda _: True).claims) == (0, 1)

    def test_an_owner_who_wakes_finds_nothing_to_commit(self, folder: RunFolder, job: Job) -> None:
        part, record = part_of(folder, job, token=OTHER)
        sweep(folder, ME, lambda token: token == OTHER)

        with pytest.raises(StorageError):
            commit(folder, part, record)
        assert folder.read_done() == set()

    def test_one_own_sweep_after_another_is_harmless(self, folder: RunFolder, job: Job) -> None:
        (folder.state / "parts" / f"swept.{ME}.0").mkdir()
        part_of(folder, job)

        assert sweep(folder, ME, lambda _: False).parts == 2
        assert sweep(folder, ME, lambda _: False) == Swept()
