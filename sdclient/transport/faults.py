"""Foreign failures become ours: which error a failed call ends with, and its words."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from collections.abc import Iterator

import urllib3.exceptions

from sdclient.errors import (
    AnswerLostError,
    BadReplyError,
    CancelledError,
    DeadlineError,
    NotListeningError,
    NotSentError,
    SDClientError,
    WrongServerError,
)
from sdclient.transport.call import Call, Ended, Fault, Stage, WireFaultError

__all__ = ["cancelled_before", "translate"]

_MAY_HAVE_DRAWN = "the server may have done the work: look at its log before repeating"
_SHOWN_CHARACTERS = 120
_MIB = 1024 * 1024


def cancelled_before(label: str) -> CancelledError:
    """Return the error of a call whose token was thrown before anything was sent."""
    return CancelledError(f"{label}: cancelled before it was sent")


def translate(exc: BaseException, call: Call) -> SDClientError:
    """Return the error that says what a failure during `call` means.

    What counts is how far the call had come, not what the libraries in between made of the failure: until
    the connection stands nothing can have reached the server, from then on everything may have.

    Args:
        exc: What was raised.
        call: As it stood then.
    """
    causes = list(_causes(exc))
    if call.ended is Ended.CANCELLED:
        return _cancelled(call)
    if call.stage is Stage.CONNECTING:
        is_refused = any(isinstance(cause, ConnectionRefusedError) for cause in causes)
        kind = NotListeningError if is_refused and call.ended is not Ended.DEADLINE else NotSentError
        return kind(f"{call.label}: {_why_not_connected(causes, call)}")
    if call.ended is Ended.DEADLINE:
        return _past_deadline(call)
    if isinstance(exc, WireFaultError):
        return _reply_fault(exc, call)
    if call.stage is Stage.READING:
        return _lost_in_body(causes, call)
    return _lost_before_headers(causes, call)


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """Walk through what was wrapped in `exc`, outermost first, wherever the libraries keep it."""
    waiting, seen = [exc], set[int]()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner: list[object] = [*current.args, getattr(current, "reason", None), current.__cause__]
        waiting.extend(each for each in inner if isinstance(each, BaseException))


def _cancelled(call: Call) -> CancelledError:
    if call.stage is Stage.CONNECTING:
        return cancelled_before(call.label)
    return CancelledError(
        f"{call.label}: cancelled after {call.elapsed_s():.1f} s; the server may still be working on it"
    )


def _past_deadline(call: Call) -> DeadlineError:
    limit = f"{call.limits.deadline_s:g} s"
    # Where the watchdog ends a send, urllib3 goes on to look for an early answer, and so does the stage.
    if call.stage is Stage.SENDING or not call.sent_whole:
        return DeadlineError(f"{call.label}: the request was not taken in {limit}; the server is busy or hangs")
    if call.stage is Stage.WAITING:
        return DeadlineError(f"{call.label}: no answer in {limit}; {_MAY_HAVE_DRAWN}, or allow more time")
    return DeadlineError(
        f"{call.label}: no whole answer in {limit}, {_progress(call)}; allow more time or check the network"
    )


def _why_not_connected(causes: list[BaseException], call: Call) -> str:
    """Say why the connection never stood, and what to do."""
    if call.ended is Ended.DEADLINE:
        return _too_slow(call)
    for cause in causes:
        if known := _known_obstacle(cause):
            return known
    if any("timed out" in str(cause).lower() for cause in causes):
        return _too_slow(call)
    return f"no connection ({_reason(causes[-1])}); check the address and the network"


def _known_obstacle(cause: BaseException) -> str | None:
    """Name the obstacle to a connection that `cause` stands for, and what to do; None where it is not known."""
    if isinstance(cause, socket.gaierror):
        return "unknown host; check the spelling, or use its IP address"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"TLS certificate not trusted ({cause.verify_message}); give the path of its certificate as `verify`"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({_reason(cause)}); if the server has no TLS, write http:// instead of https://"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused; is the server running, its API switched on, and the port right?"
    if isinstance(cause, OSError) and cause.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
        return (
            f"no route to the host ({_reason(cause)}); is it on, in this network, and may this program use the network?"
        )
    return None


def _too_slow(call: Call) -> str:
    limit_s = min(call.limits.connect_timeout_s, call.limits.deadline_s or call.limits.connect_timeout_s)
    return f"no connection in {limit_s:g} s; is the machine on, the address right, the port open?"


def _lost_before_headers(causes: list[BaseException], call: Call) -> SDClientError:
    """Judge a failure between the first byte sent and the last byte of the headers."""
    if not call.sent_whole or call.stage is Stage.SENDING:
        return AnswerLostError(
            f"{call.label}: the connection broke while the request was being sent ({_reason(causes[-1])}); "
            "the server may have crashed, or refuse requests of this size: look at its log",
        )
    for cause in causes:
        if isinstance(cause, http.client.RemoteDisconnected):
            return AnswerLostError(
                f"{call.label}: the server closed the connection without answering; {_MAY_HAVE_DRAWN}"
            )
        if isinstance(cause, OSError) and not _is_wrapper(cause):
            return AnswerLostError(
                f"{call.label}: the connection broke before the answer ({_reason(cause)}); {_MAY_HAVE_DRAWN}"
            )
        if isinstance(cause, http.client.BadStatusLine):
            return WrongServerError(
                f"{call.label}: the answer has no HTTP status line ({_reason(cause)}); is the port right?"
            )
    return _broken_headers(causes[-1], call)


def _broken_headers(cause: BaseException, call: Call) -> BadReplyError:
    return BadReplyError(
        f"{call.label}: broken headers in the answer ({_reason(cause)}); {_MAY_HAVE_DRAWN}", call.status
    )


def _lost_in_body(causes: list[BaseException], call: Call) -> SDClientError:
    """Judge a failure after the headers."""
    for cause in causes:
        # The system's own ETIMEDOUT, raised when keep-alive finds the other side dead, carries its number.
        if isinstance(cause, TimeoutError) and cause.errno is None and not _is_wrapper(cause):
            limit_s = call.limits.silence_timeout_s or 0.0
            return DeadlineError(
                f"{call.label}: silent for {limit_s:g} s inside the answer, {_progress(call)}; check the network"
            )
        if isinstance(cause, http.client.IncompleteRead):
            return _body_cut(call)
        if isinstance(cause, OSError) and not _is_wrapper(cause):
            return AnswerLostError(
                f"{call.label}: the connection broke inside the answer ({_reason(cause)}), {_progress(call)}; {_MAY_HAVE_DRAWN}"
            )
        if isinstance(cause, urllib3.exceptions.InvalidHeader):
            return _broken_headers(cause, call)
    # What is left are the parser's complaints about chunk sizes: cut there, or nonsense; lost either way.
    return _body_cut(call)


def _reply_fault(exc: WireFaultError, call: Call) -> SDClientError:
    """Give words to a fault that this package found."""
    match exc.fault:
        case Fault.NOT_HTTP:
            return WrongServerError(
                f"{call.label}: the answer is not HTTP, it starts {exc.detail}; is the port right, and is it http or https?"
            )
        case Fault.HEADERS_CUT:
            return AnswerLostError(f"{call.label}: the connection ended inside the answer's headers; {_MAY_HAVE_DRAWN}")
        case Fault.HEADERS_TOO_LONG:
            limit_kib = call.limits.max_header_bytes / 1024
            return BadReplyError(
                f"{call.label}: more than {limit_kib:g} KiB of headers; something else answers at this address",
                call.status,
            )
        case Fault.BODY_CUT:
            return _body_cut(call)
        case Fault.BODY_TOO_LONG:
            limit_mib = call.limits.max_reply_bytes / _MIB
            seen = f" ({exc.detail})" if exc.detail else ""
            return BadReplyError(
                f"{call.label}: answer larger than {limit_mib:g} MiB{seen}, too much for what was asked; "
                "look at what answers there, or ask for less at once",
                call.status,
            )
        case Fault.BAD_ENCODING:
            return BadReplyError(
                f"{call.label}: the answer cannot be decoded ({exc.detail}); a proxy in between may be the cause",
                call.status,
            )


def _body_cut(call: Call) -> AnswerLostError:
    return AnswerLostError(f"{call.label}: the answer was cut off, {_progress(call)}; {_MAY_HAVE_DRAWN}")


def _progress(call: Call) -> str:
    """Say how much of the body had come."""
    length = call.announced_bytes
    return f"{call.body_bytes} bytes in" if length is None else f"{call.body_bytes} of {length} bytes in"


def _is_wrapper(exc: BaseException) -> bool:
    """Say whether an OSError only carries another exception (as those of requests do)."""
    return not type(exc).__module__.startswith(("builtins", "socket", "ssl"))


def _reason(exc: BaseException) -> str:
    """Return the shortest text that names the cause, cut short."""
    text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return str(text)[:_SHOWN_CHARACTERS]
