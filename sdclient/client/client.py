"""``Client``: requests in, verified images out, for one server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import JsonValue

from sdclient.client.connection import QUICK, Connection
from sdclient.client.finding import find_address
from sdclient.client.seeds import with_seed
from sdclient.client.sizes import Fit, parse_size
from sdclient.dialects.base import Compiled, Loss, Operation, ServerFacts
from sdclient.errors import BadReplyError, CodecError
from sdclient.images import FitBox, GeneratedImage, ImageInput, decode_base64, encode_base64, read_image_input
from sdclient.infotext import Infotext, parse_infotext
from sdclient.schemas.server import (
    LoraInfo,
    ModelInfo,
    Progress,
    ReplyModel,
    SamplerInfo,
    SchedulerInfo,
    ScriptInfo,
    UpscalerInfo,
    VaeInfo,
    read_list,
)
from sdclient.transport import (
    CallLimits,
    CancelToken,
    HttpSettings,
    RequestsTransport,
    ServerAddress,
    Transport,
)

if TYPE_CHECKING:
    from sdclient.client.generation import PreparedGeneration
    from sdclient.client.progress import OnProgress
    from sdclient.client.result import Losses, Result
    from sdclient.schemas import Img2Img, Request, Txt2Img

RequestT = TypeVar("RequestT", bound="Request")
ReplyT = TypeVar("ReplyT", bound=ReplyModel)
_LOADING_S = 600.0


class Client:
    """One Stable Diffusion server.

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
        found = find_address(url, auth)
        self.name = found.name
        self._deadline_s = deadline_s
        self._strict = strict
        sender = transport or RequestsTransport(HttpSettings(), server=found.address)
        self._connection = Connection(found.address, sender, dialect or found.dialect, doubt=found.doubt)

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    @property
    def url(self) -> str:
        """The address, without credentials."""
        return self._connection.address.base_url

    @property
    def address(self) -> ServerAddress:
        """The address taken apart."""
        return self._connection.address

    @property
    def connection(self) -> Connection:
        """The JSON connection underneath, for calls that have no method here."""
        return self._connection

    @property
    def dialect(self) -> str:
        """Short name of the program that answers; asked for at the first use."""
        return self._connection.dialect.name

    @property
    def title(self) -> str:
        """Name of that program for people."""
        return self._connection.dialect.title

    @property
    def facts(self) -> ServerFacts:
        """What is known of this server: its keys, models, samplers; asked for once."""
        return self._connection.facts

    # Drawing

    def txt2img(
        self,
        request: str | Txt2Img = "",
        /,
        *,
        cancel: CancelToken | None = None,
        on_progress: OnProgress | None = None,
        **fields: object,
    ) -> Result:
        """Draw images from words.

        Args:
            request: A prompt, or a request.
            cancel: Ends the call from another thread.
            on_progress: Told of every step, on a thread of its own, where the server tells.
            fields: Request fields, over those of the request.

        Raises:
            PayloadError: If a field is wrong.
            LossError: If this server cannot do what is asked.
            TransportError: If no whole answer came.
            ServerError: If the answer is not what was asked for.
        """
        from sdclient.schemas import Txt2Img

        given = Txt2Img.given(request)
        with self._connection.drawing(cancel):
            prepared = self.prepare(_with(given, fields))
        return self._generate(prepared, cancel, on_progress)

    def img2img(
        self,
        image: ImageInput,
        request: str | Img2Img = "",
        /,
        *,
        size: str | None = None,
        fit: Fit = "pad",
        cancel: CancelToken | None = None,
        on_progress: OnProgress | None = None,
        **fields: object,
    ) -> Result:
        """Draw over an image.

        The image is brought to the size by one factor, so it is never stretched. What is padded to reach the
        server's steps is taken off the result again. A request with a size and ``resize_mode`` leaves that to servers
        that resize, unless size or fit say otherwise.

        Args:
            image: A path, bytes, a Pillow image or an earlier result's image.
            request: A prompt, or a request.
            size: ``source``, ``WxH``, ``long-side=N``, ``scale=F``; None: the request's size, else the image's.
            fit: ``pad`` or ``crop`` to a size the server takes.
            cancel: Ends the call from another thread.
            on_progress: Told of every step, on a thread of its own, where the server tells.
            fields: Request fields, over those of the request.

        Raises:
            ConfigurationError: If there is no such file, or a field or the size is wrong.
            CodecError: If the image is none.
            LossError: If this server cannot do what is asked.
            TransportError: If no whole answer came.
            ServerError: If the answer is not what was asked for.
        """
        from sdclient.client.fitting import fit_for, name_of
        from sdclient.schemas import Img2Img

        given = _with(Img2Img.given(request), fields)
        rule = None if size is None else parse_size(size)
        source = read_image_input(image)
        with self._connection.drawing(cancel):
            dialect = self._connection.dialect
            merged = given.for_dialect(*dialect.overlay_names)
            fitted = fit_for(dialect, merged, source, rule=rule, fit=fit, name=name_of(image))
            prepared = self.prepare(fitted.request, box=fitted.box, losses=fitted.losses)
        return self._generate(prepared, cancel, on_progress)

    def _generate(
        self, prepared: PreparedGeneration, cancel: CancelToken | None, on_progress: OnProgress | None
    ) -> Result:
        from sdclient.client.finishing import finish
        from sdclient.client.generation import execute
        from sdclient.client.progress import WatchPolicy

        watch = None if on_progress is None else WatchPolicy(on_progress)
        return finish(execute(prepared, cancel, watch=watch))

    def check(self, request: Txt2Img | Img2Img, *, size: str | None = None, fit: Fit = "pad") -> Losses:
        """Return what this server would not do as asked; nothing is sent but questions.

        An img2img request without its image is checked with a blank one; size and fit are those of `img2img`.

        Raises:
            PayloadError: If the request is not valid for this dialect.
            TransportError: If the server cannot be asked.
        """
        from sdclient.client.result import Losses

        return Losses(self.title, self.compile(request, size=size, fit=fit).losses)

    def compile(self, request: Txt2Img | Img2Img, *, size: str | None = None, fit: Fit = "pad") -> Compiled:
        """Return the calls that a request becomes on this server, overlays merged; nothing is refused here.

        Raises:
            PayloadError: If the request is not valid for this dialect.
            TransportError: If the server cannot be asked.
        """
        from sdclient.client.fitting import compile_fitted

        return compile_fitted(self._connection, request, None if size is None else parse_size(size), fit)

    def prepare(
        self,
        request: Txt2Img | Img2Img,
        *,
        task_id: str | None = None,
        box: FitBox | None = None,
        losses: tuple[Loss, ...] = (),
    ) -> PreparedGeneration:
        """Compile and encode a request, for `execute` and `finish` on other threads.

        Args:
            request: The request; an init image must have the size it asks for.
            task_id: What to call this try towards a server that tells progress by it; None draws a name.
            box: How to take padding off the result; None where nothing was added to the init image.
            losses: What was lost before, by fitting the init image.

        Raises:
            LossError: If this server cannot do what is asked.
            PayloadError: If the request is not valid for this dialect.
        """
        from sdclient.client.generation import prepare

        # Overlays first: one of them may hold a seed.
        merged = request.for_dialect(*self._connection.dialect.overlay_names)
        return prepare(
            self._connection,
            with_seed(merged),
            deadline_s=self._deadline_s,
            task_id=task_id,
            box=box,
            losses=losses,
            strict=self._strict,
        )

    def extra_single_image(
        self, image: ImageInput, *, upscaler: str, scale: float = 2.0, cancel: CancelToken | None = None
    ) -> GeneratedImage:
        """Enlarge one image with an upscaler network, without drawing over it.

        Args:
            image: A path, bytes, a Pillow image or an earlier result's image.
            upscaler: The upscaler's name on the server.
            scale: Size of the result relative to the image, 1 to 8.
            cancel: Ends the call from another thread.

        Raises:
            ConfigurationError: If the scale is none, or the server lists no such upscaler.
            MissingRouteError: If this server cannot do that alone.
            BadReplyError: If no image comes back.
        """
        from sdclient.client.installed import check_enlarging

        with self._connection.drawing(cancel):
            check_enlarging(self._connection, upscaler, scale)
        body: dict[str, JsonValue] = {
            "image": encode_base64(read_image_input(image)),
            "resize_mode": 0,
            "upscaling_resize": scale,
            "upscaler_1": upscaler,
        }
        limits = CallLimits(deadline_s=self._deadline_s)
        answer = self._ask_object("extra_single_image", body, limits=limits, cancel=cancel)
        text = answer.get("image")
        where = f"extra-single-image at {self.url}"
        if not isinstance(text, str) or not text:
            raise BadReplyError(f"{where}: the reply holds no image")
        try:
            return GeneratedImage.from_bytes(decode_base64(text, what=where), what=where)
        except CodecError as exc:
            raise BadReplyError(str(exc)) from exc

    # Asking

    def png_info(self, image: ImageInput) -> Infotext:
        """Return the settings the server reads from an image's metadata."""
        answer = self._ask_object("png_info", {"image": encode_base64(read_image_input(image))})
        return parse_infotext(str(answer.get("info", "")))

    def options(self) -> Mapping[str, JsonValue]:
        """Return the server's options; on Draw Things: what its window shows now."""
        return self._connection.read_options()

    def set_options(self, **options: JsonValue) -> None:
        """Change options of the server for everyone who uses it.

        Raises:
            MissingRouteError: If this server takes no options.
        """
        # Changing the model loads it before the answer comes.
        self._connection.ask("set_options", options, limits=CallLimits(deadline_s=_LOADING_S))
        self._connection.forget()

    def progress(self) -> Progress:
        """Return what the server is doing now, whoever asked for it."""
        return Progress.read(self._ask_object("progress"))

    def interrupt(self) -> None:
        """Stop whatever the server is drawing, whoever asked for it."""
        self._connection.ask("interrupt", {})

    def skip(self) -> None:
        """Skip the image the server is drawing, whoever asked for it."""
        self._connection.ask("skip", {})

    def models(self) -> tuple[ModelInfo, ...]:
        """Return the installed models."""
        return self._ask_list("models", ModelInfo)

    def vaes(self) -> tuple[VaeInfo, ...]:
        """Return the installed VAEs."""
        return self._ask_list("vaes", VaeInfo)

    def samplers(self) -> tuple[SamplerInfo, ...]:
        """Return the samplers."""
        return self._ask_list("samplers", SamplerInfo)

    def schedulers(self) -> tuple[SchedulerInfo, ...]:
        """Return the noise schedules."""
        return self._ask_list("schedulers", SchedulerInfo)

    def upscalers(self) -> tuple[UpscalerInfo, ...]:
        """Return the upscalers, in the order some scripts count them by."""
        return self._ask_list("upscalers", UpscalerInfo)

    def latent_upscale_modes(self) -> tuple[UpscalerInfo, ...]:
        """Return the latent modes a hires fix may use."""
        return self._ask_list("latent_upscale_modes", UpscalerInfo)

    def loras(self) -> tuple[LoraInfo, ...]:
        """Return the installed LoRAs."""
        return self._ask_list("loras", LoraInfo)

    def scripts(self) -> Mapping[str, JsonValue]:
        """Return the titles of installed scripts, by txt2img and img2img."""
        return self._ask_object("scripts")

    def script_info(self) -> tuple[ScriptInfo, ...]:
        """Return every script's arguments in the order they are sent."""
        return self._ask_list("script_info", ScriptInfo)

    def memory(self) -> Mapping[str, JsonValue]:
        """Return the server's memory use in bytes."""
        return self._ask_object("memory")

    def controlnet_models(self) -> Sequence[str]:
        """Return the installed ControlNet models."""
        names = self._ask_object("controlnet_models").get("model_list")
        return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()

    def _ask_object(
        self,
        operation: Operation,
        body: Mapping[str, JsonValue] | None = None,
        *,
        limits: CallLimits = QUICK,
        cancel: CancelToken | None = None,
    ) -> Mapping[str, JsonValue]:
        answer = self._connection.ask(operation, body, limits=limits, cancel=cancel).body
        if not isinstance(answer, dict):
            raise BadReplyError(f"{operation} at {self.url}: an object was expected, {type(answer).__name__} came")
        return cast("Mapping[str, JsonValue]", answer)

    def _ask_list(self, operation: Operation, model: type[ReplyT]) -> tuple[ReplyT, ...]:
        answer = self._connection.ask(operation).body
        if not isinstance(answer, list):
            raise BadReplyError(f"{operation} at {self.url}: a list was expected, {type(answer).__name__} came")
        return read_list(model, cast("object", answer))


def _with(request: RequestT, fields: Mapping[str, object]) -> RequestT:
    return request.replace(**fields) if fields else request
