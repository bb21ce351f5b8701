"""A network in memory: what a test's transports have in common, so that each says only how it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sdclient.transport import CallLimits, CancelToken, HttpReply


@dataclass(frozen=True)
class Sent:
    """One call as the client made it."""

    method: str
    url: str
    body: bytes | None
    limits: CallLimits | None
    on_sent: Callable[[], None] | None

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.url.rpartition("/")[2]


class StandIn:
    """Keeps what was sent; `answer` says what comes back."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def answer(self, call: Sent) -> HttpReply:
        """Return the reply to a call, or raise what the network would."""
        raise NotImplementedError

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limits: CallLimits | None = None,
        cancel: CancelToken | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> HttpReply:
        """Be a `Transport`."""
        del headers, cancel
        call = Sent(method, url, body, limits, on_sent)
        self.sent.append(call)
        return self.answer(call)


def reply(body: object, status: int = 200, elapsed_s: float = 0.1) -> HttpReply:
    """Return a reply; what is not bytes is sent as JSON."""
    return HttpReply(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode(), elapsed_s)
