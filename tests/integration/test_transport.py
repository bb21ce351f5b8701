"""Whole replies, callbacks, threads and connections: over real sockets, with the requests counted."""

from __future__ import annotations

import gzip
import os
import pickle
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from sdclient.errors import (
    BadReplyError,
    ConfigurationError,
    SDClientError,
)
from sdclient.transport import CallLimits, HttpReply, RequestsTransport
from tests.integration.faulty_server import Exchange, FaultyServer, Script, answer, answering

OK = "HTTP/1.1 200 OK\r\n"


def send(server: FaultyServer, method: str = "POST", **limits: float | None) -> HttpReply:
    body = b'{"steps":1}' if method == "POST" else None
    return RequestsTransport().send(method, server.url(), body=body, limits=CallLimits(**limits))


# ---- whole replies ----


def test_a_whole_reply_comes_back_with_status_lower_case_headers_and_body() -> None:
    reply = answer(b'{"images":[]}', "200 OK", "Content-Type: application/json", "X-Twice: a", "X-Twice: b")

    with FaultyServer(answering(reply)) as server:
        result = send(server)

    assert (result.status, result.body, result.length_known) == (200, b'{"images":[]}', True)
    assert result.headers["content-type"] == "application/json"
    assert result.headers["x-twice"] == "a, b"
    assert 0 < result.elapsed_s < 60


def test_the_request_arrives_as_it_was_given() -> None:
    with FaultyServer(answering(answer())) as server:
        RequestsTransport().send(
            "POST", server.url("/a%20b?c=d"), body=b'{"x":1}', headers={"X-Task": "7", "Accept": "image/png"}
        )

    (request,) = server.requests
    assert (request.method, request.target, request.body) == ("POST", "/a%20b?c=d", b'{"x":1}')
    assert request.headers["x-task"] == "7"
    assert request.headers["accept"] == "image/png"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "404 Not Found", "500 Oops", "599 Odd"])
def test_a_status_is_returned_and_not_judged(status: str) -> None:
    with FaultyServer(answering(answer(b"no", status))) as server:
        result = send(server)

    assert result.status == int(status[:3])
    assert len(server.requests) == 1


def test_a_busy_server_that_says_when_to_come_back_gets_no_second_request() -> None:
    with FaultyServer(answering(answer(b"", "503 Service Unavailable", "Retry-After: 0"))) as server:
        result = send(server)

    assert (result.status, result.headers["retry-after"]) == (503, "0")
    assert len(server.requests) == 1


def test_a_chunked_reply_is_put_together() -> None:
    reply = f"{OK}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n".encode()

    with FaultyServer(answering(reply)) as server:
        result = send(server)

    assert (result.body, result.length_known) == (b"abcde", True)


def test_a_body_that_ends_with_the_connection_is_marked_as_of_unknown_length() -> None:
    with FaultyServer(answering(f"{OK}\r\n".encode() + b'{"images":["iVBOR')) as server:
        result = send(server)

    assert (result.body, result.length_known) == (b'{"images":["iVBOR', False)


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        pytest.param("POST", answer(b""), id="length-zero"),
        pytest.param("POST", b"HTTP/1.1 204 No Content\r\n\r\n", id="no-content"),
        pytest.param("HEAD", f"{OK}Content-Length: 9\r\n\r\n".encode(), id="head"),
    ],
)
def test_a_reply_without_a_body_is_not_waited_for_on_an_open_connection(method: str, reply: bytes) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(reply)
        exchange.hold()

    with FaultyServer(script) as server:
        result = send(server, method, deadline_s=20.0)

    assert (result.body, result.length_known) == (b"", True)


def test_an_early_100_continue_is_passed_over() -> None:
    with FaultyServer(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"[]"))) as server:
        result = send(server)

    assert (result.status, result.body) == (200, b"[]")


def test_twenty_megabytes_go_out_and_come_back_unchanged() -> None:
    body = os.urandom(20 * 1024 * 1024)

    def script(exchange: Exchange) -> None:
        assert exchange.request is not None
        exchange.send(answer(exchange.request.body))

    with FaultyServer(script) as server:
        result = RequestsTransport().send("POST", server.url(), body=body)

    assert result.body == body


def _deflated(data: bytes) -> bytes:
    raw = zlib.compressobj(wbits=-15)
    return raw.compress(data) + raw.flush()


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        pytest.param("gzip", gzip.compress(b"x" * 9999), id="gzip"),
        pytest.param("GZip", gzip.compress(b"x" * 9000) + gzip.compress(b"x" * 999), id="two-members"),
        pytest.param("deflate", zlib.compress(b"x" * 9999), id="zlib"),
        pytest.param("deflate", _deflated(b"x" * 9999), id="raw-deflate"),
    ],
)
@pytest.mark.parametrize("has_length", [True, False], ids=["length", "no-length"])
def test_a_compressed_reply_is_unpacked_and_known_to_be_whole(coding: str, packed: bytes, *, has_length: bool) -> None:
    length = f"Content-Length: {len(packed)}\r\n" if has_length else ""

    with FaultyServer(answering(f"{OK}{length}Content-Encoding: {coding}\r\n\r\n".encode() + packed)) as server:
        result = send(server)

    assert (result.body, result.length_known) == (b"x" * 9999, True)


# ---- the callback, the threads, the connections ----


def test_on_sent_is_called_once_when_the_request_is_out_and_before_the_answer() -> None:
    released = threading.Event()
    order: list[str] = []

    def script(exchange: Exchange) -> None:
        released.wait(20)
        order.append("answer")
        exchange.send(answer())

    def on_sent() -> None:
        order.append("sent")
        released.set()

    with FaultyServer(script) as server:
        RequestsTransport().send("POST", server.url(), body=b"{}", on_sent=on_sent)

    assert order == ["sent", "answer"]


def test_a_callback_that_fails_does_not_cost_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    def on_sent() -> None:
        raise OSError("the caller's own trouble")

    with FaultyServer(answering(answer(b"[]"))) as server:
        result = RequestsTransport().send("POST", server.url(), body=b"{}", on_sent=on_sent)

    assert result.body == b"[]"
    assert "on_sent callback failed" in caplog.text


def test_an_interrupt_passes_through_and_closes_the_connection() -> None:
    closed: list[bool] = []
    arrived = threading.Event()

    def script(exchange: Exchange) -> None:
        arrived.set()
        closed.append(exchange.is_closed_by_client())

    def on_sent() -> None:
        arrived.wait(20)
        raise KeyboardInterrupt

    with FaultyServer(script) as server:
        with pytest.raises(KeyboardInterrupt):
            RequestsTransport().send("POST", server.url(), body=b"{}", on_sent=on_sent)

        server.join()

    assert closed == [True]


def test_threads_share_one_transport_and_each_gets_its_own_answer() -> None:
    def script(exchange: Exchange) -> None:
        assert exchange.request is not None
        exchange.send(answer(exchange.request.body))

    bodies = [str(number).encode() * 1000 for number in range(24)]
    with FaultyServer(script) as server, ThreadPoolExecutor(8) as threads:
        transport = RequestsTransport()

        results = list(threads.map(lambda body: transport.send("POST", server.url(), body=body).body, bodies))

    assert results == bodies


def test_each_call_has_a_connection_of_its_own_and_closes_it() -> None:
    closed: list[bool] = []

    def script(exchange: Exchange) -> None:
        exchange.send(answer(b"[]", "200 OK", "Set-Cookie: a=b", "Connection: keep-alive"))
        closed.append(exchange.is_closed_by_client())

    with FaultyServer(script) as server:
        transport = RequestsTransport()
        transport.send("GET", server.url())
        transport.send("GET", server.url())
        server.join()

    assert server.connections == 2
    assert closed == [True, True]
    assert all("cookie" not in request.headers for request in server.requests)


# ---- what is refused before anything is sent ----


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        pytest.param("PO ST", "/", {}, id="method"),
        pytest.param("POST", "/a b", {}, id="blank-in-url"),
        pytest.param("POST", "/", {"X-A": "b\r\nX-C: d"}, id="line-break-in-header"),
        pytest.param("POST", "/", {"X A": "b"}, id="blank-in-header-name"),
        pytest.param("POST", "/", {"X-A": "ü"}, id="header-beyond-ascii"),
    ],
)
def test_a_malformed_request_is_refused_before_it_is_sent(method: str, path: str, headers: dict[str, str]) -> None:
    with FaultyServer(answering(answer())) as server, pytest.raises(ConfigurationError):
        RequestsTransport().send(method, server.url(path), body=b"{}", headers=headers)

    assert server.connections == 0


def test_a_host_name_too_long_for_the_network_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="not a URL that can be called"):
        RequestsTransport().send("GET", f"http://{'ü' * 63}/x")


# ---- errors ----


@pytest.mark.parametrize(
    "script", [answering(b""), answering(b"hello"), answering(answer(b"abc"))], ids=["lost", "wrong", "bad"]
)
def test_errors_survive_pickling(script: Script) -> None:
    with FaultyServer(script) as server, pytest.raises(SDClientError) as caught:
        send(server, max_reply_bytes=2)

    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert (type(copy), str(copy)) == (type(caught.value), str(caught.value))


def test_the_limit_of_the_parser_on_the_number_of_headers_is_a_bad_reply() -> None:
    reply = OK + "".join(f"X-{number}: 1\r\n" for number in range(101)) + "\r\n"

    with FaultyServer(answering(reply.encode())) as server, pytest.raises(BadReplyError, match="broken headers"):
        send(server)
