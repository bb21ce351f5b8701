"""The log and the views people read."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest

from sdclient.batch.commit import commit, make_record
from sdclient.batch.folder import RunFolder
from sdclient.batch.log import (
    ATTEMPT_COLUMNS,
    IMAGE_COLUMNS,
    AttemptLog,
    image_rows,
    inherited_columns,
    read_attempts,
    save_reply,
    typical_seconds,
    write_views,
)
from sdclient.batch.plan import OutputInput, make_job, spec_id
from sdclient.batch.record import Outcome, OutFile
from sdclient.images import EXTENSIONS
from tests.practice_lane import PracticeLane, plan_jobs, work

SPEC = {"request": {"prompt": "a fox", "negative_prompt": "blur"}}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "out", run_seed=1, lease_s=1, beat_s=0.1)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class GrowingFolder(RunFolder):
    """A run in which another machine plans and does a job while it is read."""

    has_grown = False

    def read_done(self, groups: Iterable[str] | None = None) -> set[str]:
        if not self.has_grown:
            self.has_grown = True
            plan_jobs(RunFolder.open(self.out), ["late"])
            work(RunFolder.open(self.out))
            shutil.rmtree(self.state / "log")
        return super().read_done(groups)


def test_a_job_that_is_planned_and_done_while_tables_are_read_hurts_neither(folder: RunFolder) -> None:
    plan_jobs(folder, ["early"])
    work(folder)

    _, rows = image_rows(GrowingFolder(folder.out, folder.settings))
    attempts, _ = read_attempts(GrowingFolder(folder.out, folder.settings))

    assert [row["image"] for row in rows] == ["early_1.png"]
    assert sorted(row["place"] for row in attempts) == ["early", "late"]


@pytest.mark.parametrize("refused", ["images.csv", "attempts.csv"])
def test_a_table_that_cannot_be_replaced_keeps_the_other_from_nothing(folder: RunFolder, refused: str) -> None:
    plan_jobs(folder, ["a"])
    work(folder)
    for name in ("images.csv", "attempts.csv"):
        (folder.out / name).unlink()
    (folder.out / refused / "something of the user's").mkdir(parents=True)

    (problem,) = write_views(folder)

    assert problem.startswith(f"{refused} was not written anew: ")
    assert (folder.out / "images.csv").is_file() is not (folder.out / "attempts.csv").is_file()


class TestImages:
    def test_a_row_has_the_prompt_the_seed_and_the_users_columns(self, folder: RunFolder) -> None:
        job = make_job(
            "txt2img", "a", SPEC, changes={"prompt": "a hare"}, columns={"nation": "Italian", "kind": "mine"}
        )
        folder.add([job], {spec_id(SPEC): SPEC})
        work(folder)

        (row,) = rows_of(folder.out / "images.csv")

        assert (row["image"], row["prompt"], row["negative_prompt"]) == ("a_1.png", "a hare", "blur")
        assert (row["nation"], row["kind"], row["own_kind"]) == ("Italian", "txt2img", "mine")
        assert row["seed"] == str(json.loads((folder.done_folder(job.id) / "record.json").read_text())["seed"])

    def test_columns_follow_an_image_through_the_jobs_that_work_on_it(self, folder: RunFolder) -> None:
        first = make_job("txt2img", "a", SPEC, columns={"nation": "Italian", "turn": "1"})
        second = make_job("img2img", "b", SPEC, input=OutputInput(first.id), columns={"turn": "2"})
        folder.add([first, second], {spec_id(SPEC): SPEC})
        work(folder)

        _, rows = image_rows(folder)

        assert [(row["nation"], row["turn"]) for row in rows] == [("Italian", "1"), ("Italian", "2")]
        assert rows[1]["input"] == f"job:{first.id}:0"

    def test_a_chain_of_a_thousand_passes_is_no_trouble(self) -> None:
        jobs = [make_job("img2img", "p0", SPEC, columns={"origin": "x"})]
        for number in range(1, 3000):
            jobs.append(make_job("img2img", f"p{number}", SPEC, input=OutputInput(jobs[-1].id)))

        assert inherited_columns({job.id: job for job in jobs}, jobs[-1]) == {"origin": "x"}

    def test_lists_layers_and_previews_of_objects_are_no_images(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"], kind="segment")
        part = folder.part_folder(job.id, 1, "a" * 32)
        part.mkdir()
        names = ("a_01.png", "a_02.webp", "objects.json", "a.ora", "a_overlay.jpg", "a_sheet.jpg")
        files = tuple(OutFile(name, f"a/{name}", "", 1) for name in names)
        commit(folder, part, make_record(job.id, 1, "a" * 32, Outcome(files), {}))

        assert [row["image"] for row in image_rows(folder)[1]] == ["a/a_01.png", "a/a_02.webp"]

    @pytest.mark.parametrize("ending", EXTENSIONS.values())
    def test_an_image_counts_whatever_a_server_sent_it_as(self, folder: RunFolder, ending: str) -> None:
        (job,) = plan_jobs(folder, ["a"])
        part = folder.part_folder(job.id, 1, "a" * 32)
        part.mkdir()
        outcome = Outcome((OutFile(f"a_1{ending}", f"a_1{ending}", "", 1),))
        commit(folder, part, make_record(job.id, 1, "a" * 32, outcome, {}))

        assert [row["image"] for row in image_rows(folder)[1]] == [f"a_1{ending}"]

    def test_a_drawing_may_be_called_an_overlay(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["my_overlay"])
        work(folder)

        assert [row["image"] for row in image_rows(folder)[1]] == ["my_overlay_1.png"]

    def test_a_damaged_record_is_a_remark_and_the_rest_is_written(self, folder: RunFolder) -> None:
        jobs = plan_jobs(folder, ["a", "b"])
        work(folder)
        (folder.done_folder(jobs[0].id) / "record.json").write_bytes(b"{")

        problems = write_views(folder)

        assert len(problems) == 1
        assert [row["image"] for row in rows_of(folder.out / "images.csv")] == ["b_1.png"]

    def test_views_that_cannot_be_written_are_a_remark(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["a"])
        (folder.out / "images.csv").mkdir()

        (problem,) = write_views(folder)

        assert "not written" in problem

    def test_views_that_say_the_same_are_left_alone(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["a"])
        work(folder)
        before = (folder.out / "images.csv").stat().st_ino

        write_views(folder)

        assert (folder.out / "images.csv").stat().st_ino == before
        assert tuple(rows_of(folder.out / "images.csv")[0]) == IMAGE_COLUMNS


class TestAttempts:
    def test_a_worker_that_tries_nothing_leaves_no_log(self, folder: RunFolder) -> None:
        work(folder)

        assert list((folder.state / "log").iterdir()) == []

    def test_a_log_that_cannot_be_written_is_a_message_and_no_error(
        self, folder: RunFolder, caplog: pytest.LogCaptureFixture
    ) -> None:
        (folder.state / "log").rmdir()
        log = AttemptLog(folder, "a" * 32)

        log.write({"job": "x"})
        log.close()

        (message,) = caplog.messages
        assert message.startswith("the log row of job x is missing: ")

    def test_a_bad_line_is_reported_and_the_rest_kept(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["a", "b"])
        work(folder)
        (path,) = (folder.state / "log").iterdir()
        head, first, second = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(head + first + b"\xff\xfe\n" + second)

        rows, problems = read_attempts(folder)

        assert len(rows) == 2
        assert len(problems) == 1

    def test_the_columns_are_those_of_the_design(self) -> None:
        assert ATTEMPT_COLUMNS[:4] == ("job", "kind", "place", "status")
        assert "\n" not in "".join(ATTEMPT_COLUMNS)

    def test_a_name_with_a_line_break_stays_one_row_to_csv_and_pandas(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["a\nb", 'c"d,e'])
        work(folder)

        write_views(folder)

        path = folder.out / "images.csv"
        shown = ["a b_1.png", 'c"d,e_1.png']
        assert [row["image"] for row in rows_of(path)] == shown
        assert list(pd.read_csv(path)["image"]) == shown
        assert [row["image"] for row in image_rows(folder)[1]] == ["a\nb_1.png", 'c"d,e_1.png']

    def test_the_typical_time_is_the_median_of_what_was_measured(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["a", "b", "c"])
        work(folder, PracticeLane(delay_s=0.02))

        assert 0.02 <= typical_seconds(folder)["txt2img"] < 0.2

    def test_nothing_is_typical_of_a_log_that_is_none(self, folder: RunFolder) -> None:
        (folder.state / "log" / "x.csv").mkdir()
        (folder.state / "log" / "y.csv").write_bytes(b'head\n"torn\n' + b"a,b\n")

        assert typical_seconds(folder) == {}

    def test_a_reply_that_cannot_be_kept_is_a_message_and_no_error(
        self, folder: RunFolder, caplog: pytest.LogCaptureFixture
    ) -> None:
        (folder.state / "replies").rmdir()

        save_reply(folder, "a" * 20, 1, "body")

        assert caplog.messages == [f"reply of job {'a' * 20} not kept: No such file or directory"]


@pytest.mark.parametrize("name", ["images.csv", "attempts.csv"])
def test_somebody_elses_table_is_left_and_said(folder: RunFolder, name: str) -> None:
    plan_jobs(folder, ["a"])
    work(folder)
    (folder.out / name).write_text("image,prompt\na.png,a fox\n")

    (problem,) = write_views(folder)

    assert problem.startswith(f"{name} was not written anew: {folder.out / name}: was not written by sdclient")
    assert (folder.out / name).read_text() == "image,prompt\na.png,a fox\n"


def test_a_table_of_ours_is_written_anew_whatever_its_further_columns_are(folder: RunFolder) -> None:
    plan_jobs(folder, ["a"])
    work(folder)
    (folder.out / "images.csv").write_text("image,kind,job,mine\nold,,,\n")

    assert write_views(folder) == []
    assert [row["image"] for row in rows_of(folder.out / "images.csv")] == ["a_1.png"]
