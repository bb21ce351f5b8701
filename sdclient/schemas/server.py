"""What servers tell about themselves: progress, models, samplers, upscalers. Read leniently, never strictly.

A value that is missing or of another type than expected is None; a key that is not known here is kept
(``model_extra``). So a newer server never breaks an older client.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, ValidationError, field_validator

from sdclient.errors import BadReplyError

if TYPE_CHECKING:
    from typing_extensions import Self

ReplyT = TypeVar("ReplyT", bound="ReplyModel")


class ReplyModel(BaseModel):
    """Base of everything read from a server: open, frozen, and silent about wrong types."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=(), populate_by_name=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _none_if_wrong(cls, value: object, handler: Callable[[object], object]) -> object:
        try:
            result = handler(value)
        except ValidationError:
            return None
        return None if isinstance(result, float) and not math.isfinite(result) else result

    @classmethod
    def read(cls, body: object) -> Self:
        """Read one object of a reply.

        Raises:
            BadReplyError: If ``body`` is no JSON object, or has a key that is no text.
        """
        if not isinstance(body, dict):
            raise BadReplyError(f"{cls.__name__}: the reply is a JSON {type(body).__name__}, not an object", 200)
        try:
            return cls.model_validate(body)
        except ValidationError:
            # Values that are wrong are None; only a name of half a character (a lone surrogate) comes here.
            raise BadReplyError(
                f"{cls.__name__}: the reply has a key that is no text; look at the server", 200
            ) from None


class Progress(ReplyModel):
    """What a server is doing right now, whoever asked for it."""

    fraction: float | None = Field(default=None, validation_alias=AliasChoices("progress", "fraction"))
    """How much is done, 0 to 1; some servers reach 1 before the reply is sent."""
    eta_s: float | None = Field(default=None, validation_alias=AliasChoices("eta_relative", "eta_s"))
    """Seconds left, as the server guesses."""
    job: str | None = Field(default=None, validation_alias=AliasPath("state", "job"))
    """The running job's name; empty when idle."""
    job_id: str | None = Field(default=None, validation_alias=AliasChoices("id", "job_id"))
    """The running job's own name, as the server gave it; SD.Next alone tells it."""
    job_no: int | None = Field(default=None, validation_alias=AliasPath("state", "job_no"))
    """Which part of the job runs, from 0."""
    job_count: int | None = Field(default=None, validation_alias=AliasPath("state", "job_count"))
    """Parts of the job; 0 when idle, -1 while that is being worked out."""
    step: int | None = Field(default=None, validation_alias=AliasPath("state", "sampling_step"))
    """The step being drawn."""
    steps: int | None = Field(default=None, validation_alias=AliasPath("state", "sampling_steps"))
    """Steps of this part."""
    interrupted: bool | None = Field(default=None, validation_alias=AliasPath("state", "interrupted"))
    """Whether somebody asked to stop."""
    skipped: bool | None = Field(default=None, validation_alias=AliasPath("state", "skipped"))
    """Whether somebody asked to leave out the rest of an image."""
    current_image: str | None = Field(default=None, repr=False)
    """A preview as base64, where the server makes them."""
    text: str | None = Field(default=None, validation_alias=AliasChoices("textinfo", "text"))
    """What the server says to people."""

    @field_validator("fraction", mode="after")
    @classmethod
    def _within_bounds(cls, value: float | None) -> float | None:
        return None if value is None else min(max(value, 0.0), 1.0)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs, as far as the server tells."""
        return not self.job and not self.job_count


class ModelInfo(ReplyModel):
    """An installed checkpoint."""

    title: str | None = None
    """Name with its short hash in brackets."""
    model_name: str | None = None
    """Name without ending and hash."""
    hash: str | None = None
    """The short hash; some servers give a made-up one."""
    sha256: str | None = None
    """The whole hash, where the server has worked it out."""
    filename: str | None = None
    """Where it lies on the server."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it answers to, the title first."""
        file = (self.filename or "").replace("\\", "/").rsplit("/", 1)[-1]
        return tuple(dict.fromkeys(name for name in (self.title, self.model_name, file) if name))


class VaeInfo(ReplyModel):
    """An installed VAE."""

    model_name: str | None = None
    """Its file's name."""
    filename: str | None = None
    """Where it lies on the server."""


class SamplerInfo(ReplyModel):
    """A sampler."""

    name: str | None = None
    """The name that requests take."""
    aliases: tuple[str, ...] | None = None
    """Other names, which requests mostly do not take."""


class SchedulerInfo(ReplyModel):
    """A noise schedule."""

    name: str | None = None
    """Its short name, such as ``karras``."""
    label: str | None = None
    """Its label, such as ``Karras``."""


class UpscalerInfo(ReplyModel):
    """An upscaler."""

    name: str | None = None
    """The name that requests take."""
    model_name: str | None = None
    """The network's name, where it is one."""
    scale: float | None = None
    """The network's own factor."""


class LoraInfo(ReplyModel):
    """An installed LoRA."""

    name: str | None = None
    """The name that a prompt tag takes."""
    alias: str | None = None
    """The name in its own metadata."""
    path: str | None = None
    """Where it lies on the server."""


class ScriptInfo(ReplyModel):
    """A script and its arguments in order."""

    name: str | None = None
    """Its title in lower case."""
    is_alwayson: bool | None = None
    """Whether it goes into ``alwayson_scripts``."""
    is_img2img: bool | None = None
    """Whether it belongs to img2img."""
    args: tuple[dict[str, object], ...] | None = None
    """Label, default and bounds of each argument."""


def read_list(cls: type[ReplyT], body: object) -> tuple[ReplyT, ...]:
    """Read a list of objects; entries that are no objects are left out.

    Raises:
        BadReplyError: If ``body`` is no list.
    """
    if not isinstance(body, list):
        raise BadReplyError(f"{cls.__name__}: the reply is a JSON {type(body).__name__}, not a list", 200)
    items = [cast("dict[str, object]", item) for item in cast("list[object]", body) if isinstance(item, dict)]
    return tuple(cls.read(item) for item in items)


def script_titles(body: object) -> tuple[str, ...] | None:
    """Read the lower-case titles of installed scripts; None where ``body`` is no object of lists."""
    if not isinstance(body, dict):
        return None
    groups = [
        cast("list[object]", group) for group in cast("dict[str, object]", body).values() if isinstance(group, list)
    ]
    titles = (title for group in groups for title in group if isinstance(title, str) and title)
    return tuple(dict.fromkeys(title.casefold() for title in titles))


def argument_counts(body: object) -> dict[str, frozenset[int]]:
    """Read how many arguments each script takes, by its lower-case title; one may differ between its two places."""
    found: dict[str, frozenset[int]] = {}
    for script in read_list(ScriptInfo, cast("object", body)) if isinstance(body, list) else ():
        if script.name and script.args:
            found[script.name.casefold()] = found.get(script.name.casefold(), frozenset()) | {len(script.args)}
    return found
