"""Every fault of the simulator, as a client sees it on a real socket."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
import struct
import threading
import time
from urllib.parse import urlsplit

import pytest
from PIL import Image

from sdclient.simulator import DIALECTS, FAULTS, Simulator
from sdclient.simulator.faults import TRAP_PATH
from sdclient.simulator.server import STATUS_PATH
from tests.integration.simulator_talk import SMALL, Heard, ask, connect, encoded, generate

REQUEST = json.dumps(SMALL).encode()


def talk(server: Simulator, enough: int = 1 << 30, timeout_s: float = 60) -> bytes:
    """Ask for an image over a bare socket, and give every byte of the answer; OSError tells of a reset."""
    parts = urlsplit(server.url)
    head = f"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(REQUEST)}\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=timeout_s) as line:
        line.sendall(head.encode() + REQUEST)
        found = b""
        while len(found) < enough and (piece := line.recv(65536)):
            found += piece
        return found


def faulty(fault: str, dialect: str = "a1111") -> Heard:
    """Ask a server with this fault for one image."""
    with Simulator(dialect, faults=[fault]) as server:
        return ask(server, "txt2img", SMALL)


# --- lost answers


def test_a_reset_comes_before_any_answer() -> None:
    with Simulator(faults=["reset"]) as server, pytest.raises(ConnectionResetError):
        talk(server)

    assert [(exchange.status, exchange.fault) for exchange in server.log] == [(0, "reset")]


def test_a_close_is_an_end_without_any_answer() -> None:
    with Simulator(faults=["close"]) as server:
        answer = talk(server)

    assert answer == b""
    assert [(exchange.status, exchange.fault) for exchange in server.log] == [(0, "close")]


def test_hanging_says_nothing_for_as_long_as_told() -> None:
    with Simulator(faults=["hang:s=0.1"]) as server:
        started_s = time.monotonic()
        answer = talk(server)

    assert answer == b""
    assert time.monotonic() - started_s >= 0.1


def test_hanging_ends_when_the_client_leaves_or_the_server_stops() -> None:
    with Simulator(faults=["hang"]) as server:
        with pytest.raises(TimeoutError):
            talk(server, timeout_s=0.05)
        thread = threading.Thread(target=talk, args=(server,))
        thread.start()
        while len(server.log) < 2:
            threading.Event().wait(0.001)
    thread.join(60)

    assert not thread.is_alive()


@pytest.mark.parametrize("more", [b"", b"GET / HTTP/1.1\r\n"], ids=["silent", "talkative"])
def test_hanging_ends_when_the_client_is_killed(more: bytes) -> None:
    with Simulator(faults=["hang"]) as server:
        parts = urlsplit(server.url)
        line = socket.create_connection((parts.hostname, parts.port))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.sendall(b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" + more)
        while not server.log:
            threading.Event().wait(0.001)
        line.close()
        while server._server is not None and server._server.connections:
            threading.Event().wait(0.001)

    assert server.log[0].fault == "hang"


def test_faults_may_follow_each_other() -> None:
    with Simulator() as server:
        server.next_faults("blank-image", "black")
        heard = [ask(server, "txt2img", SMALL) for _ in range(2)]

    assert heard[0].document["images"] == [""]
    assert max(heard[1].images[0].convert("L").tobytes()) == 0


def test_an_answer_without_an_image_cannot_be_made_black() -> None:
    with Simulator("koboldcpp", models=[], faults=["black"]) as server:
        heard = ask(server, "txt2img", SMALL)

    assert heard.document["images"] == [""]


def test_a_short_body_ends_before_its_length() -> None:
    with Simulator(faults=["short-body"]) as server:
        line = connect(server)
        line.request("POST", "/sdapi/v1/txt2img", REQUEST)
        reply = line.getresponse()
        with pytest.raises(http.client.IncompleteRead) as cut:
            reply.read()
        line.close()

    assert reply.status == 200
    assert len(cut.value.partial) > 100


def test_a_body_may_be_reset_half_way() -> None:
    with Simulator(faults=["reset-body"]) as server:
        line = connect(server)
        line.request("POST", "/sdapi/v1/txt2img", REQUEST)
        reply = line.getresponse()
        with pytest.raises(ConnectionResetError):
            reply.read()
        line.close()

    assert reply.status == 200


def test_a_chunked_body_may_lack_its_end() -> None:
    with Simulator(faults=["cut-chunked"]) as server:
        line = connect(server)
        line.request("POST", "/sdapi/v1/txt2img", REQUEST)
        reply = line.getresponse()
        with pytest.raises(http.client.IncompleteRead):
            reply.read()
        line.close()

    assert reply.getheader("Transfer-Encoding") == "chunked"


def test_a_body_without_a_length_may_be_half_a_json() -> None:
    heard = faulty("cut-unsized")

    assert heard.status == 200
    assert "content-length" not in heard.headers
    with pytest.raises(ValueError, match=r"JSON|Unterminated"):
        json.loads(heard.body)


@pytest.mark.parametrize(("fault", "within_headers"), [("drip-header", True), ("drip-body", False)])
def test_bytes_may_come_one_at_a_time(fault: str, within_headers: bool) -> None:  # noqa: FBT001 - a parameter of the test
    with Simulator(faults=[f"{fault}:s=0.01"]) as server:
        first = talk(server, enough=5)

    assert (len(first) == 5) is within_headers
    assert (b"\r\n\r\n" in first) is not within_headers


def test_a_drip_ends_when_everything_was_said() -> None:
    with Simulator(faults=["drip-body:s=0"]) as server:
        answer = talk(server)

    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["images"]


def test_headers_may_have_no_end() -> None:
    with Simulator(faults=["endless-headers"]) as server:
        answer = talk(server, enough=1_000_000)

    assert b"\r\n\r\n" not in answer
    assert answer.count(b"X-Filler: ") > 500


def test_endless_headers_end_after_as_much_as_told() -> None:
    with Simulator(faults=["endless-headers:mb=0.25"]) as server:
        assert 200_000 < len(talk(server)) < 300_000


def test_a_reply_may_be_a_gigabyte() -> None:
    with Simulator(faults=["gigabyte"]) as server:
        answer = talk(server, enough=3_000_000)

    assert b"Content-Length: 10737418" in answer[:300]


def test_a_smaller_flood_is_a_whole_json() -> None:
    heard = faulty("gigabyte:mb=2")

    assert len(heard.document["images"][0]) == 2 * 1024 * 1024  # type: ignore[index]


def test_an_idle_connection_may_be_closed_after_a_good_answer() -> None:
    with Simulator(faults=["close-idle"]) as server:
        line = connect(server)
        line.request("POST", "/sdapi/v1/txt2img", REQUEST)
        reply = line.getresponse()
        whole = json.loads(reply.read())
        kept, ended = line.sock is not None, line.sock.recv(1)
        line.close()

    assert whole["images"]
    assert kept
    assert ended == b""


def test_a_connection_may_be_closed_as_the_next_request_arrives() -> None:
    with Simulator() as server:
        server.next_faults("close-next")
        line = connect(server)
        line.request("POST", "/sdapi/v1/txt2img", REQUEST)
        line.getresponse().read()
        line.request("POST", "/sdapi/v1/txt2img", REQUEST)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            line.getresponse()
        line.close()
        after = ask(server, "txt2img", SMALL)

    assert after.status == 200
    assert [exchange.status for exchange in server.log] == [200, 0, 200]


def test_a_client_that_leaves_while_being_flooded_disturbs_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    with Simulator(faults=["gigabyte:n=1"]) as server:
        parts = urlsplit(server.url)
        line = socket.create_connection((parts.hostname, parts.port))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.sendall(b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        line.recv(10)
        line.close()
        assert generate(server).status == 200

    assert capfd.readouterr().err == ""


# --- wrong answers


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("unauthorized", 401),
        ("out-of-memory", 500),
        ("late-422", 422),
        ("too-many", 429),
        ("busy", 503),
        ("error-200", 200),
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_errors_have_the_shape_of_the_program(dialect: str, fault: str, status: int) -> None:
    heard = faulty(fault, dialect)
    shapes = {
        "a1111": {"error", "detail", "body", "errors"},
        "drawthings": {"error", "detail", "body", "errors"},
        "forge": {"detail"} if fault not in {"out-of-memory", "error-200"} else {"error", "detail", "body", "message"},
        "sdnext": {"error", "code", "detail", "body", "errors"},
        "sdcpp": {"error", "message"},
        "koboldcpp": {"detail"},
    }

    assert heard.status == status
    assert set(heard.document) == shapes[dialect]


@pytest.mark.parametrize("fault", ["too-many", "busy"])
def test_a_server_may_ask_to_come_back_later(fault: str) -> None:
    assert faulty(fault).headers["retry-after"] == "1"
    assert faulty(f"{fault}:s=7").headers["retry-after"] == "7"


def test_an_out_of_memory_error_names_itself() -> None:
    assert faulty("out-of-memory").document["error"] == "OutOfMemoryError"


def test_a_late_refusal_comes_after_the_work() -> None:
    with Simulator("drawthings", delay_s=0.2, faults=["late-422:s=0.1"]) as server:
        started_s = time.monotonic()
        heard = ask(server, "txt2img", {**SMALL, "width": 128, "height": 128})

    assert heard.status == 422
    assert time.monotonic() - started_s >= 0.3


def test_a_redirect_leads_into_a_trap_that_the_log_shows() -> None:
    with Simulator(faults=["redirect"]) as server:
        heard = ask(server, "txt2img", SMALL)
        followed = ask(server, heard.headers["location"])

    assert (heard.status, heard.headers["location"]) == (307, TRAP_PATH)
    assert followed.status == 404
    assert server.log[-1].path == TRAP_PATH


def test_a_web_page_may_come_for_an_answer() -> None:
    heard = faulty("html")

    assert (heard.status, heard.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert heard.body.startswith(b"<!doctype html>")


def test_images_may_be_missing() -> None:
    assert "images" not in faulty("no-images").document
    assert faulty("empty-images").document["images"] == []
    assert faulty("blank-image").document["images"] == [""]


def test_base64_may_be_broken() -> None:
    text = str(faulty("broken-base64").document["images"][0])  # type: ignore[index]

    with pytest.raises(ValueError, match=r"base64|padding|Non"):
        base64.b64decode(text, validate=True)


def test_an_image_file_may_be_cut() -> None:
    heard = faulty("truncated-png")
    data = base64.b64decode(str(heard.document["images"][0]), validate=True)  # type: ignore[index]

    assert data.startswith(b"\x89PNG")
    with pytest.raises((OSError, SyntaxError)):
        Image.open(io.BytesIO(data)).load()


@pytest.mark.parametrize("dialect", ["a1111", "sdnext", "koboldcpp"])
def test_an_image_may_have_another_size_or_be_black(dialect: str) -> None:
    small, black = faulty("wrong-size", dialect).images[0], faulty("black", dialect).images[0]

    assert small.size == (32, 32)
    assert black.size == (64, 64)
    assert max(black.convert("L").tobytes()) <= 1


def test_a_black_image_keeps_its_generation_text() -> None:
    heard = faulty("black")

    assert heard.images[0].info["parameters"] == heard.info["infotexts"][0]  # type: ignore[index]


def test_there_may_be_one_image_too_many() -> None:
    assert len(faulty("image-count").images) == 2


def test_json_may_hold_what_is_no_number() -> None:
    assert b"NaN" in faulty("nan").body


def test_json_may_be_nested_beyond_reason() -> None:
    with pytest.raises(RecursionError):
        json.loads(faulty("deep").body)


@pytest.mark.parametrize(
    "fault", ["no-images", "empty-images", "blank-image", "truncated-png", "black", "image-count", "nan"]
)
def test_extras_are_damaged_too(fault: str) -> None:
    body = {"image": encoded((8, 8)), "upscaler_1": "Lanczos"}
    with Simulator() as server:
        good = ask(server, "extra-single-image", body).body
        server.next_faults(fault)
        heard = ask(server, "extra-single-image", body)

    assert heard.status == 200
    assert (heard.body == good) is (fault == "image-count")


def test_a_refusal_is_not_damaged() -> None:
    with Simulator(faults=["black"]) as server:
        heard = ask(server, "txt2img", {"steps": "many"})

    assert heard.status == 422


# --- the whole server


def test_a_restart_drops_everybody_and_forgets_the_queue() -> None:
    with Simulator(delay_s=600.0) as server:
        url = server.url
        threads = [threading.Thread(target=_lost, args=(server,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(server._workshop.pending) < 2:
            threading.Event().wait(0.001)
        server.restart()
        for thread in threads:
            thread.join(60)
        status, progress = ask(server, STATUS_PATH).document, ask(server, "progress").document

        assert server.url == url

    assert status["starts"] == 2
    assert status["uptime_s"] < 60  # type: ignore[operator]
    assert progress["state"]["job_count"] == 0  # type: ignore[index]


def _lost(server: Simulator) -> None:
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(server, "txt2img", SMALL)


def test_a_restarted_server_answers_again_after_a_while() -> None:
    with Simulator(faults=["restart:n=1,s=0.2"]) as server:
        _lost(server)
        started_s, refused = time.monotonic(), 0
        while True:
            try:
                heard = ask(server, "txt2img", SMALL)
                break
            except (ConnectionError, http.client.HTTPException):
                refused += 1

    assert heard.status == 200
    assert refused
    assert 0.1 <= time.monotonic() - started_s < 30


def test_what_ran_before_a_restart_is_not_remembered_after_it() -> None:
    with Simulator() as server:
        generate(server, force_task_id="mine")
        before = ask(server, "/internal/progress", {"id_task": "mine"}).document["completed"]
        server.restart()
        after = ask(server, "/internal/progress", {"id_task": "mine"}).document["completed"]

    assert (before, after) == (True, False)


def test_a_restart_may_change_settings() -> None:
    with Simulator() as server:
        server.restart(options={"samples_format": "jpg"})

        assert generate(server).images[0].format == "JPEG"


def test_stopping_does_not_wait_for_the_end_of_an_outage() -> None:
    with Simulator() as server:
        thread = threading.Thread(target=server.restart, args=(600.0,))
        thread.start()
        while server._server is not None:
            threading.Event().wait(0.001)
    thread.join(60)
    server.restart()

    assert not thread.is_alive()
    with pytest.raises(RuntimeError):
        _ = server.url


def test_leaking_memory_ends_in_a_restart() -> None:
    with Simulator(faults=["leak:mb=0.5,s=0"]) as server:
        heard = [generate(server).status for _ in range(7)]
        held = sum(len(piece) for piece in server._leaked)
        ask(server, "txt2img", SMALL)
        while not server._over.is_set() and server._starts < 2:
            threading.Event().wait(0.001)

    assert heard == [200] * 7
    assert held == 7 * 512 * 1024
    assert server._leaked == []


# --- who gets what


def test_the_next_requests_get_exactly_what_was_said() -> None:
    with Simulator() as server:
        server.next_faults("busy", None, "out-of-memory")
        statuses = [ask(server, "txt2img", SMALL).status for _ in range(4)]
        polled = ask(server, "progress").status
        counts = ask(server, STATUS_PATH).document["faults"]

    assert statuses == [503, 200, 500, 200]
    assert polled == 200
    assert counts == {"busy": 1, "out-of-memory": 1}


def test_the_same_seed_hits_the_same_requests() -> None:
    runs = []
    for _ in range(2):
        with Simulator("koboldcpp", faults=["busy:p=0.3", "empty-images:p=0.3"], seed=5) as server:
            for _ in range(12):
                ask(server, "txt2img", SMALL)
            runs.append([exchange.fault for exchange in server.log])

    assert runs[0] == runs[1]
    assert {"busy", "empty-images", ""} == set(runs[0])


def test_other_routes_are_hit_only_when_all_are_named() -> None:
    with Simulator(faults=["busy"]) as narrow, Simulator(faults=["busy:on=all"]) as wide:
        assert ask(narrow, "options").status == 200
        assert ask(wide, "options").status == 503


@pytest.mark.parametrize("fault", ["fire", "reset:p=7"])
def test_a_fault_that_makes_no_sense_is_refused(fault: str) -> None:
    with pytest.raises(ValueError, match="fault"):
        Simulator(faults=[fault])
    with pytest.raises(ValueError, match="fault"):
        Simulator().next_faults(fault)


def test_each_fault_has_one_line() -> None:
    assert all(line and "\n" not in line for line in FAULTS.values())
