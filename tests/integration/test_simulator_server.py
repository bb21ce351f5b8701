"""The simulator's sockets: connections, limits, the log, starting and stopping."""

from __future__ import annotations

import http.client
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.parse import urlsplit

import pytest

from sdclient.simulator import DIALECTS, Simulator
from sdclient.simulator.server import LOG_PATH

LONG_S = 600.0
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC"


def connection(server: Simulator) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)


def ask(server: Simulator, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    with_body = None if body is None else json.dumps(body)
    line = connection(server)
    line.request(method, path, with_body)
    reply = line.getresponse()
    found = (reply.status, reply.read())
    line.close()
    return found


def raw(server: Simulator, data: bytes) -> bytes:
    """Send bytes as they are and read until the server closes."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as line:
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: line.recv(65536), b""))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("path", ["/", "/sdapi/v1/options", "/nowhere", LOG_PATH])
def test_every_reply_says_that_it_comes_from_a_simulator(dialect: str, path: str) -> None:
    with Simulator(dialect) as server:
        line = connection(server)
        line.request("GET", path)
        reply = line.getresponse()
        reply.read()
        line.close()

    assert reply.getheader("Server") == "sdclient-simulator"


def test_one_connection_carries_many_requests() -> None:
    with Simulator("drawthings") as server:
        line = connection(server)
        ports = set()
        for _ in range(3):
            line.request("POST", "/sdapi/v1/txt2img", json.dumps({"unknown": 1}))
            line.getresponse().read()
            ports.add(line.sock.getsockname()[1])
        line.close()

    assert len(ports) == 1
    assert len(server.log) == 3


def test_the_log_tells_what_was_asked_and_when() -> None:
    with Simulator() as server:
        ask(server, "POST", "/sdapi/v1/interrupt")
        ask(server, "POST", "/sdapi/v1/txt2img", {"steps": "many"})
        ask(server, "GET", "/sdapi/v1/options?x=1")

    first, second, third = server.log
    assert (first.method, first.path, first.status, first.body) == ("POST", "/sdapi/v1/interrupt", 200, None)
    assert (second.status, second.body) == (422, {"steps": "many"})
    assert (third.method, third.path) == ("GET", "/sdapi/v1/options")
    assert first.started_s <= first.ended_s <= second.started_s


def test_other_processes_can_read_counts_over_http() -> None:
    with Simulator() as server:
        for _ in range(2):
            ask(server, "POST", "/sdapi/v1/skip")
        counts = json.loads(ask(server, "GET", LOG_PATH)[1])

    assert counts == {"posts": {"/sdapi/v1/skip": 2}, "statuses": {"200": 2}}
    assert len(server.log) == 2


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: 999999999999", b"413"),
        (b"Content-Length: -5", b"400"),
        (b"Content-Length: ten", b"400"),
        (b"Transfer-Encoding: chunked", b"411"),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused_and_the_connection_closed(head: bytes, status: bytes) -> None:
    with Simulator() as server:
        answer = raw(server, b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")

    assert answer.split(b" ")[1] == status
    assert server.log == []


def test_a_body_that_ends_early_is_no_request() -> None:
    with Simulator() as server:
        answer = raw(server, b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")

    assert answer == b""
    assert server.log == []


def test_a_client_that_leaves_before_the_answer_disturbs_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    body = json.dumps({"prompt": "x", "width": 64, "height": 64}).encode()
    request = b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with Simulator(delay_s=LONG_S) as server:
        parts = urlsplit(server.url)
        line = socket.create_connection((parts.hostname, parts.port))
        # Lingering for no time makes closing a reset, which is what a killed client looks like.
        line.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        )
        line.sendall(request)
        while server._workshop.current is None:
            threading.Event().wait(0.001)
        line.close()
        ask(server, "POST", "/sdapi/v1/interrupt")
        # The next job can only run when the one nobody waits for has ended.
        extras = {"image": PIXEL, "upscaler_1": "None"}
        thread = threading.Thread(target=ask, args=(server, "POST", "/sdapi/v1/extra-single-image", extras))
        thread.start()
        while all(exchange.path != "/sdapi/v1/txt2img" for exchange in server.log):
            threading.Event().wait(0.001)
        while server._workshop.current is None:
            threading.Event().wait(0.001)
        ask(server, "POST", "/sdapi/v1/interrupt")
        thread.join(60)

    assert {exchange.path: exchange.status for exchange in server.log} == {
        "/sdapi/v1/txt2img": 200,
        "/sdapi/v1/interrupt": 200,
        "/sdapi/v1/extra-single-image": 200,
    }
    assert capfd.readouterr().err == ""


def test_head_requests_get_no_body() -> None:
    with Simulator() as server:
        answer = raw(server, b"HEAD /sdapi/v1/options HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 405")
    assert answer.endswith(b"\r\n\r\n")


def test_stopping_drops_those_who_wait_and_those_who_are_served() -> None:
    errors: list[BaseException] = []
    server = Simulator("drawthings", delay_s=LONG_S).start()

    def wait_for_an_image() -> None:
        try:
            ask(server, "POST", "/sdapi/v1/txt2img", {"prompt": "x"})
        except (OSError, http.client.HTTPException) as error:
            errors.append(error)

    threads = [threading.Thread(target=wait_for_an_image) for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(server._workshop.pending) < 1 or server._workshop.current is None:
        threading.Event().wait(0.001)
    server.stop()
    for thread in threads:
        thread.join(60)

    assert len(errors) == 2


def test_stopping_ends_connections_that_are_only_kept_alive() -> None:
    server = Simulator().start()
    line = connection(server)
    line.request("GET", "/internal/ping")
    line.getresponse().read()
    kept = line.sock

    server.stop()

    assert kept.recv(1) == b""
    line.close()


def test_a_stopped_server_refuses_connections_and_can_come_back_on_its_port() -> None:
    server = Simulator().start()
    url = server.url
    port = urlsplit(url).port or 0
    server.stop()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url + LOG_PATH)

    with Simulator(port=port) as again:
        assert again.url == url
        assert ask(again, "GET", LOG_PATH)[0] == 200


def test_the_same_simulator_can_be_started_again_and_keeps_its_log() -> None:
    server = Simulator("drawthings")
    for _ in range(2):
        with server:
            assert ask(server, "POST", "/sdapi/v1/txt2img", {"prompt": "x", "upscaler": None, "width": 128})[0] == 200

    assert len(server.log) == 2


def test_starting_twice_and_stopping_twice_are_harmless() -> None:
    server = Simulator()

    assert server.start() is server.start()
    server.stop()
    server.stop()

    with pytest.raises(RuntimeError, match="before start"):
        _ = server.url


def test_serving_forever_ends_when_another_thread_stops_it() -> None:
    server = Simulator()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    while server._server is None:
        threading.Event().wait(0.001)
    status = ask(server, "GET", LOG_PATH)[0]
    server.stop()
    thread.join(60)

    assert status == 200
    assert not thread.is_alive()


def test_a_fault_of_the_simulator_itself_is_told_apart_from_a_simulated_one(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def answer(self, call: object) -> object:  # noqa: ARG002 - it never gets to look at it
            raise ZeroDivisionError

    with Simulator() as server, caplog.at_level(logging.ERROR):
        server._dialect = Broken()  # type: ignore[assignment]
        status, body = ask(server, "GET", "/")

    assert status == 500
    assert b"simulator itself" in body
    assert "ZeroDivisionError" in caplog.text


def test_a_port_that_is_taken_leaves_a_server_that_was_never_started() -> None:
    with Simulator() as first:
        second = Simulator(port=urlsplit(first.url).port or 0)
        with pytest.raises(OSError, match="in use"):
            second.start()
        with pytest.raises(RuntimeError):
            _ = second.url


@pytest.mark.parametrize(
    ("dialect", "settings", "text"),
    [
        ("dalle", {}, "no dialect 'dalle'; choose one of a1111, drawthings"),
        ("drawthings", {"auth": ("a", "b")}, "no authentication"),
        ("drawthings", {"options": {"sampler_nam": "x"}}, "no setting sampler_nam"),
        ("drawthings", {"options": {"sampler": "euler"}}, "not one of"),
    ],
)
def test_a_set_up_that_makes_no_sense_is_a_value_error(dialect: str, settings: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Simulator(dialect, **settings)  # type: ignore[arg-type]


def test_it_listens_on_ipv6_where_there_is_any() -> None:
    server = Simulator(host="::1")
    try:
        server.start()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    url = server.url
    server.stop()

    assert url.startswith("http://[::1]:")


def test_an_exchange_tells_when_its_answer_had_left() -> None:
    with Simulator() as server:
        ask(server, "GET", "/sdapi/v1/options")
        deadline = time.monotonic() + 60
        # The client knows the answer a moment before it is noted that it left.
        while not server.log[0].handed_s and time.monotonic() < deadline:
            time.sleep(0.001)

    exchange = server.log[0]
    assert exchange.started_s <= exchange.ended_s <= exchange.handed_s


def test_nobody_is_asked_for_the_machines_name() -> None:
    # That takes seconds where nobody knows it. A hook stays for ever, hence a program of its own.
    code = """
import sys
asked = []
sys.addaudithook(lambda event, _: asked.append(event) if event.startswith("socket.gethost") else None)
from sdclient.simulator import Simulator
with Simulator("a1111"):
    print(asked)
"""

    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)

    assert ended.stdout.strip() == "[]", ended.stderr
