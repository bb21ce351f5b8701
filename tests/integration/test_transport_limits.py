"""What ends a call from outside: deadlines, silence, size limits and cancelling, over real sockets."""

from __future__ import annotations

import gzip
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sdclient.errors import AnswerLostError, BadReplyError, CancelledError, DeadlineError
from sdclient.transport import CallLimits, CancelToken, HttpReply, HttpSettings, RequestsTransport
from tests.integration.faulty_server import Exchange, FaultyServer, Script, answer, answering, server_tls

OK = b"HTTP/1.1 200 OK\r\n"
MIB = 1024 * 1024
# Far above what the calls need, far below how long the servers would keep them.
AT_ONCE_S = 15.0


def post(server: FaultyServer, body: bytes = b"{}", **limits: float | None) -> HttpReply:
    return RequestsTransport().send("POST", server.url(), body=body, limits=CallLimits(**limits))


# ---- deadlines ----


def _silent(exchange: Exchange) -> None:
    exchange.hold()


def _silent_after(data: bytes) -> Script:
    def script(exchange: Exchange) -> None:
        exchange.send(data)
        exchange.hold()

    return script


def _dripping(first: bytes, rest: bytes) -> Script:
    def script(exchange: Exchange) -> None:
        exchange.send(first)
        exchange.drip(rest, every_s=0.1)

    return script


LATE = {
    "stall before the headers": (_silent, r"no answer in 0\.5 s"),
    "drip in the status line": (_dripping(b"H", b"TTP/1.1 200 " + b"O" * 999), r"no answer in 0\.5 s"),
    "drip in the headers": (_dripping(OK, b"X-A: " + b"b" * 999), r"no answer in 0\.5 s"),
    "stall in the headers": (_silent_after(OK), r"no answer in 0\.5 s"),
    "endless 100-continue, slowly": (_dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 99), r"no answer in 0\.5 s"),
    "stall before the body": (
        _silent_after(OK + b"Content-Length: 9\r\n\r\n"),
        r"no whole answer in 0\.5 s, 0 of 9 bytes in",
    ),
    "drip in the body": (_dripping(OK + b"Content-Length: 999\r\n\r\n", b"x" * 999), r"no whole answer in 0\.5 s"),
    "drip without a length": (_dripping(OK + b"\r\n", b"x" * 999), r"no whole answer in 0\.5 s"),
    "drip in a chunk": (
        _dripping(OK + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n", b"x" * 999),
        r"no whole answer in 0\.5 s",
    ),
    "drip in a chunk's length": (
        _dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n3;", b"x" * 999),
        r"no whole answer in 0\.5 s",
    ),
}


@pytest.mark.parametrize(("script", "message"), LATE.values(), ids=LATE.keys())
def test_a_deadline_ends_a_call_however_the_server_keeps_it_busy(script: Script, message: str) -> None:
    started_s = time.monotonic()

    with FaultyServer(script) as server, pytest.raises(DeadlineError, match=message):
        post(server, deadline_s=0.5)

    assert 0.5 <= time.monotonic() - started_s < AT_ONCE_S
    assert (server.connections, len(server.requests)) == (1, 1)


def test_a_deadline_ends_a_request_that_the_server_does_not_take() -> None:
    with (
        FaultyServer(_silent, reads_request=False) as server,
        pytest.raises(DeadlineError, match="the request was not taken"),
    ):
        post(server, body=bytes(50 * MIB), deadline_s=0.5)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_large_request_may_take_longer_than_the_connect_timeout(scheme: str, tmp_path: Path) -> None:
    context, certificate = server_tls(tmp_path)

    def script(exchange: Exchange) -> None:
        exchange.hold(0.9)
        left = 30 * MIB
        while left > 0:
            left -= len(exchange.conn.recv(MIB))
        exchange.send(answer(b"[]"))

    with FaultyServer(script, reads_request=False, tls=context if scheme == "https" else None) as server:
        transport = RequestsTransport(HttpSettings(verify=certificate, connect_timeout_s=0.5))
        reply = transport.send("POST", server.url(scheme=scheme), body=bytes(30 * MIB))

    assert reply.status == 200


def test_a_finished_call_leaves_no_watchdog_behind() -> None:
    token = CancelToken()

    with FaultyServer(answering(answer(b"[]"))) as server:
        transport = RequestsTransport(HttpSettings(deadline_s=600))
        transport.send("POST", server.url(), body=b"{}", cancel=token)

    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for timer in timers:
        timer.join(AT_ONCE_S)
    assert not any(timer.is_alive() for timer in timers)
    assert token._callbacks == {}


def test_the_limits_of_a_call_replace_those_of_the_transport() -> None:
    def script(exchange: Exchange) -> None:
        exchange.hold(0.4)
        exchange.send(answer(b"[]"))

    with FaultyServer(script) as server:
        transport = RequestsTransport(HttpSettings(deadline_s=0.1))

        reply = transport.send("POST", server.url(), body=b"{}", limits=CallLimits())

    assert reply.body == b"[]"


# ---- silence ----


def test_silence_before_the_body_has_begun_is_no_failure() -> None:
    def script(exchange: Exchange) -> None:
        exchange.hold(0.4)
        exchange.send(OK + b"Content-Length: 2\r\n\r\n")
        exchange.hold(0.4)
        exchange.send(b"[]")

    with FaultyServer(script) as server:
        reply = post(server, silence_timeout_s=0.1)

    assert reply.body == b"[]"


@pytest.mark.parametrize(
    ("start", "seen"),
    [
        pytest.param(OK + b"Content-Length: 9\r\n\r\nabc", "of 9 bytes in", id="length"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "bytes in", id="chunked"),
        pytest.param(OK + b"\r\nabc", "bytes in", id="no-length"),
    ],
)
def test_silence_inside_the_body_ends_the_call(start: bytes, seen: str) -> None:
    with (
        FaultyServer(_silent_after(start)) as server,
        pytest.raises(DeadlineError, match=rf"silent for 0\.2 s.*{seen}"),
    ):
        post(server, silence_timeout_s=0.2)

    assert len(server.requests) == 1


def test_a_slow_body_that_is_never_silent_for_long_is_waited_for() -> None:
    with FaultyServer(_dripping(OK + b"Content-Length: 8\r\n\r\n", b"[      ]")) as server:
        reply = post(server, silence_timeout_s=5.0)

    assert reply.body == b"[      ]"


# ---- sizes ----


def test_a_reply_announced_as_too_large_is_refused_before_it_is_read() -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(OK + b"Content-Length: 1000000000\r\n\r\n")
        exchange.flood(b"x" * 65536)

    with (
        FaultyServer(script) as server,
        pytest.raises(BadReplyError, match=r"larger than 512 MiB \(1000000000 bytes announced\)") as caught,
    ):
        post(server)

    assert caught.value.status == 200
    # What went out is what the system's own buffers took.
    assert server.sent_bytes < 64 * MIB


def _flooding(start: bytes, piece: bytes) -> Script:
    def script(exchange: Exchange) -> None:
        exchange.send(start)
        exchange.flood(piece)

    return script


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "body without a length": (_flooding(OK + b"\r\n", b"x" * 65536), "larger than 1 MiB"),
    "chunks": (_flooding(CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n"), "larger than 1 MiB"),
    "chunks of one byte": (_flooding(CHUNKED, b"1\r\nx\r\n" * 9999), "larger than 1 MiB"),
    "a chunk of negative length": (_flooding(CHUNKED + b"-1\r\n", b"x" * 65536), "larger than 1 MiB"),
    "trailers": (_flooding(CHUNKED + b"0\r\n", b"X-Trailer: 1\r\n" * 999), "larger than 1 MiB"),
    "headers": (_flooding(OK, b"X-Padding: " + b"x" * 60000 + b"\r\n"), "KiB of headers|broken headers"),
    "one header": (_flooding(OK, b"x" * 65536), "KiB of headers|broken headers"),
    "status line": (_flooding(b"HTTP/1.1 200 ", b"x" * 65536), "KiB of headers|broken headers"),
    "interim replies": (_flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 999), "KiB of headers|broken headers"),
}


@pytest.mark.parametrize(("script", "message"), ENDLESS.values(), ids=ENDLESS.keys())
def test_an_endless_reply_is_refused_with_little_memory(script: Script, message: str) -> None:
    with FaultyServer(script) as server:
        tracemalloc.start()
        try:
            with pytest.raises(BadReplyError, match=message):
                post(server, max_reply_bytes=MIB, deadline_s=60.0)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak_bytes < 16 * MIB


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_a_decompression_bomb_is_refused_with_little_memory(pack: Callable[[bytes], bytes]) -> None:
    packed = pack(bytes(64 * MIB))
    coding = b"gzip" if pack is gzip.compress else b"deflate"

    with FaultyServer(
        answering(OK + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding, len(packed)) + packed)
    ) as server:
        tracemalloc.start()
        try:
            with pytest.raises(BadReplyError, match=r"larger than 1 MiB \(once decompressed\)"):
                post(server, max_reply_bytes=MIB)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak_bytes < 16 * MIB


def test_a_reply_of_exactly_the_limit_is_taken() -> None:
    with FaultyServer(answering(answer(b"x" * 1000))) as server:
        reply = post(server, max_reply_bytes=1000)

    assert len(reply.body) == 1000


def test_a_small_header_limit_is_kept() -> None:
    def script(exchange: Exchange) -> None:
        exchange.drip(OK + b"X-A: bcdefghijklmnopq", every_s=0.001)
        exchange.hold()

    with FaultyServer(script) as server, pytest.raises(BadReplyError, match="KiB of headers"):
        post(server, max_header_bytes=20)


# ---- cancelling ----


def test_a_call_cancelled_before_it_starts_connects_to_nobody() -> None:
    token = CancelToken()
    token.cancel()

    with (
        FaultyServer(answering(answer())) as server,
        pytest.raises(CancelledError, match="cancelled before it was sent"),
    ):
        RequestsTransport().send("POST", server.url(), body=b"{}", cancel=token)

    assert server.connections == 0


CANCELLED_AFTER = {
    "nothing": b"",
    "half the headers": OK + b"X-A: b",
    "the headers": OK + b"Content-Length: 9\r\n\r\n",
    "half the body": OK + b"Content-Length: 9\r\n\r\nabc",
    "half a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nabc",
    "some of a body without a length": OK + b"\r\nabc",
}


@pytest.mark.parametrize("start", CANCELLED_AFTER.values(), ids=CANCELLED_AFTER.keys())
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_cancelling_from_another_thread_ends_a_waiting_call(start: bytes, tmp_path: Path, *, tls: bool) -> None:
    token = CancelToken()

    def script(exchange: Exchange) -> None:
        if start:
            exchange.send(start)
        exchange.hold(0.1)
        token.cancel()
        exchange.hold()

    context, certificate = server_tls(tmp_path)
    transport = RequestsTransport(HttpSettings(verify=certificate))
    started_s = time.monotonic()
    with (
        FaultyServer(script, tls=context if tls else None) as server,
        pytest.raises(CancelledError, match="may still be working"),
    ):
        transport.send("POST", server.url(scheme="https" if tls else "http"), body=b"{}", cancel=token)

    assert time.monotonic() - started_s < AT_ONCE_S
    assert len(server.requests) == 1


def test_cancelling_ends_a_request_that_the_server_does_not_take() -> None:
    token = CancelToken()

    def script(exchange: Exchange) -> None:
        exchange.hold(0.1)
        token.cancel()
        exchange.hold()

    with FaultyServer(script, reads_request=False) as server, pytest.raises(CancelledError):
        RequestsTransport().send("POST", server.url(), body=bytes(50 * MIB), cancel=token)


def test_cancelling_after_the_reply_changes_nothing() -> None:
    token = CancelToken()

    with FaultyServer(answering(answer(b"[]"))) as server:
        reply = RequestsTransport().send("POST", server.url(), body=b"{}", cancel=token)
        token.cancel()

    assert reply.body == b"[]"


def test_cancelling_while_the_request_goes_out_ends_the_call() -> None:
    token = CancelToken()

    with FaultyServer(_silent) as server, pytest.raises(CancelledError):
        RequestsTransport().send("POST", server.url(), body=b"{}", cancel=token, on_sent=token.cancel)


def test_one_token_ends_every_call_it_was_given_to() -> None:
    token = CancelToken()
    all_in = threading.Barrier(4, action=token.cancel)
    ended: list[type[BaseException]] = []

    def script(exchange: Exchange) -> None:
        all_in.wait(AT_ONCE_S)
        exchange.hold()

    def call() -> None:
        try:
            RequestsTransport().send("POST", server.url(), body=b"{}", cancel=token)
        except CancelledError as exc:
            ended.append(type(exc))

    with FaultyServer(script) as server:
        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(AT_ONCE_S)

    assert ended == [CancelledError] * 4


def test_a_reply_cut_by_the_server_is_not_mistaken_for_a_cancelled_one() -> None:
    token = CancelToken()

    with FaultyServer(answering(OK + b"Content-Length: 9\r\n\r\nabc")) as server, pytest.raises(AnswerLostError):
        RequestsTransport().send("POST", server.url(), body=b"{}", cancel=token)

    assert not token.cancelled
