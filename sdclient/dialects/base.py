"""What a dialect is: it compiles a request into calls, names what gets lost, and reads the answers.

A dialect is a plain object without state or sockets. What it must know of a particular server
(which keys it takes, what is installed) comes in as ``ServerFacts``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from pydantic import JsonValue

if TYPE_CHECKING:
    from sdclient.schemas.generation import Img2Img, Txt2Img

TASK_KEY = "force_task_id"
"""The key of a drawing call under which a server that tells progress by it takes the call's name."""

LossKind: TypeAlias = Literal["dropped", "approximated", "replaced", "inherited", "refused"]
Severity: TypeAlias = Literal["note", "warning", "error"]
Operation: TypeAlias = Literal[
    "txt2img",
    "img2img",
    "extra_single_image",
    "png_info",
    "options",
    "set_options",
    "progress",
    "interrupt",
    "skip",
    "models",
    "vaes",
    "samplers",
    "schedulers",
    "upscalers",
    "latent_upscale_modes",
    "loras",
    "styles",
    "scripts",
    "script_info",
    "memory",
    "controlnet_models",
    "controlnet_modules",
]


@dataclass(frozen=True, slots=True)
class Route:
    """Method and path of one operation, the path from the server's base address."""

    method: Literal["GET", "POST"]
    path: str


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing of a request that this server does not do as asked.

    Attributes:
        field: The request field, dotted (``hires.upscaler``, ``controls[0].module``).
        kind: What becomes of it. ``inherited``: the server's own current setting is used.
        severity: ``error`` refuses before sending, ``warning`` changes the image, ``note`` hardly does.
        message: One sentence: what is asked, what happens instead, what to do.
    """

    field: str
    kind: LossKind
    severity: Severity
    message: str


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call with its JSON body, images inside as base64."""

    route: Route
    body: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A call made afterwards for each image, from the bytes in hand; retried alone.

    Attributes:
        name: What it does, such as ``enlarge``.
        route: Where it goes.
        body: The body without the image.
        image_key: The key of the body that takes the image as base64.
        reply_key: The key of the reply that holds the new image as base64.
        scale: Size of the result relative to the image.
    """

    name: str
    route: Route
    body: Mapping[str, JsonValue]
    image_key: str
    reply_key: str
    scale: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What a good reply to a call must hold.

    Attributes:
        images: How many images; None where this server may give another number.
        size: Width and height in pixels of each (before any follow-up); None where unknown.
    """

    images: int | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """A request in a dialect's own words.

    Attributes:
        call: The call that makes the images.
        losses: What this server does not do as asked, worst first.
        then: Calls made for each image afterwards.
        expected: What the reply must hold to be believed.
        asked: Settings by the names used in ``ReadReply.applied``, to compare with what was applied.
    """

    call: Call
    losses: tuple[Loss, ...] = ()
    then: tuple[FollowUp, ...] = ()
    expected: Expected = Expected()
    asked: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is known of one server; None means not known, which is not the same as none.

    Attributes:
        dialect: The dialect's name.
        version: The program's version, where it shows one.
        options: The body of ``GET options``; on Draw Things its keys are the keys that may be sent.
        models: Installed models, by every name they answer to.
        samplers: Sampler names.
        schedulers: Scheduler names and labels; empty where the server has no scheduler field.
        upscalers: Upscaler names.
        scripts: Lower-case titles of installed scripts.
        controlnet_models: ControlNet models, as listed.
        loras: LoRAs, as a request must name them.
    """

    dialect: str
    version: str | None = None
    options: Mapping[str, JsonValue] | None = None
    models: tuple[str, ...] | None = None
    samplers: tuple[str, ...] | None = None
    schedulers: tuple[str, ...] | None = None
    upscalers: tuple[str, ...] | None = None
    scripts: tuple[str, ...] | None = None
    controlnet_models: tuple[str, ...] | None = None
    loras: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ReadReply:
    """A generation reply taken apart, nothing decoded yet.

    Attributes:
        images: The generated images as base64, in order; never a grid or a map.
        maps: Images that are no results, as base64: detected maps of ControlNet, masks, and what nobody asked for.
        grid: A grid of all images as base64, where the server put one first.
        seeds: The seed of each image, where the reply says; else empty.
        infotexts: The ``parameters`` text of each image, where the reply says; else empty.
        info: The reply's ``info`` as an object; empty where there is none.
        applied: Settings the reply says were used, by the names of ``Compiled.asked``.
    """

    images: tuple[str, ...]
    maps: tuple[str, ...] = ()
    grid: str | None = None
    seeds: tuple[int, ...] = ()
    infotexts: tuple[str, ...] = ()
    info: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    applied: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


@dataclass(frozen=True, slots=True)
class ErrorWords:
    """What an error reply says in the server's own words.

    Attributes:
        text: The server's sentence, cut short; empty where it said nothing.
        field: The request field it names, in our spelling where we know it.
        is_overload: The server ran out of memory or drew garbage, whatever the status says.
    """

    text: str
    field: str | None = None
    is_overload: bool = False


class Dialect(Protocol):
    """One server program's language."""

    name: str
    """Short name, as in payload overlays and on the command line."""
    title: str
    """Name for people."""
    overlay_names: tuple[str, ...]
    """Overlays of a payload that apply, in order (Forge takes A1111's, then its own)."""
    granularity_px: int
    """Sizes are multiples of this."""
    resizes_inits: bool
    """Whether the server brings an init image to the request's size as ``resize_mode`` says."""
    loras_by_path: bool
    """Whether a request names a LoRA by its path in the server's list."""
    vaes_by_file: bool
    """Whether the server finds a VAE by the name of the file it is asked for, whatever path is in front of it."""

    def route(self, operation: Operation) -> Route | None:
        """Return where an operation lives; None where this program does not have it."""
        ...

    def recognises(self, options: Mapping[str, JsonValue]) -> bool:
        """Tell from the body of ``GET options`` whether this dialect answers there."""
        ...

    def compile(self, request: Txt2Img | Img2Img, facts: ServerFacts) -> Compiled:
        """Turn a request (seed drawn, overlays merged) into calls.

        Raises:
            PayloadError: If a ``native`` key or value is not one of this dialect's.
        """
        ...

    def read_reply(self, body: object, compiled: Compiled) -> ReadReply:
        """Take a decoded success reply apart.

        Raises:
            BadReplyError: If there are no images where there should be, or the shape is wrong.
        """
        ...

    def read_error(self, status: int, body: object) -> ErrorWords:
        """Find the server's own words in a decoded error reply (or in its text)."""
        ...


def names_tasks(dialect: Dialect) -> bool:
    """Tell whether a drawing call carries a name there, by which its progress can be asked for."""
    return dialect.route("progress") is not None
