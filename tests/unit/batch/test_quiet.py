"""Our own work keeps still while a request is about to be sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from sdclient.batch.folder import RunFolder
from sdclient.batch.lane import Task
from sdclient.batch.quiet import Quiet
from sdclient.batch.record import Outcome
from sdclient.batch.worker import Worker
from tests.practice_lane import PracticeJob, PracticeLane, plan_jobs, quick


def waiting(quiet: Quiet) -> threading.Thread:
    thread = threading.Thread(target=quiet.wait, daemon=True)
    thread.start()
    return thread


def test_nobody_waits_where_nothing_is_about_to_be_sent() -> None:
    thread = waiting(Quiet(longest_s=600))

    thread.join(60)

    assert not thread.is_alive()


def test_others_wait_until_the_last_lane_has_sent() -> None:
    quiet = Quiet(longest_s=600)
    quiet.begin("one")
    quiet.begin("two")
    thread = waiting(quiet)
    quiet.end("one")
    quiet.end("one")
    thread.join(0.05)
    waited = thread.is_alive()

    quiet.end("two")

    thread.join(60)
    assert waited
    assert not thread.is_alive()


def test_a_lane_that_takes_long_to_send_holds_up_nobody_for_long() -> None:
    quiet = Quiet(longest_s=0.01)
    quiet.begin("slow")

    thread = waiting(quiet)

    thread.join(60)
    assert not thread.is_alive()


class SendingJob(PracticeJob):
    """Tells when its request is out, and notes what happens when."""

    lane: SendingLane

    def on_sent(self, call: Callable[[], None]) -> None:
        self.call = call

    def execute(self) -> PracticeJob:
        self.lane.order.append("sent")
        self.call()
        deadline = time.monotonic() + 60
        # Without a next one that is ready there would be nothing to keep still for.
        while len(self.lane.order) == 1 and not self.lane.is_next_ready() and time.monotonic() < deadline:
            time.sleep(0.001)
        return super().execute()

    def finish(self, part: Path) -> Outcome:
        self.lane.order.append("finished")
        return super().finish(part)


class SendingLane(PracticeLane):
    """Shows which of sending and finishing comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []
        self.is_next_ready: Callable[[], bool] = lambda: True

    def prepare(self, task: Task) -> SendingJob:
        super().prepare(task)
        job = SendingJob(self, task)
        job.lane = self
        return job


def test_an_image_is_finished_only_when_the_next_request_is_out(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "out", run_seed=1)
    plan_jobs(folder, ["a", "b"])
    lane = SendingLane()
    worker = Worker(folder, [lane], quick())
    worker._shared.quiet = Quiet(longest_s=60)
    lane.is_next_ready = lambda: not worker._pipelines[0]._ready.is_empty

    result = worker.run()

    assert result.made == 2
    assert lane.order == ["sent", "sent", "finished", "finished"]
