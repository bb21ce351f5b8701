"""The asynchronous client: the same answers, many at once, and tasks that can be cancelled."""

from __future__ import annotations

import asyncio
import inspect
import time

import pytest

from sdclient.client import AsyncClient, Client, StepProgress
from sdclient.errors import MissingRouteError, NotSentError
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.simulator import Simulator
from tests.integration.scripted_server import TXT2IMG, png

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


def test_both_clients_have_the_same_methods() -> None:
    def methods(cls: type) -> set[str]:
        return {name for name, value in inspect.getmembers(cls) if callable(value) and not name.startswith("_")}

    # Compiling for other threads makes no sense where there are tasks.
    assert methods(Client) - {"prepare"} == methods(AsyncClient) - {"dialect", "facts"}
    assert repr(AsyncClient("http://127.0.0.1:9")) == "AsyncClient('http://127.0.0.1:9')"
    assert AsyncClient("http://127.0.0.1:9").url == "http://127.0.0.1:9"
