"""One generation at a time: order, progress, interruption, closing."""

from __future__ import annotations

import threading
import time

import pytest
from PIL import Image

from sdclient.simulator.workshop import Job, Workshop, WorkshopClosedError

LONG_S = 600.0


def wait_for_pending(workshop: Workshop, count: int) -> None:
    """Spin until `count` requests wait; the test's own timeout ends it if they never do."""
    while len(workshop.pending) < count:
        threading.Event().wait(0.001)


def test_turns_are_given_in_the_order_of_arrival() -> None:
    workshop, order = Workshop(), list[str]()

    def work(name: str) -> None:
        with workshop.turn(name, "test"):
            order.append(name)

    threads = [threading.Thread(target=work, args=(f"task {index}",)) for index in range(8)]
    with workshop.turn("first", "test"):
        for count, thread in enumerate(threads, 1):
            thread.start()
            wait_for_pending(workshop, count)
    for thread in threads:
        thread.join()

    assert order == [f"task {index}" for index in range(8)]
    assert workshop.finished == ["first", *order]
    assert workshop.current is None


def test_a_failing_turn_lets_the_next_one_in() -> None:
    workshop = Workshop()

    with pytest.raises(ZeroDivisionError), workshop.turn("bad", "test"):
        raise ZeroDivisionError

    with workshop.turn("good", "test") as job:
        assert workshop.current is job


def test_an_interrupted_job_keeps_the_part_that_was_done() -> None:
    job = Job("task", "test")
    job.interrupt()

    assert job.expose(20, LONG_S) == 0.0
    assert job.interrupted


def test_skipping_ends_one_image_and_not_the_next() -> None:
    job = Job("task", "test")
    job.skip()

    assert [job.expose(20, 0.0), job.expose(20, 0.0)] == [0.0, 1.0]
    assert not job.skipped


def test_progress_counts_images_and_steps() -> None:
    job = Job("task", "test")
    before = (job.progress, job.remaining_s)
    job.job_count, job.job_no = 4, 1
    job.expose(10, 0.0)

    assert before == (0.0, 0.0)
    assert job.progress == 0.5
    assert job.remaining_s >= 0


def test_a_million_steps_do_not_make_a_million_ticks() -> None:
    job = Job("task", "test")

    assert job.expose(1_000_000, 0.0) == 1.0
    assert job.sampling_step == 1_000_000


def test_a_preview_is_a_small_encoded_image() -> None:
    job = Job("task", "test")
    job.show(Image.new("RGB", (1024, 512)))

    assert job.preview is not None
    assert job.preview.startswith("iVBOR")


def test_closing_sends_those_who_wait_and_the_one_who_works_home() -> None:
    workshop, ended = Workshop(LONG_S), list[str]()

    def work(name: str) -> None:
        try:
            with workshop.turn(name, "test") as job:
                workshop.expose(job, 10)
        except WorkshopClosedError:
            ended.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("works", "waits")]
    for count, thread in enumerate(threads):
        thread.start()
        wait_for_pending(workshop, count)
        while workshop.current is None:
            threading.Event().wait(0.001)
    workshop.close()
    for thread in threads:
        thread.join()

    assert sorted(ended) == ["waits", "works"]


def test_a_closed_workshop_can_be_opened_again() -> None:
    workshop = Workshop()
    workshop.close()
    with pytest.raises(WorkshopClosedError), workshop.turn("late", "test"):
        pass

    workshop.open()

    with workshop.turn("again", "test") as job:
        assert workshop.expose(job, 3) == 1.0


def test_a_punctual_workshop_counts_its_own_work_as_part_of_the_delay() -> None:
    workshop = Workshop(0.05, punctual=True)
    arrived_s = time.monotonic() - 1.0

    with workshop.turn("task", "test", arrived_s) as job:
        workshop.expose(job, 10)
    ended_s = time.monotonic()

    assert ended_s - arrived_s < 1.0 + 0.05 + 0.04


def test_a_punctual_workshop_adds_up_what_was_booked() -> None:
    workshop = Workshop(0.02, punctual=True)
    arrived_s = time.monotonic()

    with workshop.turn("task", "test", arrived_s) as job:
        job.job_count = 3
        for _ in range(3):
            workshop.expose(job, 10)
        early = job.progress

    assert early < 1
    assert time.monotonic() - arrived_s >= 0.06


def test_the_next_turn_of_a_punctual_workshop_begins_where_the_last_one_ended() -> None:
    workshop = Workshop(0.03, punctual=True)
    arrived_s = time.monotonic()

    for _ in range(3):
        # All came at once, so that the third is due after three delays.
        with workshop.turn("task", "test", arrived_s) as job:
            workshop.expose(job, 10)

    assert time.monotonic() - arrived_s >= 0.09


def test_jobs_from_before_a_restart_are_sent_home_after_it() -> None:
    workshop, ended = Workshop(), list[str]()
    begun, restarted = threading.Event(), threading.Event()

    def work(name: str) -> None:
        try:
            with workshop.turn(name, "test"):
                begun.set()
                restarted.wait(60)
            ended.append(f"{name} worked")
        except WorkshopClosedError:
            ended.append(f"{name} was sent home")

    threads = [threading.Thread(target=work, args=(name,)) for name in ("first", "second")]
    threads[0].start()
    begun.wait(60)
    threads[1].start()
    wait_for_pending(workshop, 1)
    workshop.close()
    workshop.open()
    restarted.set()
    for thread in threads:
        thread.join()

    assert sorted(ended) == ["first was sent home", "second was sent home"]
