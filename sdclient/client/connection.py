"""JSON to and from one server: its address, its dialect, and the routes it has."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import cast

from pydantic import JsonValue

from sdclient.client.cleaning import clean_json
from sdclient.client.lists import names_in
from sdclient.client.presence import Presence
from sdclient.client.status import judge_status, not_wanted, shown_words
from sdclient.dialects.base import Dialect, Operation, Route, ServerFacts
from sdclient.errors import (
    BadReplyError,
    CancelledError,
    CodecError,
    DeadlineError,
    MissingRouteError,
    NotSentError,
    TransportError,
    WrongServerError,
)
from sdclient.schemas.server import argument_counts, script_titles
from sdclient.transport import CallLimits, CancelToken, HttpReply, ServerAddress, Transport, ended_by, token_of_block

log = logging.getLogger(__name__)

_SHORTEST_SECRET, _KEPT_BYTES = 4, 4000
# How a program answers keys, or a route, that only another one has.
_AS_ANOTHER = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.UNPROCESSABLE_ENTITY})
OPTIONS_PATH = "/sdapi/v1/options"
QUICK = CallLimits(deadline_s=20.0, max_reply_bytes=64 * 1024 * 1024)
"""Limits of calls that ask and do not draw."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded JSON reply.

    Attributes:
        body: What it says.
        elapsed_s: Seconds it took.
    """

    body: object
    elapsed_s: float


class Connection:
    """Talks JSON to one server.

    Args:
        address: Where it is.
        transport: What carries the bytes.
        dialect: Its dialect by name; None finds out at the first call.
        clock: Tells the time in seconds.
        doubt: What may be wrong with the address, for the message when nobody can be reached there.
    """

    def __init__(
        self,
        address: ServerAddress,
        transport: Transport,
        dialect: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        doubt: str = "",
    ) -> None:
        self.address = address
        self._doubt = doubt
        self._transport = transport
        self._clock = clock
        self._asked_s = 0.0
        self._presence = Presence(self._look, address.base_url, _named(dialect) if dialect else None, clock)
        self._facts: ServerFacts | None = None
        self._names: dict[Operation, tuple[str, ...] | None] = {}
        self._script_args: Mapping[str, frozenset[int]] | None = None
        self._lock = threading.RLock()
        self.is_simulated = False
        """Whether the last reply came from our simulator; False before the first."""

    @property
    def dialect(self) -> Dialect:
        """Who answers there.

        Raises:
            TransportError: If nobody does.
            WrongServerError: If it is not a Stable Diffusion server.
            AuthenticationError: If it wants credentials.
        """
        return self._presence.dialect

    @property
    def facts(self) -> ServerFacts:
        """What is known of this server; asked for once."""
        with self._lock:
            if self._facts is None:
                self._facts = self._ask_facts()
                self._asked_s = self._clock()
            return self._facts

    @property
    def taken_for(self) -> Dialect | None:
        """The program that was seen to answer where somebody wants it spoken to as another; else None."""
        return self._presence.taken_for

    @contextmanager
    def drawing(self, cancel: CancelToken | None) -> Generator[None, None, None]:
        """Let a token end all calls of this block, after a look who answers where that is in doubt."""
        with ended_by(cancel):
            self.look_again()
            yield

    def look_again(self) -> None:
        """Ask again who answers where a call failed or nothing was heard for a while; another is spoken to as it wants.

        Raises:
            TransportError: If nobody does.
            WrongServerError: If it is not a Stable Diffusion server.
            AuthenticationError: If it wants other credentials.
            ConfigurationError: If it is spoken to as somebody said, and is plainly another.
        """
        is_old, before = self._presence.look_again()
        if is_old:
            self.forget()
        if before is not None:
            log.warning("%s: %s answers there now, it was %s", self.address.base_url, self.dialect.title, before.title)

    def forget(self) -> None:
        """Ask again at the next need: the server may have changed."""
        with self._lock:
            self._facts = self._script_args = None
            self._names.clear()

    def ask_who(self) -> Dialect:
        """Ask anew who answers there, and forget what was known of it; one whose dialect was named keeps that.

        Raises:
            TransportError: If nobody does.
            WrongServerError: If it is not a Stable Diffusion server.
            AuthenticationError: If it wants other credentials.
        """
        with self._lock:
            self.forget()
            if self._presence.spoken is not None:
                self.read_options()
                return self.dialect
            return self._presence.detected().dialect

    def forget_older(self, age_s: float) -> bool:
        """Forget what was asked more than ``age_s`` seconds ago; returns whether there was such."""
        with self._lock:
            is_old = self._facts is not None and self._clock() - self._asked_s > age_s
            if is_old:
                self.forget()
            return is_old

    def names(self, operation: Operation, *keys: str) -> tuple[str, ...] | None:
        """Return the names in a list this server offers, asked for once; None where it has none or will not say.

        Args:
            operation: What is listed.
            keys: The keys of an entry that hold its names.

        Raises:
            TransportError: If no answer came.
        """
        with self._lock:
            if operation not in self._names:
                self._names[operation] = self._ask_names(operation, keys)
            return self._names[operation]

    @property
    def script_args(self) -> Mapping[str, frozenset[int]]:
        """How many arguments each script takes, by its lower-case title; asked for once, empty where it is not told."""
        with self._lock:
            if self._script_args is None:
                self._script_args = argument_counts(self._list("script_info"))
            return self._script_args

    def read_options(self) -> Mapping[str, JsonValue]:
        """Return the body of ``GET options``, which every server of this family has.

        Raises:
            TransportError: If no answer came.
            WrongServerError: If what answers is no Stable Diffusion server.
            AuthenticationError: If it wants other credentials.
        """
        what = f"GET {self.address.url(OPTIONS_PATH)}"
        try:
            reply = self.send(Route("GET", OPTIONS_PATH), None, limits=QUICK)
        except DeadlineError as exc:
            raise DeadlineError(
                f"{what}: no answer in {QUICK.deadline_s:g} s; the server hangs, or is loading a model or drawing "
                "and comes to nothing else: look at it, or try later"
            ) from exc
        shown = self._scrubbed(reply)
        try:
            judge_status(shown, what=what, has_credentials=self.address.credentials is not None)
        except MissingRouteError as exc:
            raise WrongServerError(
                f"{what}: 404; something answers at this address, but not a Stable Diffusion server with its API on. "
                "Is the port right? AUTOMATIC1111 and Forge need --api",
                404,
                exc.body,
            ) from exc
        # As it came: a password that is a common word would blot out the keys by which programs are told apart.
        body = reply.json_or_none()
        if not isinstance(body, dict):
            raise WrongServerError(
                f"{what}: the answer is {not_wanted(shown, 'JSON object')}; this is not a Stable Diffusion server, "
                "or a page in front of it: check host and port",
                shown.status,
                start_of(shown),
            )
        return cast("Mapping[str, JsonValue]", clean_json(cast("object", body), reply.body))

    def route(self, operation: Operation) -> Route:
        """Return where an operation lives here.

        Raises:
            MissingRouteError: If this dialect does not have it.
        """
        route = self.dialect.route(operation)
        if route is None:
            raise MissingRouteError(
                f"{self.dialect.title} has no {operation.replace('_', ' ')}: its API does not offer it"
            )
        return route

    def ask(
        self,
        operation: Operation,
        body: Mapping[str, JsonValue] | None = None,
        *,
        limits: CallLimits = QUICK,
        cancel: CancelToken | None = None,
    ) -> Answer:
        """Make a call that asks or sets something; an empty reply is None.

        Raises:
            MissingRouteError: If this server does not have it.
            TransportError: If no whole answer came.
            ServerError: If the answer is an error or no JSON.
        """
        return self.ask_route(self.route(operation), body, limits=limits, cancel=cancel)

    def ask_route(
        self,
        route: Route,
        body: Mapping[str, JsonValue] | None = None,
        *,
        limits: CallLimits = QUICK,
        cancel: CancelToken | None = None,
    ) -> Answer:
        """Make a call by its route; see `ask`."""
        reply = self.send(route, None if body is None else encode_body(body), limits=limits, cancel=cancel)
        answer = self.decode(reply, route)
        return replace(answer, body=clean_json(answer.body, reply.body))

    def send(
        self,
        route: Route,
        body: bytes | None,
        *,
        limits: CallLimits | None = None,
        cancel: CancelToken | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> HttpReply:
        """Send one call, once, and return the reply as it came."""
        url = self.address.url(route.path)
        token = cancel or token_of_block()
        try:
            reply = self._transport.send(route.method, url, body=body, limits=limits, cancel=token, on_sent=on_sent)
        except TransportError as exc:
            if not isinstance(exc, DeadlineError | CancelledError):
                # Busy for too long, or not wanted any more: that says nothing of who is there.
                self._presence.note_failure()
            if self._doubt and isinstance(exc, NotSentError):
                raise NotSentError(f"{exc}; {self._doubt}") from exc
            raise
        self._presence.note_heard()
        self.is_simulated = reply.is_simulated
        return reply

    def decode(self, reply: HttpReply, route: Route) -> Answer:
        """Judge a reply's status and decode it.

        Raises:
            ServerError: By its status.
            BadReplyError: If it is no JSON.
        """
        what = f"{route.method} {self.address.url(route.path)}"
        if reply.status >= HTTPStatus.MULTIPLE_CHOICES:
            reply = self._scrubbed(reply)
            if route.method == "POST" and reply.status in _AS_ANOTHER:
                self._presence.note_failure()
        judge_status(reply, what=what, dialect=self.dialect, has_credentials=self.address.credentials is not None)
        if not reply.body.strip():
            return Answer(None, reply.elapsed_s)
        try:
            return Answer(reply.json(), reply.elapsed_s)
        except CodecError as exc:
            reply = self._scrubbed(reply)
            cut = "" if reply.length_known else "; the reply named no length and may have been cut"
            raise BadReplyError(
                f"{what}: {reply.status}, but the answer is {not_wanted(reply, 'JSON')}{cut}; look at what answers there",
                reply.status,
                start_of(reply),
            ) from exc

    def words(self, reply: HttpReply) -> tuple[str, str | None]:
        """Return what a reply says went wrong, in the server's own words, and the field it names; empty if nothing."""
        words = self.dialect.read_error(reply.status, self._scrubbed(reply).json_or_none())
        return shown_words(words.text), words.field

    def _scrubbed(self, reply: HttpReply) -> HttpReply:
        """Return a reply without our credentials: pages that show what was asked end up in messages and files."""
        credentials = self.address.credentials
        if credentials is None:
            return reply
        body = reply.body
        for secret in (credentials.authorization().partition(" ")[2], credentials.password):
            # A shorter one would blot out innocent words, and is no secret.
            if len(secret) >= _SHORTEST_SECRET:
                body = body.replace(secret.encode(), b"***")
        return replace(reply, body=body)

    def _ask_facts(self) -> ServerFacts:
        dialect = self.dialect
        options = self.read_options()
        self._presence.compare()
        return ServerFacts(
            dialect.name,
            self._presence.version,
            options=options,
            models=self.names("models", "title", "model_name", "filename", "sha256", "hash"),
            samplers=self.names("samplers", "name"),
            schedulers=self._schedulers(),
            upscalers=self.names("upscalers", "name"),
            scripts=script_titles(self._list("scripts")),
            controlnet_models=self.names("controlnet_models", "model_list"),
            loras=self._lora_names(),
        )

    def _look(self, path: str) -> object:
        """Return what a GET finds, to tell servers apart; None where there is nothing of use."""
        if path == OPTIONS_PATH:
            return self.read_options()
        reply = self.send(Route("GET", path), None, limits=QUICK)
        return reply.json_or_none() if reply.status == HTTPStatus.OK else None

    def _lora_names(self) -> tuple[str, ...] | None:
        """Return LoRAs as a request must name them: by path where they go into a list rather than into the prompt."""
        rows = self._list("loras") if self.dialect.loras_by_path else None
        if not isinstance(rows, list):
            return None
        return names_in(cast("object", rows), ("path",)) or ()

    def _list(self, operation: Operation) -> object:
        """Return a list this server offers; None where it has none or will not say."""
        if self.dialect.route(operation) is None:
            return None
        try:
            return self.ask(operation).body
        except (MissingRouteError, BadReplyError):
            return None

    def _ask_names(self, operation: Operation, keys: tuple[str, ...]) -> tuple[str, ...] | None:
        return names_in(self._list(operation), keys)

    def _schedulers(self) -> tuple[str, ...] | None:
        """Return schedules; empty where a server that draws by them has no list, since then it has no such field."""
        known = self.names("schedulers", "name", "label")
        return () if known is None and self.dialect.route("schedulers") is not None else known


def _named(dialect: str) -> Dialect:
    from sdclient.dialects import dialect_named

    return dialect_named(dialect)


def encode_body(body: Mapping[str, JsonValue]) -> bytes:
    """Return a JSON body as bytes."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def start_of(reply: HttpReply) -> str:
    """Return the start of a reply's body as text, to be kept for a look."""
    return reply.body[:_KEPT_BYTES].decode("utf-8", "replace")
