"""``AsyncClient``: the client for ``async`` programs; the same code underneath, in threads that can be ended."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from pydantic import JsonValue

from sdclient.client.client import Client
from sdclient.client.connection import Connection
from sdclient.client.generation import PreparedGeneration
from sdclient.client.progress import OnProgress, StepProgress
from sdclient.client.result import Losses, Result
from sdclient.client.sizes import Fit
from sdclient.dialects.base import Compiled, Loss, ServerFacts
from sdclient.images import FitBox, GeneratedImage, ImageInput
from sdclient.infotext import Infotext
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.schemas.server import (
    LoraInfo,
    ModelInfo,
    Progress,
    SamplerInfo,
    SchedulerInfo,
    ScriptInfo,
    UpscalerInfo,
    VaeInfo,
)
from sdclient.transport import CancelToken, ServerAddress, Transport, ended_by

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
_FAREWELL_S = 10.0


class AsyncClient:
    """One Stable Diffusion server, for ``async`` programs.

    Every method does what `Client`'s method of the same name does, and what asks the server is awaited
    (``await sd.facts()``). Cancelling a task ends its call at once, closes its connection, and tells a server that
    knows the job as ours to stop drawing it. Leaving ``async with`` does that for every call that still runs.

    Args:
        url: Its address, or its name in ``sdclient.toml``. None reads ``SDCLIENT_URL`` or the default server there.
        auth: User and password; they are sent to this server's origin only.
        dialect: The program that answers there, by name; None finds out.
        deadline_s: Longest time one generation may take in all, in seconds; None waits as long as the connection lives.
        strict: Refuse every request that this server does not do exactly as asked, however small the loss.
        transport: What carries the bytes; for tests and special networks.

    Raises:
        ConfigurationError: If no server is named, or its address or credentials are wrong.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        auth: tuple[str, str] | None = None,
        dialect: str | None = None,
        deadline_s: float | None = None,
        strict: bool = False,
        transport: Transport | None = None,
    ) -> None:
        self.client = Client(url, auth=auth, dialect=dialect, deadline_s=deadline_s, strict=strict, transport=transport)
        self._running: dict[CancelToken, asyncio.Future[None]] = {}

    def __repr__(self) -> str:
        return f"AsyncClient({self.client.url!r})"

    @property
    def url(self) -> str:
        """The address, without credentials."""
        return self.client.url

    @property
    def name(self) -> str:
        """What the server is called in logs."""
        return self.client.name

    @property
    def address(self) -> ServerAddress:
        """The address taken apart."""
        return self.client.address

    @property
    def connection(self) -> Connection:
        """The JSON connection underneath; its calls block."""
        return self.client.connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End the calls that still run: they raise `CancelledError` where they are awaited."""
        for token in self._running:
            token.cancel()
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=_FAREWELL_S)

    # Drawing

    async def txt2img(
        self, request: str | Txt2Img = "", /, *, on_progress: OnProgress | None = None, **fields: object
    ) -> Result:
        """Draw images from words; see `Client.txt2img`. ``on_progress`` is called on the event loop."""
        told = _on_loop(on_progress)
        return await self._call(lambda token: self.client.txt2img(request, cancel=token, on_progress=told, **fields))

    async def img2img(
        self,
        image: ImageInput,
        request: str | Img2Img = "",
        /,
        *,
        size: str | None = None,
        fit: Fit = "pad",
        on_progress: OnProgress | None = None,
        **fields: object,
    ) -> Result:
        """Draw over an image; see `Client.img2img`. ``on_progress`` is called on the event loop."""
        told = _on_loop(on_progress)
        return await self._call(
            lambda token: self.client.img2img(
                image, request, size=size, fit=fit, cancel=token, on_progress=told, **fields
            )
        )

    async def extra_single_image(self, image: ImageInput, *, upscaler: str, scale: float = 2.0) -> GeneratedImage:
        """Enlarge one image; see `Client.extra_single_image`."""
        return await self._call(
            lambda token: self.client.extra_single_image(image, upscaler=upscaler, scale=scale, cancel=token)
        )

    async def check(self, request: Txt2Img | Img2Img, *, size: str | None = None, fit: Fit = "pad") -> Losses:
        """Return what this server would not do as asked; see `Client.check`."""
        return await self._ask(lambda: self.client.check(request, size=size, fit=fit))

    async def compile(self, request: Txt2Img | Img2Img, *, size: str | None = None, fit: Fit = "pad") -> Compiled:
        """Return the calls that a request becomes on this server; see `Client.compile`."""
        return await self._ask(lambda: self.client.compile(request, size=size, fit=fit))

    async def prepare(
        self,
        request: Txt2Img | Img2Img,
        *,
        task_id: str | None = None,
        box: FitBox | None = None,
        losses: tuple[Loss, ...] = (),
    ) -> PreparedGeneration:
        """Compile and encode a request, for `execute` and `finish` in threads; see `Client.prepare`."""
        return await self._ask(lambda: self.client.prepare(request, task_id=task_id, box=box, losses=losses))

    # Asking

    async def dialect(self) -> str:
        """Return the short name of the program that answers."""
        return await self._ask(lambda: self.client.dialect)

    async def title(self) -> str:
        """Return that program's name for people."""
        return await self._ask(lambda: self.client.title)

    async def facts(self) -> ServerFacts:
        """Return what is known of this server; asked for once."""
        return await self._ask(lambda: self.client.facts)

    async def png_info(self, image: ImageInput) -> Infotext:
        """Return the settings the server reads from an image's metadata."""
        return await self._ask(lambda: self.client.png_info(image))

    async def options(self) -> Mapping[str, JsonValue]:
        """Return the server's options; on Draw Things: what its window shows now."""
        return await self._ask(self.client.options)

    async def set_options(self, **options: JsonValue) -> None:
        """Change options of the server for everyone who uses it."""
        await self._ask(lambda: self.client.set_options(**options))

    async def progress(self) -> Progress:
        """Return what the server is doing now, whoever asked for it."""
        return await self._ask(self.client.progress)

    async def interrupt(self) -> None:
        """Stop whatever the server is drawing, whoever asked for it."""
        await self._ask(self.client.interrupt)

    async def skip(self) -> None:
        """Skip the image the server is drawing, whoever asked for it."""
        await self._ask(self.client.skip)

    async def models(self) -> tuple[ModelInfo, ...]:
        """Return the installed models."""
        return await self._ask(self.client.models)

    async def vaes(self) -> tuple[VaeInfo, ...]:
        """Return the installed VAEs."""
        return await self._ask(self.client.vaes)

    async def samplers(self) -> tuple[SamplerInfo, ...]:
        """Return the samplers."""
        return await self._ask(self.client.samplers)

    async def schedulers(self) -> tuple[SchedulerInfo, ...]:
        """Return the noise schedules."""
        return await self._ask(self.client.schedulers)

    async def upscalers(self) -> tuple[UpscalerInfo, ...]:
        """Return the upscalers, in the order some scripts count them by."""
        return await self._ask(self.client.upscalers)

    async def latent_upscale_modes(self) -> tuple[UpscalerInfo, ...]:
        """Return the latent modes a hires fix may use."""
        return await self._ask(self.client.latent_upscale_modes)

    async def loras(self) -> tuple[LoraInfo, ...]:
        """Return the installed LoRAs."""
        return await self._ask(self.client.loras)

    async def scripts(self) -> Mapping[str, JsonValue]:
        """Return the titles of installed scripts, by txt2img and img2img."""
        return await self._ask(self.client.scripts)

    async def script_info(self) -> tuple[ScriptInfo, ...]:
        """Return every script's arguments in the order they are sent."""
        return await self._ask(self.client.script_info)

    async def memory(self) -> Mapping[str, JsonValue]:
        """Return the server's memory use in bytes."""
        return await self._ask(self.client.memory)

    async def controlnet_models(self) -> Sequence[str]:
        """Return the installed ControlNet models."""
        return await self._ask(self.client.controlnet_models)

    async def _ask(self, call: Callable[[], T]) -> T:
        """Make a short call in a thread of its own."""

        def ask(token: CancelToken) -> T:
            with ended_by(token):
                return call()

        return await self._call(ask)

    async def _call(self, call: Callable[[CancelToken], T]) -> T:
        """Make a call in a thread of its own, and end it through its token where the task is cancelled.

        A thread of its own rather than of the loop's pool: that has a few for all, and a generation holds one for
        minutes.
        """
        loop = asyncio.get_running_loop()
        token = CancelToken()
        ended: asyncio.Future[None] = loop.create_future()
        outcome: list[T] = []
        errors: list[BaseException] = []

        def settle() -> None:
            if not ended.done():
                ended.set_result(None)

        def run() -> None:
            try:
                outcome.append(call(token))
            except BaseException as exc:  # noqa: BLE001 - it is raised again where it is awaited
                errors.append(exc)
            # Where the loop was closed meanwhile, nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle)

        self._running[token] = ended
        threading.Thread(target=run, name="sdclient-async", daemon=True).start()
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            token.cancel()
            # The thread needs a moment to tell the server; a task is over when its work is.
            await asyncio.wait([ended], timeout=_FAREWELL_S)
            raise
        finally:
            del self._running[token]
        if errors:
            raise errors[0]
        return outcome[0]


def _on_loop(on_progress: OnProgress | None) -> OnProgress | None:
    """Return a callback that passes on to the event loop's own thread."""
    if on_progress is None:
        return None
    loop, told = asyncio.get_running_loop(), on_progress

    def pass_on(progress: StepProgress) -> None:
        loop.call_soon_threadsafe(told, progress)

    return pass_on
