"""One call on the wire: its stage, its captured socket, its watchdog, and how much it may read."""

from __future__ import annotations

import contextlib
import enum
import http.client
import io
import logging
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import TYPE_CHECKING

from sdclient.transport.cancel import CancelToken
from sdclient.transport.contract import CallLimits

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["CURRENT_CALL", "Call", "Ended", "Fault", "Stage", "WatchedReply", "WireFaultError"]

_log = logging.getLogger(__name__)

_READ_BUFFER_BYTES = 128 * 1024
_STATUS_LINE_START = b"HTTP/"
_MIB = 1024 * 1024


class Stage(enum.IntEnum):
    """How far a call has come; the consequences of a failure hang on it."""

    CONNECTING = 0
    SENDING = 1
    WAITING = 2
    READING = 3


class Ended(enum.Enum):
    """Why a call was ended from outside."""

    CANCELLED = "cancelled"
    DEADLINE = "deadline"


class Fault(enum.Enum):
    """What this package itself finds wrong with a reply, as opposed to a failing socket."""

    NOT_HTTP = "not HTTP"
    HEADERS_CUT = "cut inside the headers"
    HEADERS_TOO_LONG = "too many header bytes"
    BODY_CUT = "cut inside the body"
    BODY_TOO_LONG = "too many body bytes"
    BAD_ENCODING = "unknown or damaged encoding"


class WireFaultError(Exception):
    """A fault on its way to the place where it gets its words; it never leaves this package.

    Attributes:
        fault: Which one.
        detail: What was seen, cut short.
    """

    # Neither an OSError nor an HTTPException: the libraries in between let it pass untouched.
    def __init__(self, fault: Fault, detail: str = "") -> None:
        super().__init__(fault, detail)
        self.fault = fault
        self.detail = detail


def _nothing_to_await() -> None:
    """Stand in for a reply's `await_body` until there is a reply."""


class Call:
    """The state of one call, shared by its own thread, its watchdog and whoever cancels it.

    Args:
        label: Method and URL for messages, without credentials.
        limits: In force for this call.
        on_sent: Called when the request is out.
    """

    def __init__(self, label: str, limits: CallLimits, on_sent: Callable[[], None] | None = None) -> None:
        self.label = label
        self.limits = limits
        self.stage = Stage.CONNECTING
        self.ended: Ended | None = None
        self.sent_whole = True
        self.status = 0
        self.body_bytes = 0
        self.await_body: Callable[[], None] = _nothing_to_await
        self.is_framed = False
        self.announced_bytes: int | None = None
        self.head = b""
        self._on_sent = on_sent
        self._started_s = time.monotonic()
        self._wire_bytes = 0
        self._stream: socket.socket | None = None
        # Reentrant: a signal handler may cancel while its own thread is in here.
        self._lock = threading.RLock()
        self._handle: socket.socket | None = None
        self._is_over = False

    def elapsed_s(self) -> float:
        """Return the seconds since the call began."""
        return time.monotonic() - self._started_s

    # ---- the watchdog: ends the call from outside ----

    @contextlib.contextmanager
    def watched(self, cancel: CancelToken | None) -> Generator[None, None, None]:
        """Let the deadline and `cancel` end this call until the block is left."""
        timer: threading.Timer | None = None
        unsubscribe = cancel.subscribe(lambda: self.end(Ended.CANCELLED)) if cancel is not None else None
        if self.limits.deadline_s is not None:
            remaining_s = max(0.0, self.limits.deadline_s - self.elapsed_s())
            timer = threading.Timer(remaining_s, self.end, (Ended.DEADLINE,))
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
            if unsubscribe is not None:
                unsubscribe()
            self._finish()

    def end(self, why: Ended) -> None:
        """End the call from any thread: whatever read or write it is blocked in returns at once."""
        with self._lock:
            if self._is_over or self.ended is not None:
                return
            self.ended = why
            self._shut_down()

    def capture(self, sock: socket.socket) -> None:
        """Keep a handle on a socket that was just connected, TLS not yet begun.

        Raises:
            ConnectionAbortedError: If the call was ended meanwhile; the socket is closed, nothing was sent.
        """
        # A duplicate: it stays valid whoever wraps, detaches or closes the original, and its number cannot
        # be given to another socket while we hold it. Shutting it down shuts the connection itself.
        with self._lock:
            if self.ended is not None:
                sock.close()
                raise ConnectionAbortedError("ended while connecting")
            self._handle = sock.dup()

    def _shut_down(self) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):  # the other side may have gone first
                self._handle.shutdown(socket.SHUT_RDWR)

    def _finish(self) -> None:
        with self._lock:
            self._is_over = True
            if self._handle is not None:
                self._handle.close()

    # ---- the stages, told by the connection ----

    def connected(self, stream: socket.socket) -> None:
        """Note that the connection stands; from here on the request may reach the server."""
        self._stream = stream
        self.stage = Stage.SENDING
        # No limit on silence: a busy server may leave a large request in its buffers for minutes.
        stream.settimeout(None)

    def sent(self) -> None:
        """Note that the request is out, and tell the caller if all of it is."""
        self.stage = Stage.WAITING
        if self._on_sent is None or not self.sent_whole:
            return
        try:
            self._on_sent()
        except Exception:  # noqa: BLE001 - the callback is foreign code, and an image hangs on this call
            _log.exception("%s: the on_sent callback failed; the call goes on", self.label)

    def headers_done(self, reply: WatchedReply) -> None:
        """Note that the header block is complete."""
        self.stage = Stage.READING
        self.await_body = reply.await_body
        self.status = reply.status
        # Now, because the parser counts `length` down as it reads.
        self.announced_bytes = reply.length
        # Else the body ends with the connection.
        self.is_framed = reply.length is not None or bool(reply.chunked)

    def body_begun(self) -> None:
        """Note the first byte of the body: from here on silence is limited."""
        if self._stream is not None:
            self._stream.settimeout(self.limits.silence_timeout_s)

    # ---- the meter, told by the stream below the HTTP parser ----

    def before_read(self) -> None:
        """Refuse to read on where the reply has used up its bytes.

        Raises:
            WireFaultError: If the headers, or the body with its framing, are too long.
        """
        if self.stage is Stage.WAITING and self._wire_bytes >= self.limits.max_header_bytes:
            raise WireFaultError(Fault.HEADERS_TOO_LONG)
        # Twice the body's limit leaves room for any honest framing in chunks, and still stops endless
        # trailers and chunks of one byte.
        if self.stage is Stage.READING and self._wire_bytes > 2 * self.limits.max_reply_bytes + _MIB:
            raise WireFaultError(Fault.BODY_TOO_LONG)

    def after_read(self, data: memoryview) -> None:
        """Count what arrived, and look whether it is HTTP at all.

        Raises:
            WireFaultError: If the reply does not begin like HTTP, or ends inside its headers.
        """
        if self.stage is Stage.WAITING:
            if len(self.head) < len(_STATUS_LINE_START):
                self.head += bytes(data[: 2 * len(_STATUS_LINE_START)])
                if not self.head.startswith(_STATUS_LINE_START[: len(self.head)]):
                    raise WireFaultError(Fault.NOT_HTTP, repr(self.head))
            # Nothing at all is left to the parser, which knows "closed without answering".
            if not data and self._wire_bytes:
                raise WireFaultError(Fault.HEADERS_CUT)
        self._wire_bytes += len(data)


CURRENT_CALL: ContextVar[Call] = ContextVar("CURRENT_CALL")
"""The call this thread is in: the libraries in between build connections and replies by themselves."""


class _MeteredStream(io.RawIOBase):
    """The bytes from the socket, counted by the call on their way to the HTTP parser."""

    def __init__(self, raw: io.RawIOBase, call: Call) -> None:
        super().__init__()
        self._raw = raw
        self._call = call

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        self._call.before_read()
        count = self._raw.readinto(buffer)
        self._call.after_read(memoryview(buffer)[: count or 0])
        return count

    def close(self) -> None:
        # The raw stream holds the socket open; without this it would stay so until collected.
        self._raw.close()
        super().close()


class WatchedReply(http.client.HTTPResponse):
    """A reply whose bytes are counted and whose stages the current call is told."""

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self._call = CURRENT_CALL.get()
        self.fp = io.BufferedReader(_MeteredStream(self.fp.detach(), self._call), _READ_BUFFER_BYTES)

    def begin(self) -> None:
        """Read the status line and the headers."""
        super().begin()
        self._call.headers_done(self)

    def await_body(self) -> None:
        """Wait, however long, until the first byte of the body is there; take nothing."""
        if self.length != 0 and not self.isclosed():
            self.fp.peek(1)
        self._call.body_begun()
