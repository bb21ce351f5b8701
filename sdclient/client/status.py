"""What an HTTP status means: the one place where replies become errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import cast

from sdclient.dialects.base import Dialect, ErrorWords
from sdclient.errors import (
    AuthenticationError,
    CodecError,
    MissingRouteError,
    OverloadError,
    RejectedError,
    ServerBusyError,
    ServerError,
    ServerFaultError,
    WrongServerError,
)
from sdclient.transport import HttpReply, UnusableJsonError, safe_url

_KEPT_CHARS = 4000
_SHOWN_CHARS = 300
_START_BYTES = 60
_MAX_RETRY_AFTER_S = 1e6
LATE_REJECTION_S = 20.0
"""A rejection that took this long is no rejection: the server accepted the request and failed at it."""

# Unverified [login-words]: whatever the words are, the status tells.
_WANTS_LOGIN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
# Unverified [sdcpp-not-found]: which of these a program chooses does not matter.
_NO_SUCH_ROUTE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

_GIVE_CREDENTIALS = (
    "give user and password: in sdclient.toml (username and password_env), or in the address (http://user:…@host)"
)

# What helps, by words that the servers use; the first that fits is told.
_HINTS: Mapping[re.Pattern[str], str] = {
    re.compile(r"unrecognized keys", re.IGNORECASE): "the app is older or newer than this sdclient; update either",
    re.compile(r"(unrecognized|missing) model|model .{0,80} not found", re.IGNORECASE): (
        "check the name, and that the model is downloaded on that machine"
    ),
    re.compile(r"missing file.{0,20}(restoreformer|gfpgan|codeformer)", re.IGNORECASE): (
        "restore_faces needs it: download it in the app, or leave restore_faces out of the request"
    ),
    re.compile(r"missing file", re.IGNORECASE): "download that file in the app, or leave it out of the request",
    re.compile(
        r"invalid encoded image|not a valid image", re.IGNORECASE
    ): "the server cannot read the image it was sent; save it as PNG",
    re.compile(r"script '.{0,80}' not found", re.IGNORECASE): (
        "the extension is not installed on that server; install it, or leave that part out"
    ),
}
_NO_ROUTE = "update the server, or check that the address is the right one and its API switched on"
_ASK_DOCTOR = "look at the server's own log; `sdclient doctor` says what it has"


def judge_status(reply: HttpReply, *, what: str, dialect: Dialect | None = None, has_credentials: bool = False) -> None:
    """Raise the error that a reply's status stands for; return on success.

    Args:
        reply: The reply.
        what: Method and address, for the message.
        dialect: Who answers, to find the server's own words.
        has_credentials: Whether user and password were sent.

    Raises:
        ServerError: The subclass that says who must act.
    """
    if HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    body = reply.json_or_none()
    text = reply.body[:_KEPT_CHARS].decode("utf-8", "replace")
    words = (
        dialect.read_error(reply.status, body if body is not None else text) if dialect else _plain_words(body, text)
    )
    said = f": {shown_words(words.text)}" if words.text else ""
    if reply.status in _WANTS_LOGIN:
        todo = "check user and password" if has_credentials else _GIVE_CREDENTIALS
        raise AuthenticationError(
            f"{what}: {reply.status}, the server wants other credentials{said}; {todo}", reply.status, text
        )
    if reply.status < HTTPStatus.BAD_REQUEST:
        raise _redirected(reply, what, text)
    raise _error(reply, what, words, said, text)


def _redirected(reply: HttpReply, what: str, text: str) -> WrongServerError:
    # The target is the server's word: it may hold a user part or a token, and goes into logs.
    target = safe_url(reply.headers.get("location", "")) or "elsewhere"
    return WrongServerError(
        f"{what}: {reply.status}, redirects to {shown_words(target)}; redirects are not followed, give that address",
        reply.status,
        text,
    )


def _error(reply: HttpReply, what: str, words: ErrorWords, said: str, text: str) -> ServerError:
    status = reply.status
    if status in _NO_SUCH_ROUTE and (what.startswith("GET ") or _is_missing_route(status, words)):
        return MissingRouteError(f"{what}: {status}, this server does not have it{said}; {_NO_ROUTE}", status, text)
    if status in _BUSY:
        wait_s = _retry_after_s(reply)
        when = "later" if wait_s is None else f"in {wait_s:g} s"
        return ServerBusyError(f"{what}: {status}, busy{said}; try again {when}", status, text, None, wait_s)
    if words.is_overload:
        return OverloadError(
            f"{what}: {status}, the server ran out of memory or drew garbage{said}; "
            "ask for a smaller image or smaller tiles",
            status,
            text,
            words.field,
        )
    hint = next((hint for pattern, hint in _HINTS.items() if pattern.search(words.text)), "")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.elapsed_s > LATE_REJECTION_S:
        return ServerFaultError(
            f"{what}: {status} after {reply.elapsed_s:.0f} s, the server failed{said}; {hint or 'look at its log'}",
            status,
            text,
            words.field,
        )
    at = f" ({words.field})" if words.field else ""
    hint = hint or (f"change {words.field}, or leave it out" if words.field else _ASK_DOCTOR)
    message = f"{what}: {status}, refused{at}{said or ' without a reason'}; {hint}"
    return RejectedError(message, status, text, words.field)


def _is_missing_route(status: int, words: ErrorWords) -> bool:
    # A1111 answers 404 to a POST without its init image too; those say more than the framework's two words. What
    # a GET asks for is the route itself.
    # Unverified [not-found-body]: the two words are the framework's, and any page does as well.
    plain = words.text.strip().lower()
    return status != HTTPStatus.NOT_FOUND or plain in ("", "not found") or plain.startswith(("<", "404"))


def _plain_words(body: object, text: str) -> ErrorWords:
    if isinstance(body, dict):
        values = cast("dict[str, object]", body)
        detail = values.get("detail", values.get("error", ""))
        return ErrorWords(detail if isinstance(detail, str) else "")
    return ErrorWords("" if "<" in text[:200] else text.strip())


def shown_words(text: str) -> str:
    """Return a server's words in one printable line, cut short, for a message."""
    flat = " ".join(text.split())
    flat = "".join(character if character.isprintable() else " " for character in flat)
    return flat if len(flat) <= _SHOWN_CHARS else flat[: _SHOWN_CHARS - 1] + "…"


def _retry_after_s(reply: HttpReply) -> float | None:
    try:
        seconds = float(reply.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < _MAX_RETRY_AFTER_S else None


def not_wanted(reply: HttpReply, wanted: str) -> str:
    """Say what a reply's body is that is not what was wanted, and how it begins.

    Args:
        reply: The reply, without our credentials.
        wanted: What was wanted.
    """
    start = " ".join(reply.body[:_START_BYTES].decode("utf-8", "replace").split())
    begins = f"it begins {start!r}" if start else "it is empty"
    try:
        reply.json()
    except UnusableJsonError as exc:
        return f"{exc} ({begins})"
    except CodecError:
        pass
    return f"no {wanted} ({begins})"
