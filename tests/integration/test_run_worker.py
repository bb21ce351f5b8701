"""One worker on a run folder, with a lane that needs no server: every way a job can end."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sdclient.batch.beats import Beat, BeatWriter
from sdclient.batch.claims import End, Epoch, claim_name
from sdclient.batch.commit import commit, make_record
from sdclient.batch.events import Event
from sdclient.batch.folder import RunFolder
from sdclient.batch.identity import new_token, own_identity
from sdclient.batch.lane import Task
from sdclient.batch.log import read_attempts
from sdclient.batch.pipeline import Stop
from sdclient.batch.plan import FileInput, OutputInput
from sdclient.batch.publish import second_place
from sdclient.batch.record import Outcome, OutFile
from sdclient.batch.status import read_status
from sdclient.batch.worker import Worker
from sdclient.errors import (
    AuthenticationError,
    BadReplyError,
    ConfigurationError,
    NotSentError,
    RejectedError,
    RunFolderError,
    ServerBusyError,
    ServerFaultError,
    StorageError,
)
from sdclient.files import write_new_file
from tests.practice_lane import PracticeJob, PracticeLane, plan_jobs, quick, work

PLACES = [f"set/{number:02d}" for number in range(8)]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "out", run_seed=1, lease_s=1.0, beat_s=0.1)


def images(folder: RunFolder) -> list[str]:
    return sorted(path.relative_to(folder.out).as_posix() for path in folder.out.rglob("*.png"))


def leftovers(folder: RunFolder) -> list[str]:
    return sorted(
        path.relative_to(folder.state).as_posix()
        for name in ("claims", "parts", "beats")
        for path in (folder.state / name).iterdir()
    )


def storage_trouble(number: int = errno.ENOSPC) -> StorageError:
    error = StorageError("cannot write: no space left")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


class OverlappingLane(PracticeLane):
    """Executes each job only once the next is prepared and the one before is finished, or notes that neither comes."""

    def __init__(self, places: Sequence[str]) -> None:
        super().__init__()
        self._places = places
        self._changed = threading.Condition()
        self._prepared: set[str] = set()
        self._finished: set[str] = set()
        self.alone: list[str] = []

    def prepare(self, task: Task) -> PracticeJob:
        job = super().prepare(task)
        with self._changed:
            self._prepared.add(task.job.place)
            self._changed.notify_all()
        return job

    def stumble(self, stage: str, task: Task) -> None:
        number = self._places.index(task.job.place)
        before, after = set(self._places[max(0, number - 1) : number]), set(self._places[number + 1 : number + 2])
        with self._changed:
            if stage == "finish":
                self._finished.add(task.job.place)
                self._changed.notify_all()
            elif stage == "execute" and not self._changed.wait_for(
                lambda: before <= self._finished and after <= self._prepared, timeout=10
            ):
                self.alone.append(task.job.place)


class CrowdedLane(PracticeLane):
    """A server on which every job waits behind somebody else's."""

    def has_waited(self) -> bool:
        return True


class TestAllGoesWell:
    def test_every_job_is_done_once_and_nothing_is_left_over(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        lane = PracticeLane()

        result = work(folder, lane)

        assert (result.counts.done, result.counts.left, result.made, result.images) == (8, 0, 8, 8)
        assert sorted(lane.executed) == PLACES
        assert images(folder) == [f"{place}_1.png" for place in PLACES]
        assert leftovers(folder) == []
        assert result.problems == ()

    def test_a_second_worker_executes_nothing(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        work(folder)
        lane = PracticeLane()

        result = work(folder, lane)

        assert lane.executed == []
        assert result.counts.done == 8

    def test_alone_the_jobs_run_in_the_order_of_the_plan(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        lane = PracticeLane()

        work(folder, lane)

        assert lane.executed == PLACES

    def test_a_lane_holds_three_jobs_at_most(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        lane = PracticeLane(delay_s=0.01)

        work(folder, lane)

        assert lane.most_held <= 3

    def test_the_next_job_is_prepared_and_the_one_before_finished_while_one_is_executed(
        self, folder: RunFolder
    ) -> None:
        plan_jobs(folder, PLACES)
        lane = OverlappingLane(PLACES)

        work(folder, lane)

        assert lane.alone == []
        assert lane.executed == PLACES

    def test_several_lanes_of_one_worker_share_the_jobs(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        lanes = [PracticeLane("a", delay_s=0.01), PracticeLane("b", delay_s=0.01)]

        result = Worker(folder, lanes, quick()).run()

        assert result.made == 8
        assert sorted(lanes[0].executed + lanes[1].executed) == PLACES
        assert min(len(lane.executed) for lane in lanes) >= 1

    def test_the_log_has_one_row_for_each_job(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        work(folder)

        rows, problems = read_attempts(folder)

        assert sorted(row["place"] for row in rows) == PLACES
        assert {row["status"] for row in rows} == {"done"}
        assert all(row["wall_s"] and row["client_ram_used_mb_mean"] and row["seed"] for row in rows)
        assert problems == []

    def test_the_views_are_written_at_the_end(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)

        work(folder)

        assert len((folder.out / "images.csv").read_text(encoding="utf-8").splitlines()) == 9
        assert len((folder.out / "attempts.csv").read_text(encoding="utf-8").splitlines()) == 9

    def test_of_a_large_run_the_last_worker_to_leave_writes_the_views(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        other = BeatWriter(folder.state / "beats" / new_token(), beat_s=0.05, lease_s=1.0)
        other.start()
        try:
            large = replace(quick(), large_jobs=len(PLACES))
            first = Worker(folder, [PracticeLane()], large).run()
            was_left_to_the_other = not (folder.out / "images.csv").exists()
        finally:
            other.stop(remove=True)

        Worker(folder, [PracticeLane()], large).run()

        assert first.counts.done == len(PLACES)
        assert was_left_to_the_other
        assert len((folder.out / "attempts.csv").read_text().splitlines()) == 1 + len(PLACES)
        assert (folder.out / "images.csv").exists()

    def test_an_empty_plan_ends_at_once(self, folder: RunFolder) -> None:
        assert work(folder).counts.jobs == 0


class TestDependencies:
    def test_a_job_waits_for_the_output_it_works_on(self, folder: RunFolder) -> None:
        first = plan_jobs(folder, ["a", "b"])
        plan_jobs(folder, ["a_up", "b_up"], kind="img2img", inputs=[OutputInput(job.id) for job in first])
        lane = PracticeLane()

        result = work(folder, lane)

        assert result.counts.done == 4
        assert lane.inputs["a_up"] == (folder.out / "a_1.png").read_bytes()

    def test_a_lane_that_has_work_leaves_the_steps_of_a_chain_to_one_that_has_none(self, folder: RunFolder) -> None:
        """Preparing ahead it took them, and its neighbour had nothing to do until the job in hand was over."""
        plan_jobs(folder, ["held"], kind="segment")
        made: OutputInput | None = None
        for place in PLACES:
            (job,) = plan_jobs(folder, [place], inputs=[made])
            made = OutputInput(job.id)
        busy = PracticeLane("busy")
        free = PracticeLane("free", kinds=frozenset({"txt2img"}), delay_s=0.05)
        busy.gate = threading.Event()
        worker = threading.Thread(target=Worker(folder, [busy, free], quick()).run)

        worker.start()
        deadline = time.monotonic() + 10
        while len(free.executed) < len(PLACES) and time.monotonic() < deadline:
            time.sleep(0.01)
        busy.gate.set()
        worker.join(60)

        assert free.executed == PLACES
        assert busy.executed == ["held"]

    def test_a_server_that_others_use_leaves_few_jobs_to_one_that_is_free(self, folder: RunFolder) -> None:
        made: OutputInput | None = None
        for place in PLACES:
            (job,) = plan_jobs(folder, [place], inputs=[made])
            made = OutputInput(job.id)
        crowded, free = CrowdedLane("crowded"), PracticeLane("free")

        result = Worker(folder, [crowded, free], quick()).run()

        assert (result.counts.done, crowded.executed, free.executed) == (len(PLACES), [], PLACES)

    def test_a_server_that_others_use_draws_what_no_free_one_could_begin(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        crowded, held = CrowdedLane("crowded"), PracticeLane("held")
        held.gate = threading.Event()
        worker = threading.Thread(target=Worker(folder, [crowded, held], quick()).run)

        worker.start()
        deadline = time.monotonic() + 10
        while len(crowded.executed) < len(PLACES) - 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        drawn = len(crowded.executed)
        held.gate.set()
        worker.join(60)

        # One is in the other's hands, and one it may have prepared.
        assert drawn >= len(PLACES) - 2

    def test_where_others_use_every_server_none_stands_back(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)

        result = Worker(folder, [CrowdedLane("one"), CrowdedLane("two")], quick()).run()

        assert (result.counts.done, result.counts.left) == (len(PLACES), 0)

    def test_a_lane_of_another_kind_stays_while_its_input_is_being_made(self, folder: RunFolder) -> None:
        first = plan_jobs(folder, ["a", "b"])
        plan_jobs(folder, ["a_cut", "b_cut"], kind="segment", inputs=[OutputInput(job.id) for job in first])
        lanes = [
            PracticeLane("segmenter", kinds=frozenset({"segment"})),
            PracticeLane("server", kinds=frozenset({"txt2img"}), delay_s=0.05),
        ]

        result = Worker(folder, lanes, quick()).run()

        assert result.counts.done == 4
        assert sorted(lanes[0].executed) == ["a_cut", "b_cut"]

    def test_a_lane_leaves_when_nobody_can_make_its_input(self, folder: RunFolder) -> None:
        first = plan_jobs(folder, ["a"])
        plan_jobs(folder, ["a_cut"], kind="segment", inputs=[OutputInput(first[0].id)])

        result = work(folder, PracticeLane(kinds=frozenset({"segment"})))

        assert (result.counts.done, result.counts.waiting) == (0, 2)

    def test_a_segmenter_in_one_worker_waits_for_a_server_in_another(self, folder: RunFolder) -> None:
        first = plan_jobs(folder, ["a", "b", "c"])
        plan_jobs(folder, ["a_cut", "b_cut", "c_cut"], kind="segment", inputs=[OutputInput(job.id) for job in first])
        server = Worker(folder, [PracticeLane("server", kinds=frozenset({"txt2img"}), delay_s=0.1)], quick())
        cutter = Worker(RunFolder.open(folder.out), [PracticeLane("cutter", kinds=frozenset({"segment"}))], quick())
        elsewhere = threading.Thread(target=server.run)
        elsewhere.start()
        while not any((folder.state / "beats").iterdir()):
            time.sleep(0.005)

        result = cutter.run()

        elsewhere.join()
        assert result.counts.done == 6

    def test_what_works_on_a_job_that_was_set_aside_is_set_aside_with_that_reason(self, folder: RunFolder) -> None:
        first = plan_jobs(folder, ["a"])
        second = plan_jobs(folder, ["a_up"], kind="img2img", inputs=[OutputInput(first[0].id)])
        plan_jobs(folder, ["a_cut"], kind="segment", inputs=[OutputInput(second[0].id)])
        lane = PracticeLane(trouble={("execute", "a"): [RejectedError("steps: too many")]})

        result = work(folder, lane)

        assert (result.counts.set_aside, result.counts.left) == (3, 0)
        assert lane.executed == []
        # The cause once, however long the chain.
        told = "it grows out of a, which was set aside: steps: too many"
        assert read_status(folder).set_aside == {"a": "steps: too many", "a_up": told, "a_cut": told}

    def test_an_input_that_is_gone_sets_its_job_aside(self, folder: RunFolder, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "here.png").write_bytes(b"image")
        plan_jobs(
            folder,
            ["here", "gone"],
            kind="img2img",
            inputs=[FileInput("../in", "here.png"), FileInput("../in", "gone.png")],
        )

        result = work(folder)

        assert (result.counts.done, result.counts.set_aside) == (1, 1)

    def test_a_folder_of_inputs_that_is_not_here_refuses_the_work(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["a"], kind="img2img", inputs=[FileInput("../elsewhere", "a.png")])

        with pytest.raises(ConfigurationError, match="--in"):
            work(folder)

    def test_a_folder_that_holds_none_of_the_inputs_refuses_the_work_and_costs_no_job(
        self, folder: RunFolder, tmp_path: Path
    ) -> None:
        plan_jobs(folder, ["a"], kind="img2img", inputs=[FileInput("../in", "a.png")])
        (tmp_path / "in").mkdir()
        (tmp_path / "wrong").mkdir()
        (tmp_path / "wrong" / "other.png").write_bytes(b"image")

        with pytest.raises(ConfigurationError, match="in: the folder with the inputs is empty; is its share mounted"):
            work(folder)
        with pytest.raises(ConfigurationError, match=r"--in .*wrong: holds none of the inputs .* such as a\.png"):
            work(folder, inputs={"../in": tmp_path / "wrong"})

        assert folder.read_claims() == {}

    def test_a_folder_of_inputs_may_lie_elsewhere_on_this_machine(self, folder: RunFolder, tmp_path: Path) -> None:
        plan_jobs(folder, ["a"], kind="img2img", inputs=[FileInput("../elsewhere", "a.png")])
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "a.png").write_bytes(b"image")

        result = work(folder, inputs={"../elsewhere": tmp_path / "mine"})

        assert result.counts.done == 1


class TestFailures:
    def test_a_job_that_fails_is_tried_again(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        lane = PracticeLane(trouble={("finish", PLACES[0]): [BadReplyError("no images")]})

        result = work(folder, lane)

        rows, _ = read_attempts(folder)
        assert result.counts.done == 8
        assert sorted((row["status"], row["attempt"]) for row in rows if row["place"] == PLACES[0]) == [
            ("done", "2"),
            ("failed", "1"),
        ]

    def test_a_job_that_fails_three_times_is_set_aside(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        lane = PracticeLane(trouble={("execute", PLACES[0]): [ServerFaultError("out of memory") for _ in range(9)]})

        result = work(folder, lane)

        rows, _ = read_attempts(folder)
        assert (result.counts.done, result.counts.set_aside) == (7, 1)
        assert [row["status"] for row in rows if row["place"] == PLACES[0]] == ["failed", "failed", "set_aside"]

    def test_a_job_that_fails_on_two_healthy_servers_is_set_aside_before_the_third_try(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["poison"])
        trouble = {("execute", "poison"): [ServerFaultError("out of memory") for _ in range(9)]}
        for name in ("a", "b"):
            work(folder, PracticeLane(name, trouble=trouble), limit=1)

        rows, _ = read_attempts(folder)
        assert [row["status"] for row in rows] == ["failed", "set_aside"]

    def test_a_request_at_fault_is_set_aside_at_once(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        lane = PracticeLane(trouble={("execute", PLACES[0]): [RejectedError("steps: too many", 422, "body")]})

        result = work(folder, lane)

        assert (result.counts.done, result.counts.set_aside) == (7, 1)
        assert [path.read_text(encoding="utf-8") for path in (folder.state / "replies").iterdir()] == ["body"]

    def test_a_bug_in_a_step_fails_its_job_and_no_other(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        stages = ("prepare", "execute", "finish")
        lane = PracticeLane(trouble={(stage, PLACES[0]): [ZeroDivisionError("oops")] for stage in stages})

        result = work(folder, lane)

        assert (result.counts.done, result.counts.set_aside) == (7, 1)
        assert result.trouble is None

    @pytest.mark.parametrize("error", [NotSentError("refused"), ServerBusyError("busy", 503, retry_after_s=0.01)])
    def test_what_never_ran_is_no_attempt(self, folder: RunFolder, error: Exception) -> None:
        plan_jobs(folder, ["a"])
        lane = PracticeLane(trouble={("execute", "a"): [error] * 5})

        result = work(folder, lane)

        assert (result.counts.done, result.counts.set_aside) == (1, 0)

    def test_a_server_that_never_comes_back_is_left_after_a_while(self, folder: RunFolder) -> None:
        from sdclient.batch.health import HealthPolicy
        from sdclient.batch.worker import WorkerSettings

        plan_jobs(folder, PLACES)
        lane = PracticeLane(trouble={("execute", place): [NotSentError("refused")] * 99 for place in PLACES})
        settings = WorkerSettings(scan_s=0.05, health=HealthPolicy(first_open_s=0.01, longest_open_s=0.02, retries=9))

        result = Worker(folder, [lane], settings).run()

        assert "refused" in result.left["practice"]
        assert (result.counts.waiting, result.counts.failed) == (8, 0)
        assert leftovers(folder) == [name for name in leftovers(folder) if name.startswith("claims/")]

    def test_wrong_credentials_make_the_lane_leave_and_cost_no_attempt(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        lanes = [
            PracticeLane("locked", trouble={("execute", place): [AuthenticationError("401")] for place in PLACES}),
            PracticeLane("open", delay_s=0.02),
        ]

        result = Worker(folder, lanes, quick()).run()

        assert result.left == {"locked": "401"}
        assert result.counts.done == 8
        assert lanes[0].executed == []

    def test_a_listener_that_fails_harms_nothing(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)

        def listener(_: Event) -> None:
            raise BrokenPipeError("nobody reads")

        result = Worker(folder, [PracticeLane()], quick(), listener).run()

        assert result.counts.done == 8

    def test_events_count_every_job_exactly_once(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        events: list[Event] = []
        lane = PracticeLane(trouble={("execute", PLACES[2]): [ServerFaultError("no")]})

        Worker(folder, [lane], quick(), events.append).run()

        for event in events:
            counts = event.counts
            assert counts.done + counts.failed + counts.set_aside + counts.claimed + counts.waiting == counts.jobs
        assert [event.name for event in events].count("done") == 8


class TestStorage:
    def test_an_image_is_kept_while_the_disk_is_full_and_written_when_there_is_room(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        events: list[Event] = []
        lane = PracticeLane(trouble={("finish", PLACES[0]): [storage_trouble() for _ in range(3)]})

        result = Worker(folder, [lane], quick(), events.append).run()

        remarks = [event.message for event in events if event.name in ("stuck", "remark")]
        assert (result.counts.done, result.made, result.trouble) == (8, 8, None)
        assert lane.executed.count(PLACES[0]) == 1
        assert len(remarks) == 2
        assert "no space left" in remarks[0]

    def test_a_worker_that_is_stopped_while_the_disk_is_full_says_so_and_the_next_one_goes_on(
        self, folder: RunFolder
    ) -> None:
        plan_jobs(folder, PLACES)
        lane = PracticeLane(trouble={("finish", place): [storage_trouble() for _ in range(999)] for place in PLACES})
        worker: Worker

        def listener(event: Event) -> None:
            if event.name == "stuck":
                threading.Thread(target=worker.stop, args=(Stop.FINISH,)).start()

        worker = Worker(folder, [lane], quick(), listener)
        result = worker.run()
        after = work(folder)

        assert isinstance(result.trouble, StorageError)
        assert result.counts.done == 0
        assert after.counts.done == 8

    def test_a_folder_one_may_not_write_to_stops_the_worker_with_a_message(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        lane = PracticeLane(trouble={("finish", PLACES[0]): [storage_trouble(errno.EACCES)]})

        result = work(folder, lane)

        assert isinstance(result.trouble, StorageError)
        assert leftovers(folder) == [name for name in leftovers(folder) if name.startswith("claims/")]

    def test_claims_that_cannot_be_made_stop_the_worker_instead_of_hanging_it(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        worker = Worker(folder, [PracticeLane()], quick())
        (folder.state / "claims").rmdir()
        (folder.state / "claims").write_bytes(b"")

        with pytest.raises(StorageError):
            worker.run()


class TestForeignFiles:
    def test_a_file_of_the_users_at_a_final_place_sets_the_job_aside_untouched(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        mine = folder.out / "set" / "00_1.jpg"
        mine.parent.mkdir()
        mine.write_bytes(b"mine")

        result = work(folder)

        assert (result.counts.done, result.counts.set_aside) == (7, 1)
        assert mine.read_bytes() == b"mine"

    def test_a_file_that_appears_meanwhile_stays_and_the_image_goes_beside_it(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])
        events: list[Event] = []
        lane = PracticeLane()
        lane.gate = threading.Event()
        worker = Worker(folder, [lane], quick(), events.append)
        thread = threading.Thread(target=worker.run)
        thread.start()
        lane.running.wait(5)
        (folder.out / "a_1.png").write_bytes(b"mine")
        lane.gate.set()

        thread.join()

        assert (folder.out / "a_1.png").read_bytes() == b"mine"
        assert (folder.out / f"a_1~{job.id[:8]}.png").is_file()
        assert any("stays" in event.message for event in events if event.name == "remark")
        assert second_place("a_1.png", job.id) == f"a_1~{job.id[:8]}.png"

    def test_what_works_on_the_image_beside_finds_it(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])
        plan_jobs(folder, ["b"], kind="img2img", inputs=[OutputInput(job.id)])
        (folder.out / "a_1.png").write_bytes(b"mine")
        done_by_hand(folder, job.id, "a_1.png", b"image")
        lane = PracticeLane()

        work(folder, lane)

        assert lane.inputs["b"] == b"image"


def done_by_hand(folder: RunFolder, job: str, place: str, data: bytes, *, token: str = "") -> None:
    """Commit a job as a worker would that dies right after."""
    token = token or new_token()
    folder.claim(job, 1, token)
    part = folder.part_folder(job, 1, token)
    part.mkdir()
    write_new_file(part / "file.png", data)
    outcome = Outcome((OutFile("file.png", place, "", len(data)),))
    assert commit(folder, part, make_record(job, 1, token, outcome, {}))


class TestWhatOthersLeft:
    def test_a_committed_job_is_published_by_whoever_finds_it(self, folder: RunFolder) -> None:
        jobs = plan_jobs(folder, ["a", "b"])
        done_by_hand(folder, jobs[0].id, "a_1.png", b"image")
        lane = PracticeLane()

        result = work(folder, lane)

        assert (folder.out / "a_1.png").read_bytes() == b"image"
        assert lane.executed == ["b"]
        assert result.counts.done == 2
        assert leftovers(folder) == []

    def test_the_row_of_a_killed_worker_is_rebuilt(self, folder: RunFolder) -> None:
        jobs = plan_jobs(folder, ["a", "b"])
        done_by_hand(folder, jobs[0].id, "a_1.png", b"image")
        work(folder)

        rows, _ = read_attempts(folder)

        assert sorted((row["place"], row["status"]) for row in rows) == [("a", "done"), ("b", "done")]

    def test_a_record_that_points_outside_is_refused_with_a_remark(self, folder: RunFolder, tmp_path: Path) -> None:
        jobs = plan_jobs(folder, ["a", "b"])
        done_by_hand(folder, jobs[0].id, "../escaped.png", b"image")
        events: list[Event] = []

        result = Worker(folder, [PracticeLane()], quick(), events.append).run()

        assert not (tmp_path / "escaped.png").exists()
        assert result.counts.done == 2
        assert any("escaped" in event.message for event in events)

    def test_a_claim_of_a_worker_that_is_silent_for_the_lease_is_taken_over(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])
        folder.claim(job.id, 1, new_token())
        began = time.monotonic()

        result = work(folder)

        assert result.counts.done == 1
        assert 1.0 <= time.monotonic() - began < 3.0
        assert folder.record(job.id).epoch == 2

    @pytest.mark.parametrize(("boot", "waits"), [("another machine", True), ("", False)], ids=["elsewhere", "gone"])
    def test_a_torn_claim_waits_for_the_lease_only_while_its_owner_may_live(
        self, folder: RunFolder, boot: str, *, waits: bool
    ) -> None:
        (job,) = plan_jobs(folder, ["a"])
        (folder.state / "claims" / claim_name(job.id, 1)).write_bytes(b"")
        who = replace(own_identity(), boot=boot) if boot else replace(own_identity(), start="1")
        (folder.state / "beats" / new_token()).write_bytes(Beat(1, who).to_bytes())
        began = time.monotonic()

        result = work(folder)

        assert result.counts.done == 1
        assert (time.monotonic() - began >= 1.0) is waits

    def test_a_torn_end_counts_as_a_failed_try(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])
        for epoch in (1, 2, 3):
            folder.claim(job.id, epoch, new_token())
            (folder.state / "claims" / (claim_name(job.id, epoch) + ".end")).write_bytes(b'{"ended": "rel')

        assert work(folder).counts.set_aside == 1

    def test_parts_and_beats_of_dead_workers_are_swept(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])
        dead = new_token()
        part = folder.part_folder(job.id, 1, dead)
        part.mkdir()
        (part / "half.png").write_bytes(b"half")
        (folder.state / "beats" / dead).write_bytes(b"torn")
        folder.claim(job.id, 1, dead)

        work(folder)

        assert leftovers(folder) == []

    def test_two_claims_for_one_job_cannot_both_be_won(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])

        assert [folder.claim(job.id, 1, new_token()) for _ in range(2)] == [True, False]

    def test_a_late_worker_changes_nothing(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])
        slow = PracticeLane("slow")
        slow.gate = threading.Event()
        events: list[Event] = []
        late = Worker(folder, [slow], quick(), events.append)
        thread = threading.Thread(target=late.run)
        thread.start()
        slow.running.wait(5)
        done_elsewhere = folder.part_folder(job.id, 2, "f" * 32)
        done_elsewhere.mkdir()
        write_new_file(done_elsewhere / "a_1.png", b"first")
        outcome = Outcome((OutFile("a_1.png", "a_1.png", "", 5),))
        commit(folder, done_elsewhere, make_record(job.id, 2, "f" * 32, outcome, {}))
        slow.gate.set()

        thread.join()

        assert (folder.out / "a_1.png").read_bytes() == b"first"
        assert folder.record(job.id).token == "f" * 32
        assert [event.name for event in events if event.name in ("done", "late")] == ["late"]
        assert leftovers(folder) == []

    def test_a_worker_whose_part_was_swept_goes_on_and_loses_no_job(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["a", "b"])

        class Swept(PracticeLane):
            def stumble(self, stage: str, task: object) -> None:
                super().stumble(stage, task)  # type: ignore[arg-type]
                parts = list((folder.state / "parts").iterdir())
                if stage == "finish" and not self.inputs:
                    self.inputs["swept"] = b""
                    parts[0].rmdir()

        result = work(folder, Swept())

        assert (result.counts.done, result.trouble) == (2, None)


class Scripted(RunFolder):
    """A run folder that fails where it is told to."""

    def __init__(self, *args: object, **settings: object) -> None:
        super().__init__(*args, **settings)  # type: ignore[arg-type]
        self.errors: dict[str, list[BaseException]] = {}

    def stumble(self, name: str) -> None:
        if self.errors.get(name):
            raise self.errors[name].pop(0)

    def claim(self, job: str, epoch: int, token: str) -> bool:
        self.stumble("claim")
        won = super().claim(job, epoch, token)
        self.stumble("claimed")
        return won

    def end_claim(self, job: str, epoch: int, end: End) -> None:
        self.stumble("end_claim")
        super().end_claim(job, epoch, end)

    def read_claims(self) -> dict[str, tuple[Epoch, ...]]:
        self.stumble("read_claims")
        return super().read_claims()

    def remove_claims(self, job: str, epochs: Iterable[int]) -> None:
        self.stumble("remove_claims")
        super().remove_claims(job, epochs)


class TestAFolderThatFails:
    @pytest.fixture
    def scripted(self, tmp_path: Path) -> Scripted:
        made = RunFolder.create(tmp_path / "out", run_seed=1, lease_s=1.0, beat_s=0.1)
        plan_jobs(made, PLACES)
        return Scripted(made.out, made.settings)

    def test_claims_wait_for_a_disk_that_is_full(self, scripted: Scripted) -> None:
        scripted.errors["claim"] = [storage_trouble() for _ in range(3)]

        assert work(scripted).counts.done == 8

    def test_a_claim_that_an_error_hid_is_found_to_be_ours(self, scripted: Scripted) -> None:
        # Made on the share, which then went away before it could be read back.
        scripted.errors["claimed"] = [storage_trouble(errno.ENOTCONN), storage_trouble(errno.ENOTCONN)]
        lane = PracticeLane()

        result = work(scripted, lane)

        assert (result.counts.done, result.made) == (8, 8)
        assert leftovers(scripted) == []

    def test_claims_that_are_forbidden_stop_the_worker_with_the_reason(self, scripted: Scripted) -> None:
        scripted.errors["claim"] = [storage_trouble(errno.EACCES)]

        result = work(scripted)

        assert isinstance(result.trouble, StorageError)
        assert result.counts.waiting == 8

    def test_a_bug_in_the_batch_itself_stops_the_worker_instead_of_hanging_it(self, scripted: Scripted) -> None:
        scripted.errors["claim"] = [ZeroDivisionError("a bug")]

        assert isinstance(work(scripted).trouble, ZeroDivisionError)

    def test_an_end_that_cannot_be_written_leaves_a_beat_to_be_found(self, scripted: Scripted) -> None:
        scripted.errors["end_claim"] = [storage_trouble(errno.EACCES)]
        lane = PracticeLane(trouble={("execute", PLACES[0]): [ServerFaultError("no")]})

        result = work(scripted, lane)

        assert isinstance(result.trouble, StorageError)
        assert len([name for name in leftovers(scripted) if name.startswith("beats/")]) == 1
        assert work(RunFolder.open(scripted.out)).counts.done == 8

    def test_a_folder_that_cannot_be_read_for_a_while_is_read_again(self, scripted: Scripted) -> None:
        worker = Worker(scripted, [PracticeLane(delay_s=0.05)], quick())
        reads = scripted.read_claims

        def later() -> dict[str, tuple[Epoch, ...]]:
            scripted.errors["read_claims"] = [OSError(errno.EIO, "gone"), OSError(errno.EIO, "gone")]
            scripted.read_claims = reads  # type: ignore[method-assign]
            scripted.errors["read_claims"].insert(0, OSError(errno.EIO, "gone"))
            return RunFolder.read_claims(scripted)

        scripted.read_claims = later  # type: ignore[method-assign]

        assert worker.run().counts.done == 8

    def test_a_folder_that_cannot_be_read_to_begin_with_is_told(self, scripted: Scripted) -> None:
        scripted.errors["read_claims"] = [OSError(errno.EIO, "gone")]

        with pytest.raises(StorageError, match="read the run"):
            work(scripted)

    def test_claims_of_a_done_job_that_stay_are_removed_later(self, scripted: Scripted) -> None:
        scripted.errors["remove_claims"] = [storage_trouble() for _ in range(3)]

        result = work(scripted, PracticeLane(delay_s=0.03))

        assert (result.counts.done, result.made) == (8, 8)
        assert leftovers(scripted) == []

    def test_a_worker_whose_beats_do_not_get_through_begins_nothing_until_they_do(self, scripted: Scripted) -> None:
        beats, away = scripted.state / "beats", scripted.state / "away"
        told: list[str] = []

        def listener(event: Event) -> None:
            if event.name == "done" and event.counts.done == 2:
                beats.rename(away)
            if event.name in ("stuck", "remark"):
                told.append(event.message)
                if away.exists():
                    away.rename(beats)

        result = Worker(scripted, [PracticeLane(delay_s=0.2)], quick(), listener).run()

        assert result.counts.done == 8
        assert [text.startswith(("no sign of life", "signs of life")) for text in told] == [True, True]

    def test_a_job_that_fails_here_and_was_done_elsewhere_is_late_and_not_failed(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])
        lane = PracticeLane(trouble={("execute", "a"): [ServerFaultError("no")]})
        lane.gate = threading.Event()
        events: list[Event] = []
        worker = Worker(folder, [lane], quick(), events.append)
        thread = threading.Thread(target=worker.run)
        thread.start()
        lane.running.wait(5)
        part = folder.part_folder(job.id, 2, "f" * 32)
        part.mkdir()
        commit(folder, part, make_record(job.id, 2, "f" * 32, Outcome(()), {}))
        lane.gate.set()

        thread.join()

        assert [event.name for event in events if event.name != "begun"] == ["late"]
        assert [row["status"] for row in read_attempts(folder)[0]][-1] in ("late", "done")
        assert leftovers(folder) == []


class TestStopping:
    @pytest.fixture
    def held(self, folder: RunFolder) -> Iterator[tuple[Worker, PracticeLane, Callable[[], None]]]:
        plan_jobs(folder, PLACES)
        lane = PracticeLane()
        lane.gate = threading.Event()
        worker = Worker(folder, [lane], quick())
        thread = threading.Thread(target=worker.run)
        thread.start()
        lane.running.wait(5)
        yield worker, lane, thread.join
        lane.gate.set()
        thread.join()

    def test_finishing_completes_what_runs_and_gives_the_rest_back(
        self, folder: RunFolder, held: tuple[Worker, PracticeLane, Callable[[], None]]
    ) -> None:
        worker, lane, join = held
        worker.stop(Stop.FINISH)
        lane.gate.set()  # type: ignore[union-attr]
        join()

        assert lane.executed == PLACES[:1]
        assert [name for name in leftovers(folder) if not name.startswith("claims/")] == []
        assert work(folder).counts.done == 8

    def test_interrupting_ends_what_runs_and_costs_no_attempt(
        self, folder: RunFolder, held: tuple[Worker, PracticeLane, Callable[[], None]]
    ) -> None:
        worker, lane, join = held
        worker.stop(Stop.INTERRUPT)
        join()

        assert lane.executed == []
        assert work(folder).counts.done == 8
        rows, _ = read_attempts(folder)
        assert {row["status"] for row in rows} <= {"done", "released"}

    def test_a_limit_is_kept_and_the_rest_comes_next_time(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)

        made = [work(folder, limit=3).made for _ in range(3)]

        assert made == [3, 3, 2]

    def test_what_was_given_back_untried_does_not_count_against_the_limit(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        lane = PracticeLane(trouble={("execute", place): [NotSentError("refused")] for place in PLACES})

        assert work(folder, lane, limit=2).made == 2


class TestOneMachine:
    def test_a_folder_that_cannot_be_shared_is_refused_to_a_second_machine(self, tmp_path: Path) -> None:
        (tmp_path / ".dropbox").write_bytes(b"")
        folder = RunFolder.create(tmp_path / "out", lease_s=1, beat_s=0.1)
        plan_jobs(folder, ["a"])
        other = '{"counter": 1, "boot": "another", "namespace": "", "pid": 1, "start": "1", "kinds": []}'
        (folder.state / "beats" / ("a" * 32)).write_text(other)

        with pytest.raises(RunFolderError, match="only one machine"):
            work(folder)

    def test_one_machine_may_work_there(self, tmp_path: Path) -> None:
        (tmp_path / ".dropbox").write_bytes(b"")
        folder = RunFolder.create(tmp_path / "out", lease_s=1, beat_s=0.1)
        plan_jobs(folder, ["a"])

        assert work(folder).counts.done == 1
