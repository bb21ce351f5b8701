"""A generation while it runs: its steps, standing still, being cancelled, and what becomes of a lost answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from sdclient.client import Client, StepProgress, WatchPolicy, execute, finish
from sdclient.client.progress import Watcher, was_cut_short
from sdclient.dialects.base import Route
from sdclient.errors import AnswerLostError, BadReplyError, CancelledError, DeadlineError, ServerFaultError
from sdclient.schemas import Txt2Img
from sdclient.simulator import Simulator
from sdclient.transport import CancelToken
from tests.integration.faulty_server import Exchange, FaultyServer, answer
from tests.integration.scripted_server import A1111_OPTIONS, NOT_FOUND, TXT2IMG, as_json, base_url, images, png

SMALL = Txt2Img(prompt="a fox", width=64, height=64, steps=10, seed=7)
TASK = "/internal/progress"
PROGRESS = "/sdapi/v1/progress"
INTERRUPT = "/sdapi/v1/interrupt"
ACTIVE = as_json({"active": True, "queued": False, "completed": False})
QUEUED = as_json({"active": False, "queued": True, "completed": False})
COMPLETED = as_json({"active": False, "queued": False, "completed": True})
UNKNOWN = as_json({"active": False, "queued": False, "completed": False})


class SlowServer(FaultyServer):
    """Draws until it is told to stop or was asked this path that often, and answers questions meanwhile."""

    def __init__(
        self, answers: dict[str, bytes], *, reply: bytes | None = None, until: tuple[str, int] = (INTERRUPT, 1)
    ) -> None:
        self.let_go = threading.Event()
        self.is_drawing = threading.Event()
        self._answers = {"/sdapi/v1/options": as_json(A1111_OPTIONS), **answers}
        self._reply = reply
        self._until = until
        super().__init__(self._script)

    def _script(self, exchange: Exchange) -> None:
        path = exchange.request.target.partition("?")[0] if exchange.request else ""
        if path == TXT2IMG:
            self.is_drawing.set()
            while not self.let_go.wait(0.01) and not self.stopped.is_set():
                pass
            if self._reply is not None:
                exchange.send(self._reply)
        else:
            exchange.send(self._answers.get(path, NOT_FOUND))
            if path == self._until[0] and len(self.asked(path)) >= self._until[1]:
                self.let_go.set()

    def asked(self, path: str) -> list[bytes]:
        return [request.body for request in self.requests if request.target.partition("?")[0] == path]


def step(number: int, **state: object) -> bytes:
    whole = {"job": "scripts_txt2img", "job_no": 0, "job_count": 1, "sampling_step": number, "sampling_steps": 10}
    return as_json({"progress": number / 10, "eta_relative": 1.0, "state": {**whole, **state}})


def in_thread(call: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as exc:  # noqa: BLE001 - looked at by the test
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def test_every_step_is_told_and_only_where_something_changed() -> None:
    seen: list[StepProgress] = []
    with Simulator("a1111", delay_s=0.6) as server:
        prepared = Client(server.url).prepare(SMALL)
        result = finish(execute(prepared, watch=WatchPolicy(seen.append, interval_s=0.02)))

    steps = [one.step for one in seen if one.step]
    assert steps == sorted(set(steps))
    assert len(steps) >= 3
    assert {one.steps for one in seen if one.steps} == {10}
    assert {one.parts for one in seen if one.parts} == {1}
    assert result.image.size == (64, 64)


def test_the_request_carries_an_id_of_its_own_and_no_preview_is_asked_for() -> None:
    with Simulator("a1111", delay_s=0.3) as server:
        client = Client(server.url)
        client.txt2img(SMALL)
        execute(client.prepare(SMALL, task_id="job-e2"), watch=WatchPolicy(interval_s=0.02))
        bodies = [exchange.body for exchange in server.log if exchange.path == TXT2IMG]
        asked = [exchange.body for exchange in server.log if exchange.path == TASK]

    ids = [body["force_task_id"] for body in bodies if isinstance(body, dict)]
    assert str(ids[0]).startswith("sdclient-")
    assert ids[1] == "job-e2"
    assert all(isinstance(body, dict) and body["id_task"] == "job-e2" for body in asked)
    assert asked


def test_a_request_that_waits_behind_another_is_told_as_queued() -> None:
    seen: list[StepProgress] = []
    with Simulator("a1111", delay_s=0.4) as server:
        client = Client(server.url)
        first, _ = in_thread(lambda: client.txt2img(SMALL))
        while not client.progress().job_count:
            time.sleep(0.01)
        execute(client.prepare(SMALL), watch=WatchPolicy(seen.append, interval_s=0.02))
        first.join()

    assert seen[0] == StepProgress(is_queued=True)
    assert any(one.step for one in seen)


@pytest.mark.parametrize("dialect", ["forge", "sdnext"])
def test_no_step_of_somebody_elses_image_is_told_as_ours(dialect: str) -> None:
    seen: list[StepProgress] = []
    with Simulator(dialect, delay_s=0.8, options={"server_rate_limit": 0}) as server:
        client = Client(server.url)
        first, _ = in_thread(lambda: client.txt2img(SMALL))
        _until(lambda: (client.progress().step or 0) >= 2)
        execute(client.prepare(SMALL.replace(steps=7)), watch=WatchPolicy(seen.append, interval_s=0.02))
        first.join()

    assert seen[0] == StepProgress(is_queued=True)
    assert {one.steps for one in seen if one.steps} == {7}


def test_draw_things_tells_no_steps_and_draws_all_the_same() -> None:
    seen: list[StepProgress] = []
    with Simulator("drawthings", delay_s=0.1) as server:
        result = Client(server.url).txt2img(SMALL.replace(width=128, height=128, inherit=True), on_progress=seen.append)

    assert seen == []
    assert result.image.size == (128, 128)


def test_a_callback_that_fails_costs_no_image(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[StepProgress] = []

    def fail(progress: StepProgress) -> None:
        calls.append(progress)
        raise ValueError("my own bar")

    with Simulator("a1111", delay_s=0.3) as server:
        raw = execute(Client(server.url).prepare(SMALL), watch=WatchPolicy(fail, interval_s=0.02))

    assert finish(raw).image.size == (64, 64)
    assert len(calls) == 1
    assert "on_progress failed" in caplog.text


def test_a_server_that_stands_still_is_given_up_and_told_to_stop() -> None:
    with SlowServer({TASK: ACTIVE, PROGRESS: step(3), INTERRUPT: answer(b"{}")}) as server:
        prepared = Client(base_url(server)).prepare(SMALL)
        with pytest.raises(DeadlineError, match=r"stuck, no step.*told to stop"):
            execute(prepared, watch=WatchPolicy(stall_s=0.1, interval_s=0.02))

        assert len(server.asked(INTERRUPT)) == 1


@pytest.mark.parametrize(("number", "patience_s"), [(3, 10), (0, 30)], ids=["drawing", "a model may be loading"])
def test_before_its_first_step_a_server_is_given_three_times_as_long(number: int, patience_s: int) -> None:
    now = [0.0]
    with SlowServer({TASK: ACTIVE, PROGRESS: step(number)}) as server:
        token = CancelToken()
        policy = WatchPolicy(stall_s=10, interval_s=0.01)
        watcher = Watcher(Client(base_url(server)).connection, "x", policy, token, clock=lambda: now[0])
        watcher.start()
        _until(lambda: len(server.asked(PROGRESS)) >= 2)
        now[0] = patience_s - 1
        looked = len(server.asked(PROGRESS))
        _until(lambda: len(server.asked(PROGRESS)) >= looked + 3)
        was_patient = not watcher.is_stalled
        now[0] = patience_s + 1
        _until(lambda: watcher.is_stalled)
        watcher.stop()

    assert was_patient
    assert token.cancelled


def _until(is_so: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_waiting_in_a_queue_is_no_standing_still() -> None:
    with SlowServer({TASK: QUEUED}, reply=images(png()), until=(TASK, 20)) as server:
        prepared = Client(base_url(server)).prepare(SMALL)
        raw = execute(prepared, watch=WatchPolicy(stall_s=0.05, interval_s=0.02))

    assert raw.reply.status == 200


@pytest.mark.parametrize("progress", [NOT_FOUND, step(0)], ids=["tells nothing", "tells of nobody's job"])
def test_a_server_that_does_not_know_ids_is_asked_for_its_plain_progress(progress: bytes) -> None:
    seen: list[StepProgress] = []
    times = 1 if progress is NOT_FOUND else 4
    with SlowServer({TASK: UNKNOWN, PROGRESS: progress}, reply=images(png()), until=(PROGRESS, times)) as server:
        prepared = Client(base_url(server)).prepare(SMALL)
        raw = execute(prepared, watch=WatchPolicy(seen.append, stall_s=30, interval_s=0.02))

    assert raw.reply.status == 200
    assert len(seen) == (0 if progress is NOT_FOUND else 1)


def test_an_image_that_somebody_interrupted_is_not_believed() -> None:
    answers = {TASK: ACTIVE, PROGRESS: step(3, interrupted=True)}
    with SlowServer(answers, reply=images(png()), until=(PROGRESS, 2)) as server:
        prepared = Client(base_url(server)).prepare(SMALL)
        raw = execute(prepared, watch=WatchPolicy(interval_s=0.02))

    with pytest.raises(ServerFaultError, match=r"somebody interrupted"):
        finish(raw)


@pytest.mark.parametrize("how", ["interrupt", "skip"])
@pytest.mark.parametrize("watch", [None, WatchPolicy(interval_s=60)], ids=["unwatched", "between two looks"])
def test_an_image_that_nobody_saw_being_cut_short_is_not_believed_either(how: str, watch: WatchPolicy | None) -> None:
    begun_s = time.monotonic()
    with Simulator("forge", delay_s=600) as server:
        client = Client(server.url)
        thread, errors = in_thread(lambda: finish(execute(client.prepare(SMALL), watch=watch)))
        # What takes less than a second is not looked back at.
        _until(lambda: bool(client.progress().job_count) and time.monotonic() - begun_s > 1.3)
        client.connection.ask_route(Route("POST", f"/sdapi/v1/{how}"), {})
        thread.join(20)

    assert isinstance(errors[0], ServerFaultError)
    assert "half done" in str(errors[0])


IDLE = {"job": "", "job_count": 0}


@pytest.mark.parametrize(
    ("progress", "elapsed_s", "cut_short"),
    [
        pytest.param(step(0, **IDLE, interrupted=True), 2.0, True, id="interrupted"),
        pytest.param(step(0, **IDLE, skipped=True), 2.0, True, id="skipped"),
        pytest.param(step(0, **IDLE), 2.0, False, id="neither"),
        pytest.param(step(3, interrupted=True), 2.0, False, id="somebody else's"),
        pytest.param(step(0, **IDLE, interrupted=True), 0.9, False, id="too short for anybody"),
        pytest.param(NOT_FOUND, 2.0, False, id="tells nothing"),
    ],
)
def test_what_a_server_says_behind_a_drawing_counts_until_another_begins(
    progress: bytes, elapsed_s: float, *, cut_short: bool
) -> None:
    with SlowServer({PROGRESS: progress}) as server:
        client = Client(base_url(server))
        told = was_cut_short(client.connection, elapsed_s)
        looks = len(server.asked(PROGRESS))

    assert told is cut_short
    assert looks == (elapsed_s >= 1)


def test_an_interrupted_drawing_of_sdnext_is_told_as_probably_that() -> None:
    with Simulator("sdnext", delay_s=600, options={"server_rate_limit": 0}) as server:
        client = Client(server.url)
        thread, errors = in_thread(lambda: client.txt2img(SMALL))
        _until(lambda: bool(client.progress().job_count))
        client.interrupt()
        thread.join(20)

    assert isinstance(errors[0], BadReplyError)
    assert "no images, though it says success: somebody probably interrupted the server" in str(errors[0])


def test_a_look_that_is_lost_costs_no_image_and_no_answer_at_all_is_standing_still() -> None:
    with SlowServer({TASK: NOT_FOUND, PROGRESS: b""}, reply=images(png()), until=(PROGRESS, 3)) as server:
        raw = execute(Client(base_url(server)).prepare(SMALL), watch=WatchPolicy(stall_s=30, interval_s=0.02))
    with SlowServer({TASK: NOT_FOUND, PROGRESS: b""}) as server:
        prepared = Client(base_url(server)).prepare(SMALL)
        with pytest.raises(DeadlineError, match="stuck"):
            execute(prepared, watch=WatchPolicy(stall_s=0.05, interval_s=0.02))

    assert raw.reply.status == 200


def test_a_job_that_is_drawn_and_on_its_way_is_told_as_whole() -> None:
    seen: list[StepProgress] = []
    with SlowServer({TASK: COMPLETED}, reply=images(png()), until=(TASK, 4)) as server:
        prepared = Client(base_url(server)).prepare(SMALL)
        execute(prepared, watch=WatchPolicy(seen.append, interval_s=0.02))

    assert seen == [StepProgress(fraction=1.0)]


# ---- cancelled, late, lost ----


def test_cancelling_ends_the_call_and_stops_the_server_where_the_job_is_ours() -> None:
    token = CancelToken()
    with Simulator("a1111", delay_s=30) as server:
        client = Client(server.url)
        thread, errors = in_thread(lambda: client.txt2img(SMALL, cancel=token))
        while not client.progress().job_count:
            time.sleep(0.01)
        token.cancel()
        thread.join(5)

        assert not thread.is_alive()
        assert [exchange.status for exchange in server.log if exchange.path == INTERRUPT] == [200]

    assert isinstance(errors[0], CancelledError)
    assert "told to stop" in str(errors[0])


def test_cancelling_a_request_that_waits_never_stops_somebody_elses() -> None:
    token = CancelToken()
    with Simulator("a1111", delay_s=1.0) as server:
        client = Client(server.url)
        theirs, theirs_errors = in_thread(lambda: client.txt2img(SMALL))
        while not client.progress().job_count:
            time.sleep(0.01)
        ours, errors = in_thread(lambda: client.txt2img(SMALL, cancel=token))
        while not _waiting(client):
            time.sleep(0.01)
        token.cancel()
        ours.join(5)
        theirs.join(10)

        assert INTERRUPT not in [exchange.path for exchange in server.log]

    assert "still has it in its queue" in str(errors[0])
    assert theirs_errors == []


def test_a_token_thrown_before_leaves_the_server_alone() -> None:
    token = CancelToken()
    token.cancel()
    with SlowServer({}) as server, pytest.raises(CancelledError, match=r"before it was sent"):
        execute(Client(base_url(server)).prepare(SMALL), token)

    assert server.asked(TXT2IMG) == server.asked(TASK) == []


def test_past_its_deadline_a_call_ends_and_its_job_is_stopped() -> None:
    with SlowServer({TASK: ACTIVE, INTERRUPT: answer(b"{}")}) as server:
        client = Client(base_url(server), deadline_s=0.3)
        with pytest.raises(DeadlineError, match=r"no answer in 0\.3 s.*told to stop"):
            client.txt2img(SMALL)

        assert len(server.asked(INTERRUPT)) == 1


@pytest.mark.parametrize(
    ("task", "interrupt", "words"),
    [
        pytest.param(COMPLETED, answer(b"{}"), "the server had finished it", id="completed"),
        pytest.param(UNKNOWN, answer(b"{}"), "the server knows nothing of it", id="unknown"),
        pytest.param(QUEUED, answer(b"{}"), "still has it in its queue", id="queued"),
        pytest.param(ACTIVE, answer(b"{}", "500 Oops"), "the server is still drawing it", id="cannot be stopped"),
        pytest.param(NOT_FOUND, answer(b"{}"), "may have done the work", id="tells nothing"),
        pytest.param(as_json([1]), answer(b"{}"), "may have done the work", id="tells nonsense"),
    ],
)
def test_after_a_lost_answer_the_message_says_what_became_of_the_job(task: bytes, interrupt: bytes, words: str) -> None:
    with SlowServer({TASK: task, INTERRUPT: interrupt}) as server:
        server.let_go.set()
        with pytest.raises(AnswerLostError, match=words):
            Client(base_url(server)).txt2img(SMALL)

    assert bool(server.asked(INTERRUPT)) is (task is ACTIVE)


def _waiting(client: Client) -> bool:
    body = client.connection.ask_route(Route("GET", "/internal/pending-tasks")).body
    return isinstance(body, dict) and bool(body["size"])
