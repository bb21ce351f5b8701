"""What a dialect is handed and what it hands back: calls, replies, refusals."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sdclient.simulator.facts import JsonObject, JsonValue

__all__ = ["Call", "Dialect", "DroppedError", "Refusal", "Reply", "Setup", "json_reply"]


@dataclass(frozen=True, slots=True)
class Setup:
    """How a simulated server was set up by its owner.

    Attributes:
        models: Files of the installed models, the selected one first; None for the stock list.
        auth: User and password the server asks for, or None.
        seed: Seeds the server's own random choices, so that runs repeat.
        options: Server settings that differ from a fresh install.
        version: Which version of the program to play; "" for the newest known.
        prerendered: Paint one image per size and give it out again and again.
    """

    models: Sequence[str] | None = None
    auth: tuple[str, str] | None = None
    seed: int = 0
    options: Mapping[str, object] = field(default_factory=dict[str, object])
    version: str = ""
    prerendered: bool = False

    def choose_version(self, program: str, versions: Sequence[str]) -> str:
        """Give the version to play; the last of `versions` unless the owner named one.

        Raises:
            ValueError: If there is no such version of this program here.
        """
        if not self.version:
            return versions[-1]
        if self.version not in versions:
            known = ", ".join(versions)
            raise ValueError(f"simulator: no version {self.version!r} of {program}; choose one of {known}")
        return self.version


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request as it arrived.

    Attributes:
        method: Upper-case method.
        path: Path without the query.
        query: Last value of each query key.
        headers: Header values by lower-case name.
        raw: The body, as sent.
        arrived_s: When the last byte of the body was there, on the monotonic clock.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    arrived_s: float = field(default_factory=time.monotonic)
    # Bodies with images are megabytes, and both the dialect and the log want to look into them.
    _decoded: list[JsonValue] = field(default_factory=list["JsonValue"], repr=False, compare=False)

    def json(self, *, strict: bool = False) -> JsonValue:
        """Decode the body.

        Args:
            strict: Refuse NaN and infinities, which Python's decoder lets through.

        Raises:
            ValueError: If the body is not JSON in UTF-8.
        """
        if strict:
            document: JsonValue = json.loads(self.raw.decode("utf-8"), parse_constant=_refuse_constant)
            self._decoded[:] = [document]
        elif not self._decoded:
            document = json.loads(self.raw.decode("utf-8"))
            self._decoded[:] = [document]
        return self._decoded[0]


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer.

    Attributes:
        status: HTTP status code.
        payload: The body.
        content_type: Value of the Content-Type header.
        headers: Further headers.
    """

    status: int
    payload: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Refusal(Exception):  # noqa: N818 - it is an answer on its way out, not a fault of this program
    """Raised anywhere below a dialect to answer with an error at once.

    Args:
        reply: The answer to give.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.reply = reply


class DroppedError(Exception):
    """Raised anywhere below a dialect where the real program closes the connection without an answer."""


class Dialect(Protocol):
    """One server program: takes calls and gives replies, from many threads at once."""

    def answer(self, call: Call) -> Reply:
        """Answer one call; errors are answers too.

        Raises:
            DroppedError: Where the real program closes the connection without an answer.
        """
        ...

    def trouble(self, status: int, kind: str, message: str) -> Reply:
        """Give an error in the shape this program gives its errors.

        Args:
            status: HTTP status.
            kind: Class name of the exception, for programs that tell it.
            message: The text.
        """
        ...


def json_reply(value: JsonValue | JsonObject, status: int = 200) -> Reply:
    """Wrap `value` as a JSON answer."""
    return Reply(status, json.dumps(value, ensure_ascii=False).encode("utf-8"))


def _refuse_constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is not JSON")
