"""Requests that get no usable answer: never sent, lost on the way, or answered by something else."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import sys

import pytest

from sdclient.errors import AnswerLostError, BadReplyError, NotSentError, WrongServerError
from sdclient.transport import HttpReply, HttpSettings, RequestsTransport
from tests.integration.faulty_server import Exchange, FaultyServer, Script, answer, answering

OK = "HTTP/1.1 200 OK\r\n"


def send(server: FaultyServer, method: str = "POST") -> HttpReply:
    return RequestsTransport().send(method, server.url(), body=b'{"steps":1}' if method == "POST" else None)


# ---- answers that are lost after the request went out ----


def _reset_after(data: bytes) -> Script:
    def script(exchange: Exchange) -> None:
        if data:
            exchange.send(data)
        exchange.reset()

    return script


LOST = {
    "reset before answering": (_reset_after(b""), "broke before the answer|closed the connection without answering"),
    "closed without answering": (answering(b""), "closed the connection without answering"),
    "cut inside the status line": (answering(b"HTTP/1.1 20"), "inside the answer's headers"),
    "cut inside HTTP": (answering(b"HT"), "inside the answer's headers"),
    "cut between headers": (answering(OK.encode() + b"Content-Type: a/b\r\n"), "inside the answer's headers"),
    "reset inside the headers": (
        _reset_after(OK.encode() + b"Content-Ty"),
        "broke before the answer|inside the answer's headers",
    ),
    "short body": (
        answering(OK.encode() + b"Content-Length: 100\r\n\r\nabc"),
        "cut off, 3 of 100 bytes in|cut off, 0 of 100",
    ),
    "no body at all": (answering(OK.encode() + b"Content-Length: 100\r\n\r\n"), "cut off, 0 of 100 bytes in"),
    "reset in the body": (
        _reset_after(OK.encode() + b"Content-Length: 100\r\n\r\nabc"),
        "inside the answer|cut off|before the answer",
    ),
    "cut inside a chunk": (answering(OK.encode() + b"Transfer-Encoding: chunked\r\n\r\n64\r\nabc"), "cut off"),
    "cut between chunks": (answering(OK.encode() + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), "cut off"),
    "cut inside a chunk's length": (
        answering(OK.encode() + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1"),
        "cut off",
    ),
    "a chunk length that is none": (answering(OK.encode() + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc"), "cut off"),
    "a negative chunk length": (answering(OK.encode() + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc"), "cut off"),
    "gzip without a length, cut": (
        answering(OK.encode() + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(os.urandom(999))[:-9]),
        "cut off",
    ),
}


@pytest.mark.parametrize(("script", "message"), LOST.values(), ids=LOST.keys())
def test_an_answer_that_does_not_come_whole_is_lost_and_asked_for_once(script: Script, message: str) -> None:
    with FaultyServer(script) as server, pytest.raises(AnswerLostError, match=message) as caught:
        send(server)

    assert type(caught.value) is AnswerLostError
    assert str(caught.value).startswith(f"POST {server.url()}: ")
    assert (server.connections, len(server.requests)) == (1, 1)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_method_is_tried_twice(method: str) -> None:
    with FaultyServer(_reset_after(b"")) as server, pytest.raises(AnswerLostError):
        send(server, method)

    assert server.connections == 1


def test_a_connection_that_breaks_while_the_request_is_sent_counts_as_an_answer_lost() -> None:
    def script(exchange: Exchange) -> None:
        exchange.conn.recv(1000)
        exchange.reset()

    sent: list[str] = []
    with (
        FaultyServer(script, reads_request=False) as server,
        pytest.raises(AnswerLostError, match="while the request was being sent"),
    ):
        RequestsTransport().send("POST", server.url(), body=bytes(50_000_000), on_sent=lambda: sent.append("sent"))

    assert server.connections == 1
    assert sent == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems may drop the early answer when the reset comes")
def test_an_answer_given_before_the_request_was_read_is_still_an_answer() -> None:
    def script(exchange: Exchange) -> None:
        exchange.conn.recv(1000)
        exchange.send(answer(b"too large", "413 Content Too Large"))

    with FaultyServer(script, reads_request=False) as server:
        result = RequestsTransport().send("POST", server.url(), body=bytes(50_000_000))

    assert (result.status, result.body) == (413, b"too large")


# ---- requests that never arrived ----


def test_a_refused_connection_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(
        NotSentError, match=f"POST http://127.0.0.1:{port}/x: connection refused; is the server running"
    ):
        RequestsTransport().send("POST", f"http://127.0.0.1:{port}/x", body=b"{}")


def test_an_unknown_host_is_not_sent() -> None:
    with pytest.raises(NotSentError, match=r"http://nowhere\.invalid:7860/x: unknown host; check the spelling"):
        RequestsTransport().send("POST", "http://nowhere.invalid:7860/x", body=b"{}")


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue of connections is silent on Linux only")
def test_a_connection_that_is_never_taken_is_not_sent() -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"

        with pytest.raises(NotSentError, match=r"no connection in 0\.3 s; is the machine on"):
            RequestsTransport(HttpSettings(connect_timeout_s=0.3)).send("POST", url, body=b"{}")


# ---- answers that are none ----

NOT_HTTP = {
    "a shell's greeting": b"SSH-2.0-OpenSSH_9.9\r\n",
    "no line at all": b"hello",
    "a page without headers": b"<html></html>\n",
    "binary": b"\x15\x03\x01\x00\x02\x02\x46",
    "a status that is none": b"HTTP/1.1 abc def\r\n\r\n",
}


@pytest.mark.parametrize("reply", NOT_HTTP.values(), ids=NOT_HTTP.keys())
def test_an_answer_that_is_not_http_comes_from_a_wrong_server(reply: bytes) -> None:
    with FaultyServer(answering(reply)) as server, pytest.raises(WrongServerError, match="is the port right"):
        send(server)

    assert server.connections == 1


BROKEN = {
    "two lengths": f"{OK}Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    "an encoding not asked for": f"{OK}Content-Length: 3\r\nContent-Encoding: br\r\n\r\nabc",
    "a transfer encoding nobody knows": f"{OK}Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "gzip that is none": f"{OK}Content-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc",
    "gzip that stops early": f"{OK}Content-Length: 10\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03",
}


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN.keys())
def test_an_answer_that_breaks_http_is_a_bad_reply(reply: str) -> None:
    with FaultyServer(answering(reply.encode("latin-1"))) as server, pytest.raises(BadReplyError):
        send(server)

    assert server.connections == 1
