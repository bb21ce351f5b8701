"""The simulator's queue over real sockets: one at a time, first come first served, progress, interruption."""

from __future__ import annotations

import itertools
import json
import threading
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from sdclient.simulator import Simulator

SMALL = {"prompt": "x", "seed": 1, "steps": 10, "width": 64, "height": 64}
# Longer than any test waits: a job with this delay ends only because it is interrupted.
LONG_S = 600.0


def ask(server: Simulator, path: str, body: object = None) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(server.url + path, data=data), timeout=120) as reply:
        return json.loads(reply.read())


def progress(server: Simulator) -> dict[str, object]:
    return ask(server, "/sdapi/v1/progress?skip_current_image=true")


def wait_until_busy(server: Simulator) -> None:
    """Ask until something is being painted; the test's own timeout ends it if that never happens."""
    while progress(server)["state"]["job_count"] == 0:  # type: ignore[index]
        threading.Event().wait(0.002)


def wait_for_pending(server: Simulator, count: int) -> list[str]:
    while True:
        tasks = ask(server, "/internal/pending-tasks")
        if tasks["size"] == count:
            return tasks["tasks"]  # type: ignore[return-value]


def start(pool: ThreadPoolExecutor, server: Simulator, **changes: object) -> Future[dict[str, object]]:
    return pool.submit(ask, server, "/sdapi/v1/txt2img", {**SMALL, **changes})


def test_requests_are_served_one_at_a_time_in_the_order_of_arrival() -> None:
    with Simulator(delay_s=0.3) as server, ThreadPoolExecutor() as pool:
        futures = [start(pool, server, seed=0)]
        wait_until_busy(server)
        for seed in range(1, 4):
            futures.append(start(pool, server, seed=seed))
            wait_for_pending(server, seed)
        for future in futures:
            future.result()
        posts = [exchange for exchange in server.log if exchange.method == "POST"]

    assert [exchange.body["seed"] for exchange in posts] == [0, 1, 2, 3]  # type: ignore[index,call-overload]
    # Each took its own delay after the one before had ended.
    assert all(later.ended_s - earlier.ended_s >= 0.3 for earlier, later in itertools.pairwise(posts))


@pytest.mark.parametrize("dialect", ["a1111", "drawthings"])
def test_the_delay_is_paid_for_every_image(dialect: str) -> None:
    body = {**SMALL, "width": 128, "height": 128, "n_iter": 2, "batch_size": 2}
    body |= {"upscaler": None} if dialect == "drawthings" else {}
    with Simulator(dialect, delay_s=0.05) as server:
        ask(server, "/sdapi/v1/txt2img", body)

    assert server.log[0].ended_s - server.log[0].started_s >= 0.2


def test_progress_moves_while_an_image_is_painted_and_rests_before_and_after() -> None:
    seen: set[float] = set()
    with Simulator(delay_s=0.5) as server, ThreadPoolExecutor() as pool:
        idle = progress(server)
        running = start(pool, server)
        while not running.done():
            seen.add(float(progress(server)["progress"]))  # type: ignore[arg-type]
        after = progress(server)

    assert len(seen - {0.0}) > 2
    assert all(0 <= value <= 1 for value in seen)
    assert (idle["progress"], after["progress"]) == (0, 0)
    assert after["state"]["job_count"] == 0  # type: ignore[index]


def test_an_interrupted_request_still_answers_with_what_there_is() -> None:
    with Simulator(delay_s=LONG_S) as server, ThreadPoolExecutor() as pool:
        running = start(pool, server, n_iter=3, batch_size=2)
        wait_until_busy(server)
        ask(server, "/sdapi/v1/interrupt", {})
        reply = running.result(60)

    info = json.loads(str(reply["info"]))
    assert len(reply["images"]) == 2  # type: ignore[arg-type]
    assert len(info["infotexts"]) == 2
    assert len(info["all_seeds"]) == 6


def test_an_interrupted_image_is_not_the_finished_one() -> None:
    with Simulator(delay_s=LONG_S) as server, ThreadPoolExecutor() as pool:
        running = start(pool, server)
        wait_until_busy(server)
        ask(server, "/sdapi/v1/interrupt", {})
        cut = running.result(60)["images"]
    with Simulator() as server:
        whole = ask(server, "/sdapi/v1/txt2img", SMALL)["images"]

    assert cut != whole


def test_interrupting_ends_the_running_request_and_not_the_next() -> None:
    with Simulator(delay_s=LONG_S) as server, ThreadPoolExecutor() as pool:
        first = start(pool, server, force_task_id="one")
        wait_until_busy(server)
        second = start(pool, server, force_task_id="two")
        assert wait_for_pending(server, 1) == ["two"]
        ask(server, "/sdapi/v1/interrupt", {})
        first.result(60)
        wait_until_busy(server)
        still_running = not second.done()
        state = progress(server)["state"]
        ask(server, "/sdapi/v1/interrupt", {})
        second.result(60)

    assert still_running
    assert state["interrupted"] is False  # type: ignore[index]


def test_skipping_goes_on_with_the_next_image() -> None:
    with Simulator(delay_s=LONG_S) as server, ThreadPoolExecutor() as pool:
        running = start(pool, server, n_iter=3)
        for number in range(3):
            wait_for_job(server, number)
            ask(server, "/sdapi/v1/skip", {})
        reply = running.result(60)

    assert len(reply["images"]) == 3  # type: ignore[arg-type]


def wait_for_job(server: Simulator, number: int) -> None:
    while True:
        state = progress(server)["state"]
        if state["job_count"] > 0 and state["job_no"] == number and not state["skipped"]:  # type: ignore[index]
            return


def test_hires_fix_doubles_the_job_count() -> None:
    with Simulator(delay_s=LONG_S) as server, ThreadPoolExecutor() as pool:
        running = start(pool, server, n_iter=2, enable_hr=True, denoising_strength=0.3)
        wait_until_busy(server)
        wait_for_job(server, 0)
        count = progress(server)["state"]["job_count"]  # type: ignore[index]
        ask(server, "/sdapi/v1/interrupt", {})
        running.result(60)

    assert count == 4


def test_the_preview_shows_what_was_finished() -> None:
    with Simulator(delay_s=LONG_S) as server, ThreadPoolExecutor() as pool:
        running = start(pool, server, n_iter=2, force_task_id="mine")
        wait_for_job(server, 0)
        ask(server, "/sdapi/v1/skip", {})
        wait_for_job(server, 1)
        shown = ask(server, "/sdapi/v1/progress")["current_image"]
        hidden = progress(server)["current_image"]
        task = ask(server, "/internal/progress", {"id_task": "mine"})
        ask(server, "/sdapi/v1/interrupt", {})
        running.result(60)

    assert str(shown).startswith("iVBOR")
    assert hidden is None
    assert str(task["live_preview"]).startswith("data:image/png;base64,iVBOR")


def test_a_task_can_be_followed_by_its_id() -> None:
    def follow(task: str) -> tuple[object, ...]:
        found = ask(server, "/internal/progress", {"id_task": task})
        return found["active"], found["queued"], found["completed"], found["textinfo"]

    with Simulator(delay_s=LONG_S) as server, ThreadPoolExecutor() as pool:
        first = start(pool, server, force_task_id="one")
        wait_until_busy(server)
        second = start(pool, server, force_task_id="two")
        wait_for_pending(server, 1)
        during = [follow("one"), follow("two"), follow("nobody")]
        ask(server, "/sdapi/v1/interrupt", {})
        first.result(60)
        after = follow("one")
        wait_until_busy(server)
        ask(server, "/sdapi/v1/interrupt", {})
        second.result(60)

    assert during == [
        (True, False, False, None),
        (False, True, False, "Queued..."),
        (False, False, False, "Waiting..."),
    ]
    assert after == (False, False, True, "Waiting...")


def test_lists_answer_while_an_image_is_painted() -> None:
    with Simulator("drawthings", delay_s=LONG_S) as server:
        thread = threading.Thread(target=swallow, args=(server,))
        thread.start()
        while server._workshop.current is None:
            threading.Event().wait(0.001)
        shown = ask(server, "/sdapi/v1/options")
        server.stop()
        thread.join(60)

    assert shown["steps"] == 20


def swallow(server: Simulator) -> None:
    """Ask for an image that never comes."""
    with pytest.raises(OSError, match=r"."):
        ask(server, "/sdapi/v1/txt2img", {**SMALL, "width": 128, "height": 128})
