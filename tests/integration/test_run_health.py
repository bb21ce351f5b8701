"""Servers that die, come back, come back as others, and jobs that are the reason for it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sdclient import Run, Txt2Img
from sdclient.batch.budget import RetryBudget
from sdclient.batch.care import Care
from sdclient.batch.events import Event
from sdclient.batch.health import HealthPolicy
from sdclient.batch.worker import WorkerResult, WorkerSettings
from sdclient.client import Client
from sdclient.simulator import Simulator
from sdclient.steps.generate import ServerLane
from tests.integration.faulty_server import FaultyServer, answer, answering
from tests.integration.scripted_server import base_url
from tests.practice_lane import PracticeLane

QUICK = WorkerSettings(scan_s=0.1, health=HealthPolicy(first_open_s=0.1, longest_open_s=0.3, retries=60))
SMALL = Txt2Img(width=64, height=64, steps=2, model="sd_xl_base_1.0.safetensors")
MODEL = "sd_xl_base_1.0.safetensors"


def replies(run: Run) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in (run.folder.state / "replies").iterdir()]


def reasons(run: Run) -> list[str]:
    return list(run.status().set_aside.values())


def work(run: Run, *servers: Simulator, events: list[Event] | None = None) -> WorkerResult:
    listener = None if events is None else events.append
    return run.start([one.url for one in servers], settings=QUICK, listener=listener)


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable", "422 Unprocessable"])
def test_a_server_that_answers_with_an_error_keeps_no_other_from_working(tmp_path: Path, status: str) -> None:
    run = Run(tmp_path / "out").add(["a fox"], SMALL)
    told: list[str] = []
    with FaultyServer(answering(answer(b"loading", status))) as broken, Simulator("a1111") as server:
        lanes = run.lanes([base_url(broken), server.url], on_missing=lambda name, _: told.append(name))
        names = [one.removeprefix("http://") for one in (base_url(broken), server.url)]

    assert (told, [lane.name for lane in lanes]) == ([names[0]], [names[1]])


def test_a_server_that_was_restarted_is_asked_before_it_is_fed_again(tmp_path: Path) -> None:
    run = Run(tmp_path / "out").add([f"fox {number}" for number in range(5)], SMALL)
    with Simulator("a1111") as server:
        server.next_faults(None, "restart:s=0.3")
        result = work(run, server)
        calls = [(one.method, one.path, one.fault) for one in server.log]

    after = calls[1 + next(at for at, call in enumerate(calls) if call[2]) :]
    assert result.counts.done == 5
    assert after.index(("GET", "/sdapi/v1/options", "")) < after.index(("POST", "/sdapi/v1/txt2img", ""))


def test_a_server_that_comes_back_as_another_gets_no_job_until_it_is_as_before(tmp_path: Path) -> None:
    run = Run(tmp_path / "out").add([f"fox {number}" for number in range(6)], SMALL.replace(model=None, inherit=True))
    first = Simulator("a1111", models=["one.safetensors", "two.safetensors"]).start()
    port = int(first.url.rpartition(":")[2])
    swapped: list[Simulator] = [first]
    refused: list[str] = []

    def swap(event: Event) -> None:
        if event.name == "done" and len(swapped) == 1:
            first.stop()
        elif event.name == "asleep" and len(swapped) == 1:
            swapped.append(Simulator("a1111", port=port, models=["two.safetensors", "one.safetensors"]).start())
        elif event.name == "asleep" and "came back as another" in event.message and len(swapped) == 2:
            refused.append(event.message)
            swapped[1].stop()
            swapped.append(Simulator("a1111", port=port, models=["one.safetensors", "two.safetensors"]).start())

    try:
        result = run.start(first.url, settings=QUICK, listener=swap)
    finally:
        swapped[-1].stop()

    assert result.counts.done == 6
    assert [one.path for one in swapped[1].log if one.method == "POST" and "txt2img" in one.path] == []
    assert "two.safetensors" in refused[0]
    assert "one.safetensors" in refused[0]


def test_a_server_that_comes_back_as_another_program_gets_no_job(tmp_path: Path) -> None:
    run = Run(tmp_path / "out").add([f"fox {number}" for number in range(4)], SMALL.replace(model=None, inherit=True))
    first = Simulator("a1111").start()
    port = int(first.url.rpartition(":")[2])
    others: list[Simulator] = []

    def swap(event: Event) -> None:
        if event.name == "done":
            first.stop()
        elif event.name == "asleep" and not others:
            others.append(Simulator("drawthings", port=port).start())

    settings = WorkerSettings(scan_s=0.1, health=HealthPolicy(first_open_s=0.05, longest_open_s=0.05, retries=6))
    try:
        result = run.start(first.url, settings=settings, listener=swap)
    finally:
        others[0].stop()

    assert "Draw Things answers there now" in "".join(result.left.values())
    assert result.counts.set_aside == 0
    assert [one for one in others[0].log if one.method == "POST"] == []


@pytest.mark.parametrize("fault", ["too-many:s=1", "busy:s=1"])
def test_a_server_that_asks_for_a_pause_gets_no_request_before_it_is_over(tmp_path: Path, fault: str) -> None:
    run = Run(tmp_path / "out").add([f"fox {number}" for number in range(5)], SMALL)
    with Simulator("a1111") as server:
        server.next_faults(None, fault)
        result = run.start(server.url)
        asked = [one for one in server.log if one.path.endswith("/txt2img")]

    assert (result.counts.done, len(asked)) == (5, 6)
    # Not even the one that was ready to be sent.
    assert asked[2].started_s - asked[1].ended_s >= 0.99


@pytest.mark.parametrize("fault", ["too-many", "busy"])
def test_a_server_that_is_busy_more_often_than_it_draws_is_not_given_up(tmp_path: Path, fault: str) -> None:
    run = Run(tmp_path / "out").add(["a fox", "a hare"], SMALL)
    settings = WorkerSettings(scan_s=0.1, health=HealthPolicy(first_open_s=0.05, longest_open_s=0.05, retries=2))
    with Simulator("a1111") as server:
        server.next_faults(*[fault] * 5, None, *[fault] * 5)
        result = run.start(server.url, settings=settings)

    assert (result.counts.done, result.left) == (2, {})


def test_a_proxy_whose_server_is_gone_is_not_waited_for_like_a_busy_server(tmp_path: Path) -> None:
    run = Run(tmp_path / "out").add(["a fox"], SMALL)
    settings = WorkerSettings(scan_s=0.1, health=HealthPolicy(first_open_s=0.05, longest_open_s=0.05, retries=3))
    gone = answer(b"no server here", "503 Service Unavailable")
    with FaultyServer(answering(gone)) as proxy:
        lane = ServerLane(Client(base_url(proxy), dialect="a1111"))
        run.begin([lane], settings=settings)
        result = run.wait()

    assert result.counts.done == 0
    assert "503" in "".join(result.left.values())


@pytest.mark.parametrize("fault", ["unauthorized", "redirect"])
def test_what_was_ready_is_not_sent_to_a_server_that_must_be_looked_at_first(tmp_path: Path, fault: str) -> None:
    run = Run(tmp_path / "out").add([f"fox {number}" for number in range(6)], SMALL)
    told: list[Event] = []
    with Simulator("a1111") as server:
        server.next_faults(None, None, fault)
        result = work(run, server, events=told)
        calls = [(one.method, one.fault) for one in server.log if one.method == "POST" or one.path.endswith("/options")]

    assert (result.counts.done, result.left) == (6, {})
    assert calls[calls.index(("POST", fault)) + 1] == ("GET", "")
    # It had drawn before, so it is asked once more before it is given up.
    assert [event.name for event in told].count("asleep") == 1


def test_a_job_during_which_a_server_ends_twice_is_set_aside_with_that_reason(tmp_path: Path) -> None:
    run = Run(tmp_path / "out").add(["a killer"], SMALL)
    with Simulator("a1111") as server:
        server.next_faults("restart:s=0.4", "restart:s=0.4")
        result = work(run, server)

    assert (result.counts.done, result.counts.set_aside) == (0, 1)
    assert "2 times a server ended while it drew this" in reasons(run)[0]


def test_a_job_for_which_there_is_no_memory_is_set_aside_with_the_reply(tmp_path: Path) -> None:
    run = Run(tmp_path / "out").add(["a giant", "a fox"], SMALL)
    with Simulator("a1111") as server:
        server.next_faults("out-of-memory")
        result = work(run, server)

    assert (result.counts.done, result.counts.set_aside) == (1, 1)
    assert "out of memory" in reasons(run)[0]
    assert "CUDA out of memory" in replies(run)[0]


@pytest.mark.parametrize("fault", ["empty-images", "wrong-size", "truncated-png", "black", "html"])
def test_a_job_that_two_healthy_servers_answer_with_nonsense_is_set_aside_with_the_replies(
    tmp_path: Path, fault: str
) -> None:
    run = Run(tmp_path / "out").add(["poison"], SMALL)
    for _ in range(2):
        with Simulator("a1111", faults=[fault]) as server:
            result = run.start(server.url, settings=WorkerSettings(limit=1, scan_s=0.1, health=QUICK.health))

    assert (result.counts.done, result.counts.set_aside) == (0, 1)
    assert "failed on 2 servers that were well" in reasons(run)[0]
    assert len(replies(run)) == 2
    assert all(replies(run))


def test_a_run_whose_only_server_is_gone_stops_with_words_instead_of_spinning(tmp_path: Path) -> None:
    run = Run(tmp_path / "out").add([f"fox {number}" for number in range(8)], SMALL)
    with Simulator("a1111") as server:
        settings = WorkerSettings(scan_s=0.1, health=HealthPolicy(first_open_s=0.02, longest_open_s=0.05, retries=10))

        def end(event: Event) -> None:
            if event.name == "done":
                server.stop()

        result = run.start(server.url, settings=settings, listener=end)

    assert "the run forgives no more" in "".join(result.left.values())
    assert "refused" in "".join(result.left.values())
    assert result.counts.set_aside == 0
    assert result.counts.waiting + result.counts.failed >= 6


def test_one_dead_server_of_two_does_not_end_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "out").add([f"fox {number}" for number in range(20)], SMALL)
    with Simulator("a1111") as good, Simulator("a1111") as bad:

        def end(event: Event) -> None:
            if event.name == "done" and event.counts.done == 3:
                bad.stop()

        settings = WorkerSettings(scan_s=0.1, health=HealthPolicy(first_open_s=0.02, longest_open_s=0.05, retries=10))
        result = run.start([good.url, bad.url], settings=settings, listener=end)

    assert result.counts.done == 20


def test_a_lane_that_had_nothing_to_do_for_long_looks_before_it_goes_on() -> None:
    now = [0.0]
    looks: list[float] = []

    class Looked(PracticeLane):
        def look(self) -> None:
            looks.append(now[0])

        def was_restarted(self) -> bool:
            return False

    care = Care(
        Looked(), HealthPolicy(), RetryBudget(9), rng=random.Random(1), tell=lambda *_: None, clock=lambda: now[0]
    )
    for pause_s in (0, 1, 60, 1):
        now[0] += pause_s
        ticket = care.admit()
        assert ticket is not None
        care.good(ticket)

    assert looks == [61.0]
