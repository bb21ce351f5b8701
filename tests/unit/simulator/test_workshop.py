"""One generation at a time: order, progress, interruption, closing."""

from __future__ import annotations

import threading

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
