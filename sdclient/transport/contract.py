"""What a transport takes and gives: limits, settings, the reply, and the protocol itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Protocol

from sdclient.errors import CodecError, ConfigurationError
from sdclient.transport.cancel import CancelToken
from sdclient.transport.decoding import decode_json

__all__ = ["CallLimits", "HttpReply", "HttpSettings", "Transport"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long one call may take and how much it may read.

    Attributes:
        connect_timeout_s: Seconds for each address to accept the connection and for the TLS handshake.
        silence_timeout_s: Seconds without a byte once the reply's body has begun; None waits as long as the
            connection lives. Before the first byte of the body no silence is too long: a bake may take minutes.
        deadline_s: Seconds for the whole call, connecting included; None sets no such limit.
        max_reply_bytes: Largest body taken, counted after decompression.
        max_header_bytes: Largest header block taken, give or take one read.

    Raises:
        ConfigurationError: If a number is not finite and above zero.
    """

    connect_timeout_s: float = 5.0
    silence_timeout_s: float | None = 60.0
    deadline_s: float | None = None
    max_reply_bytes: int = 512 * _MIB
    max_header_bytes: int = _MIB // 4

    def __post_init__(self) -> None:
        for name in (each.name for each in fields(CallLimits)):
            value: object = getattr(self, name)
            may_be_none = name in {"silence_timeout_s", "deadline_s"}
            if not (_is_positive(value) or (value is None and may_be_none)):
                raise ConfigurationError(f"{type(self).__name__}.{name}: {value!r:.40} is no finite number above zero")


def _is_positive(value: object) -> bool:
    """Say whether `value` is a finite number above zero; True and False are no numbers here."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


@dataclass(frozen=True, slots=True)
class HttpSettings(CallLimits):
    """The limits of every call of a transport, and whom it trusts.

    Attributes:
        verify: True checks TLS certificates against the public authorities, a path against that file or
            folder of certificates, False not at all (for a server on a trusted wire only).
        trust_env: True takes proxies and the certificate bundle from the environment. The user's netrc file
            is never read.
    """

    verify: bool | str = True
    trust_env: bool = False


@dataclass(frozen=True, slots=True)
class HttpReply:
    """One whole reply. Its status is not judged here.

    Attributes:
        status: 100 to 999, as sent; redirects are not followed.
        headers: Lower-case names; a repeated header's values are joined with a comma.
        body: Decompressed. Left out of the `repr`.
        elapsed_s: Seconds from the start of the call to the last byte.
        length_known: False where nothing in the reply said how long it is (no length, no chunks, no
            compression): such a body may have been cut without a trace, and only its content can tell.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    elapsed_s: float
    length_known: bool = True

    @property
    def is_simulated(self) -> bool:
        """Whether our simulator sent it: it says so in every reply, so that its images are never taken for real ones."""
        return self.headers.get("server", "").startswith("sdclient-simulator")

    def json(self) -> object:
        """Return the body as JSON.

        Raises:
            CodecError: If it is no strict JSON (see `decode_json`).
        """
        return decode_json(self.body)

    def json_or_none(self) -> object:
        """Return the body as JSON, None where it is none (an error page, an empty body)."""
        try:
            return decode_json(self.body)
        except CodecError:
            return None


class Transport(Protocol):
    """Sends one request and returns one reply: the seam between sdclient and the network."""

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
        """Send one request, exactly once, and wait for the whole reply.

        Args:
            method: `GET`, `POST`, ...
            url: Full URL without a user part.
            body: Sent as it is, with its length; as JSON where `headers` name no other content type.
            headers: In addition to the transport's own, which they replace by name.
            limits: In place of the transport's settings, all of them, for this call.
            cancel: Ends the call from another thread: at once, or as soon as the connection stands or fails
                where it is still being made.
            on_sent: Called in this thread once the last byte of the request was handed to the system;
                short, since the reply is not read meanwhile. What it raises is logged and dropped.

        Returns:
            The reply, whatever its status.

        Raises:
            ConfigurationError: If the URL, a header or a certificate path is malformed; nothing was sent.
            NotSentError: If the server was never reached.
            AnswerLostError: If the request went out, wholly or in part, and no whole reply came back.
            DeadlineError: If that is because a limit of time ran out.
            CancelledError: If `cancel` was thrown before the whole reply was there.
            WrongServerError: If the answer is not HTTP.
            BadReplyError: If the reply breaks HTTP or exceeds the limits of size.
        """
        ...
