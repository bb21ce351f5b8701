"""The asynchronous client: the same answers, many at once, and tasks that can be cancelled."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import pytest

from sdclient.client import AsyncClient, Client, PreparedGeneration, StepProgress, execute, finish
from sdclient.errors import CancelledError, MissingRouteError, NotSentError
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.simulator import Simulator
from sdclient.transport import HttpReply, HttpSettings, RequestsTransport
from tests.integration.faulty_server import Exchange, FaultyServer
from tests.integration.scripted_server import TXT2IMG, base_url, png

SMALL = Txt2Img(prompt="a fox", width=64, height=64, steps=10, seed=7)


def test_it_draws_what_the_plain_client_draws() -> None:
    async def both(url: str) -> tuple[str, str, str]:
        client = AsyncClient(url)
        drawn = await client.txt2img(SMALL)
        over = await client.img2img(drawn.image, Img2Img(prompt="a fox", steps=2, seed=7, denoising_strength=0.3))
        large = await client.extra_single_image(over.image, upscaler="4x-UltraSharp")
        return drawn.image.sha256, over.image.sha256, large.sha256

    with Simulator("a1111") as server:
        hashes = asyncio.run(both(server.url))
        plain = Client(server.url).txt2img(SMALL)

    assert hashes[0] == plain.image.sha256
    assert len(set(hashes)) == 3


class Counting(RequestsTransport):
    """The one transport there is, counting what goes through it."""

    def __init__(self) -> None:
        super().__init__(HttpSettings())
        self.paths: list[str] = []

    def send(self, method: str, url: str, **more: Any) -> HttpReply:
        self.paths.append(urlsplit(url).path)
        return super().send(method, url, **more)


def test_everything_it_sends_goes_through_the_plain_clients_transport() -> None:
    transport = Counting()

    async def ask(url: str) -> None:
        async with AsyncClient(url, transport=transport) as client:
            await client.txt2img(SMALL)
            await client.samplers()

    with Simulator("a1111") as server:
        asyncio.run(ask(server.url))
        served = sorted(exchange.path.partition("?")[0] for exchange in server.log)

    assert sorted(transport.paths) == served
    assert "/sdapi/v1/txt2img" in served


def test_two_servers_draw_at_the_same_time() -> None:
    async def both(urls: list[str]) -> None:
        await asyncio.gather(*(AsyncClient(url).txt2img(SMALL) for url in urls))

    with Simulator("a1111", delay_s=0.6) as one, Simulator("a1111", delay_s=0.6) as two:
        asyncio.run(both([one.url, two.url]))
        (first,) = (exchange for exchange in one.log if exchange.path == TXT2IMG)
        (second,) = (exchange for exchange in two.log if exchange.path == TXT2IMG)

    assert first.started_s < second.ended_s
    assert second.started_s < first.ended_s


def test_cancelling_a_task_ends_the_call_and_stops_the_server() -> None:
    async def cancelled(url: str) -> bool:
        client = AsyncClient(url)
        task = asyncio.create_task(client.txt2img(SMALL))
        while not (await client.progress()).job_count:  # noqa: ASYNC110 - a server sets no events
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    with Simulator("a1111", delay_s=30) as server:
        began = time.monotonic()
        assert asyncio.run(cancelled(server.url))
        paths = [exchange.path for exchange in server.log]

    assert time.monotonic() - began < 5
    assert paths.count("/sdapi/v1/interrupt") == 1


def test_a_timeout_of_asyncio_ends_the_call_too() -> None:
    async def late(url: str) -> None:
        await asyncio.wait_for(AsyncClient(url).txt2img(SMALL), 0.3)

    with Simulator("a1111", delay_s=30) as server, pytest.raises(asyncio.TimeoutError):
        asyncio.run(late(server.url))


def test_steps_are_told_on_the_event_loop() -> None:
    async def watched(url: str) -> list[tuple[StepProgress, bool]]:
        loop = asyncio.get_running_loop()
        seen: list[tuple[StepProgress, bool]] = []
        await AsyncClient(url).txt2img(
            SMALL, on_progress=lambda progress: seen.append((progress, asyncio.get_running_loop() is loop))
        )
        return seen

    with Simulator("a1111", delay_s=1.2) as server:
        seen = asyncio.run(watched(server.url))

    assert seen
    assert all(on_loop for _, on_loop in seen)


def test_errors_arrive_where_they_are_awaited() -> None:
    async def fail(url: str) -> None:
        await AsyncClient(url).samplers()

    with Simulator("drawthings") as server, pytest.raises(MissingRouteError):
        asyncio.run(fail(server.url))
    with pytest.raises(NotSentError):
        asyncio.run(fail("http://127.0.0.1:9"))


def test_every_question_has_an_answer() -> None:
    async def ask(url: str) -> list[object]:
        client = AsyncClient(url)
        await client.interrupt()
        await client.skip()
        await client.set_options(CLIP_stop_at_last_layers=2)
        return [
            await client.dialect(), await client.facts(), await client.check(SMALL.replace(tiling=True, shift=3)),
            await client.compile(SMALL), await client.options(), await client.models(), await client.vaes(),
            await client.samplers(), await client.schedulers(), await client.upscalers(), await client.loras(),
            await client.latent_upscale_modes(), await client.scripts(), await client.script_info(),
            await client.memory(), await client.controlnet_models(), await client.png_info(png()),
        ]  # fmt: skip

    with Simulator("a1111") as server:
        answers = asyncio.run(ask(server.url))

    assert answers[0] == "a1111"
    assert all(answers)


def _surface(cls: type) -> dict[str, object]:
    return {name: value for name, value in vars(cls).items() if not name.startswith("_")}


def _shape(
    function: Callable[..., object], *, without: str = ""
) -> tuple[list[tuple[str, object, object, object]], str]:
    found = inspect.signature(function)
    given = [(one.name, one.kind, one.default, one.annotation) for one in found.parameters.values()]
    return [one for one in given if one[0] != without], found.return_annotation


@pytest.mark.parametrize("name", sorted(_surface(Client)))
def test_both_clients_have_the_same_surface(name: str) -> None:
    plain, other = _surface(Client)[name], _surface(AsyncClient)[name]

    if isinstance(plain, property):
        # What is known without asking is a property of both.
        getter = other.fget if isinstance(other, property) else other
        assert inspect.iscoroutinefunction(other) == (name in ("dialect", "title", "facts"))
        assert _shape(getter) == _shape(plain.fget)
    else:
        # A task is cancelled instead of a token.
        assert inspect.iscoroutinefunction(other)
        assert _shape(other) == _shape(plain, without="cancel")


def test_the_asynchronous_client_has_nothing_more_and_is_made_alike() -> None:
    assert _surface(AsyncClient).keys() - _surface(Client).keys() == {"name"}
    assert _shape(AsyncClient.__init__) == _shape(Client.__init__)
    one, other = AsyncClient("http://user:secret@127.0.0.1:9"), Client("http://user:secret@127.0.0.1:9")
    assert (one.url, one.name, one.address) == (other.url, other.name, other.address)
    assert repr(one) == "AsyncClient('http://127.0.0.1:9')"


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda sd: sd.models(), id="a question"),
        pytest.param(lambda sd: sd.facts(), id="who is there"),
        pytest.param(lambda sd: sd.txt2img(SMALL), id="an image, before it is asked for"),
        pytest.param(lambda sd: sd.img2img(png(), SMALL.prompt), id="an image over another, before it is asked for"),
    ],
)
def test_cancelling_closes_the_connection_of_a_call_that_a_server_never_answers(
    call: Callable[[AsyncClient], Coroutine[None, None, object]],
) -> None:
    arrived, closed = threading.Event(), threading.Event()

    def silent(exchange: Exchange) -> None:
        arrived.set()
        if exchange.is_closed_by_client():
            closed.set()

    async def cancelled(url: str) -> None:
        task = asyncio.create_task(call(AsyncClient(url)))
        assert await asyncio.to_thread(arrived.wait, 10)
        task.cancel()
        assert await asyncio.to_thread(closed.wait, 5)
        with pytest.raises(asyncio.CancelledError):
            await task

    with FaultyServer(silent) as server:
        asyncio.run(cancelled(base_url(server)))

    assert closed.is_set()


def test_leaving_the_block_ends_what_still_runs() -> None:
    async def left(url: str) -> BaseException | None:
        async with AsyncClient(url) as client:
            task = asyncio.create_task(client.txt2img(SMALL))
            while not (await client.progress()).job_count:  # noqa: ASYNC110 - a server sets no events
                await asyncio.sleep(0.01)
        await asyncio.wait([task])
        return task.exception()

    with Simulator("a1111", delay_s=30) as server:
        ended = asyncio.run(left(server.url))
        paths = [exchange.path for exchange in server.log]

    assert isinstance(ended, CancelledError)
    assert paths.count("/sdapi/v1/interrupt") == 1


def test_a_request_is_prepared_for_other_threads() -> None:
    async def prepared(url: str) -> tuple[PreparedGeneration, str]:
        async with AsyncClient(url) as client:
            return await client.prepare(SMALL), await client.title()

    with Simulator("a1111") as server:
        request, title = asyncio.run(prepared(server.url))
        drawn = finish(execute(request))

    assert title == "AUTOMATIC1111"
    assert drawn.image.size == (64, 64)
