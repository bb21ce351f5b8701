"""One generation up to its reply: prepare (compile and encode), then execute (the only stage that holds the server).

The third stage, `finish`, checks the reply. The three are apart so that a batch can keep a server busy.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import cast

from pydantic import JsonValue

from sdclient.client.connection import Connection, encode_body, start_of
from sdclient.client.installed import compile_for
from sdclient.client.progress import Watcher, WatchPolicy, look_after, was_cut_short
from sdclient.dialects.base import TASK_KEY, Compiled, FollowUp, Loss, ReadReply, names_tasks
from sdclient.dialects.losses import add_losses, is_refused, refuse
from sdclient.errors import AnswerLostError, BadReplyError, CancelledError, DeadlineError, SDClientError, ServerError
from sdclient.images import FitBox
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.transport import CallLimits, CancelToken, HttpReply

log = logging.getLogger(__name__)

_MIB = 1024 * 1024
_FOLLOW_UP_TRIES = 3
_FOLLOW_UP_WAIT_S = 1.0
_MAX_WAIT_S = 30.0
_STALE_S = 5.0
# A1111 and its forks say a prompt in `info`, where it is JSON inside of JSON (up to four bytes for one), and again for
# each image: in a list of prompts, in a list of infotexts, and in the image itself.
_ECHOES = 4
_ECHOES_PER_IMAGE = 10


@dataclass(frozen=True, slots=True)
class PreparedGeneration:
    """A request compiled and encoded, ready to be sent.

    Attributes:
        request: The request as it will be recorded: seed drawn, overlays merged.
        compiled: In the server's own words.
        body: The encoded JSON.
        connection: Where it goes.
        limits: How long and how large the reply may be.
        task_id: The id that the server is told, where it tells progress by one; empty elsewhere.
        box: How to take padding off the result; None where nothing was added to the init image.
    """

    request: Txt2Img | Img2Img
    compiled: Compiled
    body: bytes = field(repr=False)
    connection: Connection
    limits: CallLimits
    task_id: str = ""
    box: FitBox | None = None


@dataclass(frozen=True, slots=True)
class RawGeneration:
    """What came back, nothing believed yet.

    Attributes:
        prepared: What was sent.
        reply: The reply to the call.
        read: The reply taken apart, where follow-up calls needed that already.
        enlarged: Results of the follow-up calls as base64, one per image.
        elapsed_s: Seconds the server was held.
        was_interrupted: Somebody was seen to stop the drawing half-way.
    """

    prepared: PreparedGeneration
    reply: HttpReply
    read: ReadReply | None
    enlarged: tuple[str, ...]
    elapsed_s: float
    was_interrupted: bool = False


def prepare(
    connection: Connection,
    request: Txt2Img | Img2Img,
    *,
    deadline_s: float | None = None,
    task_id: str | None = None,
    box: FitBox | None = None,
    losses: tuple[Loss, ...] = (),
    strict: bool = False,
) -> PreparedGeneration:
    """Compile and encode a request whose seed is drawn.

    Args:
        connection: The server.
        request: The request.
        deadline_s: Longest time it may take in all, in seconds.
        task_id: What to call this try towards the server; None draws a name.
        box: How to take padding off the result.
        losses: What was lost before, by fitting the init image.
        strict: Take every loss for one that refuses.

    Raises:
        LossError: If the server cannot do what is asked.
        PayloadError: If the request is not valid for this dialect.
    """
    dialect = connection.dialect
    request = request.for_dialect(*dialect.overlay_names)
    compiled = compile_for(connection, request)
    if is_refused(compiled.losses, strict=strict) and connection.forget_older(_STALE_S):
        # What is missing may have been installed since the server was asked.
        compiled = compile_for(connection, request)
    compiled = add_losses(compiled, losses)
    refuse(compiled.losses, where=f"{dialect.title} at {connection.address.base_url}", strict=strict)
    task = (task_id or f"sdclient-{secrets.token_hex(8)}") if names_tasks(dialect) else ""
    body = encode_body({**compiled.call.body, TASK_KEY: task} if task else compiled.call.body)
    limits = CallLimits(deadline_s=deadline_s, max_reply_bytes=_reply_limit(compiled, len(body)))
    return PreparedGeneration(request, compiled, body, connection, limits, task, box)


def _reply_limit(compiled: Compiled, sent_bytes: int) -> int:
    """Return the most bytes a sane reply can have: raw pixels as base64, one and a half times, and what is echoed."""
    expected = compiled.expected
    units = compiled.call.body.get("alwayson_scripts")
    images = (expected.images or 1) + 2 + (4 if units else 0)
    echoed = 2 * sent_bytes + _prompt_bytes(compiled.call.body) * (_ECHOES + _ECHOES_PER_IMAGE * images)
    if expected.size is None or expected.images is None:
        return CallLimits().max_reply_bytes + echoed
    raw = images * expected.size[0] * expected.size[1] * 4
    return int(raw * 4 / 3 * 1.5) + echoed + 16 * _MIB


def _prompt_bytes(value: JsonValue | Mapping[str, JsonValue]) -> int:
    """Return the bytes of all prompts of a body, those of hires fixes and of extensions with them."""
    if isinstance(value, list):
        return sum(_prompt_bytes(one) for one in value)
    if not isinstance(value, Mapping):
        return 0
    return sum(
        len(one.encode("utf-8", "replace")) if isinstance(one, str) and name.endswith("prompt") else _prompt_bytes(one)
        for name, one in value.items()
    )


def execute(
    prepared: PreparedGeneration,
    cancel: CancelToken | None = None,
    *,
    watch: WatchPolicy | None = None,
    sleep: Callable[[float], object] | None = None,
    on_sent: Callable[[], None] | None = None,
) -> RawGeneration:
    """Send a prepared request, wait for the whole reply, and make the follow-up calls.

    Args:
        prepared: The request.
        cancel: Ends the call from another thread. Where the server is drawing it and names it as ours, it is
            told to stop.
        watch: How to look after the call while it runs; None does not look.
        sleep: Waits between tries of a follow-up call; by default until the time is over or `cancel` is thrown.
        on_sent: Called once the last byte of the request is out.

    Raises:
        TransportError: If no whole reply came.
        ServerError: If a follow-up needs the reply and it is an error.
    """
    began_s = time.monotonic()
    compiled = prepared.compiled
    with _linked(cancel) as token:
        reply, was_interrupted = _send(prepared, token, watch, on_sent)
        if not compiled.then:
            elapsed_s = time.monotonic() - began_s
            return RawGeneration(prepared, reply, None, (), elapsed_s, was_interrupted)
        read = read_reply(prepared, reply)
        images = list(read.images)
        again = _Again(prepared, token, began_s, sleep or token.wait)
        for follow_up in compiled.then:
            images = [again.follow(follow_up, image) for image in images]
    return RawGeneration(prepared, reply, read, tuple(images), time.monotonic() - began_s, was_interrupted)


def read_reply(prepared: PreparedGeneration, reply: HttpReply) -> ReadReply:
    """Judge a reply's status, decode it and take it apart.

    Raises:
        ServerError: By its status, or if there are no images.
    """
    connection, route = prepared.connection, prepared.compiled.call.route
    answer = connection.decode(reply, route)
    try:
        return connection.dialect.read_reply(answer.body, prepared.compiled)
    except BadReplyError as exc:
        where = f"{route.method} {connection.address.url(route.path)}"
        words, field_name = ("", None) if _has_images(answer.body) else connection.words(reply)
        said = f"; it says: {words}" if words else ""
        raise BadReplyError(
            f"{where}: {exc}{said}", exc.status or reply.status, exc.body or start_of(reply), field_name
        ) from exc


def _has_images(body: object) -> bool:
    return isinstance(body, dict) and bool(cast("dict[str, object]", body).get("images"))


@contextmanager
def _linked(cancel: CancelToken | None) -> Generator[CancelToken, None, None]:
    """Give a token of our own that the caller's throws, too: a watcher must not throw the caller's."""
    token = CancelToken()
    unsubscribe = cancel.subscribe(token.cancel) if cancel is not None else None
    try:
        yield token
    finally:
        if unsubscribe is not None:
            unsubscribe()


def _send(
    prepared: PreparedGeneration,
    token: CancelToken,
    watch: WatchPolicy | None,
    tell_sent: Callable[[], None] | None,
) -> tuple[HttpReply, bool]:
    """Send the call once; returns the reply, and whether somebody was seen to interrupt or skip the drawing."""
    connection, compiled = prepared.connection, prepared.compiled
    sent: list[bool] = []
    watcher = Watcher(connection, prepared.task_id, watch, token) if watch is not None and prepared.task_id else None

    def on_sent() -> None:
        sent.append(True)
        if tell_sent is not None:
            tell_sent()
        if watcher is not None:
            watcher.start()

    if watcher is not None:
        watcher.look_before()
    try:
        reply = connection.send(
            compiled.call.route, prepared.body, limits=prepared.limits, cancel=token, on_sent=on_sent
        )
    except (AnswerLostError, CancelledError) as exc:
        if not sent:
            raise
        raise _explained(exc, prepared, is_stalled=watcher is not None and watcher.is_stalled) from exc
    except KeyboardInterrupt as exc:
        # Somebody at a terminal or in a notebook has had enough; without this the server would go on for nobody.
        if sent and prepared.task_id and (told := look_after(connection, prepared.task_id)):
            raise KeyboardInterrupt(told) from exc
        raise
    finally:
        if watcher is not None:
            watcher.stop()
    was_interrupted = watcher is not None and watcher.was_interrupted
    return reply, was_interrupted or _looked_back(prepared, reply, token)


def _looked_back(prepared: PreparedGeneration, reply: HttpReply, token: CancelToken) -> bool:
    """Tell whether the server says that the image was cut short; later the next request is out, and it has forgotten."""
    if not prepared.task_id or reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        return False
    return was_cut_short(prepared.connection, reply.elapsed_s, cancel=token)


def _explained(
    exc: AnswerLostError | CancelledError, prepared: PreparedGeneration, *, is_stalled: bool
) -> AnswerLostError | CancelledError:
    """Return the error with what became of the job on the server, having stopped it there if it still runs."""
    told = look_after(prepared.connection, prepared.task_id) if prepared.task_id else ""
    message = f"{exc}; {told}" if told else str(exc)
    if is_stalled:
        route = prepared.compiled.call.route
        where = f"{route.method} {prepared.connection.address.url(route.path)}"
        return DeadlineError(
            f"{where}: stuck, no step for a long time{f'; {told}' if told else ''}; look at the server"
        )
    return type(exc)(message)


@dataclass(frozen=True, slots=True)
class _Again:
    """Makes follow-up calls, again where one fails alone: the image in hand cost minutes, the call seconds."""

    prepared: PreparedGeneration
    token: CancelToken
    began_s: float
    sleep: Callable[[float], object]

    def follow(self, follow_up: FollowUp, image: str) -> str:
        """Return the image that a follow-up call makes of an image, both as base64."""
        for left in reversed(range(_FOLLOW_UP_TRIES)):
            try:
                return self._once(follow_up, image)
            except SDClientError as exc:  # noqa: PERF203 - three rounds, each of seconds
                if left == 0 or not exc.retryable:
                    raise self._failed(follow_up, exc, tries=_FOLLOW_UP_TRIES - left) from exc
                log.warning("%s, trying again: %s", follow_up.name, exc)
                asked_s = exc.retry_after_s if isinstance(exc, ServerError) else None
                self.sleep(min(asked_s or _FOLLOW_UP_WAIT_S, _MAX_WAIT_S))
        raise AssertionError("the last try returns or raises")

    def _once(self, follow_up: FollowUp, image: str) -> str:
        connection = self.prepared.connection
        body = encode_body({**follow_up.body, follow_up.image_key: image})
        reply = connection.send(follow_up.route, body, limits=self._limits(), cancel=self.token)
        answer = connection.decode(reply, follow_up.route).body
        result = cast("dict[str, JsonValue]", answer).get(follow_up.reply_key) if isinstance(answer, dict) else None
        if not isinstance(result, str) or not result:
            where = f"{follow_up.route.method} {connection.address.url(follow_up.route.path)}"
            raise BadReplyError(f"{where}: the reply holds no {follow_up.reply_key!r}", reply.status)
        return result

    def _limits(self) -> CallLimits:
        deadline_s = self.prepared.limits.deadline_s
        if deadline_s is None:
            return CallLimits()
        return replace(CallLimits(), deadline_s=max(1.0, deadline_s - (time.monotonic() - self.began_s)))

    def _failed(self, follow_up: FollowUp, exc: SDClientError, *, tries: int) -> SDClientError:
        """Return the error with the name of the stage, since its address alone does not say that an image was drawn."""
        note = f"the image was drawn, but to {follow_up.name} it failed {tries} times: " if tries > 1 else ""
        if not note:
            return exc
        if isinstance(exc, ServerError):
            return type(exc)(f"{note}{exc}", exc.status, exc.body, exc.field, exc.retry_after_s)
        return type(exc)(f"{note}{exc}")
