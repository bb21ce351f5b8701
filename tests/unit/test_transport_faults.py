"""Which error a failure becomes, by the stage of its call, and the call's own switches."""

from __future__ import annotations

import errno
import http.client
import io
import socket
import ssl

import pytest
import urllib3

from sdclient.errors import AnswerLostError, BadReplyError, CancelledError, DeadlineError, NotSentError, SDClientError
from sdclient.transport.call import Call, Ended, Fault, Stage, WireFaultError
from sdclient.transport.contract import CallLimits
from sdclient.transport.faults import translate
from sdclient.transport.requests_transport import _read_body

LABEL = "POST http://gpu-2:7860/sdapi/v1/txt2img"


def call_at(stage: Stage, ended: Ended | None = None) -> Call:
    call = Call(LABEL, CallLimits(deadline_s=600))
    call.stage = stage
    call.ended = ended
    return call


UNREACHABLE = OSError(errno.EHOSTUNREACH, "No route to host")
TIMED_OUT = TimeoutError(errno.ETIMEDOUT, "Connection timed out")


@pytest.mark.parametrize(
    ("exc", "stage", "expected", "message"),
    [
        pytest.param(UNREACHABLE, Stage.CONNECTING, NotSentError, "no route to the host (No route to host)", id="no-route"),
        pytest.param(TIMED_OUT, Stage.CONNECTING, NotSentError, "no connection in 5 s", id="connect-timeout"),
        pytest.param(OSError(errno.EMFILE, "Too many open files"), Stage.CONNECTING, NotSentError, "no connection (Too many", id="files"),
        pytest.param(socket.gaierror(-3, "Try again"), Stage.CONNECTING, NotSentError, "unknown host", id="name"),
        pytest.param(ssl.SSLError(1, "[SSL] bad"), Stage.CONNECTING, NotSentError, "TLS failed ([SSL] bad)", id="tls"),
        pytest.param(TIMED_OUT, Stage.SENDING, AnswerLostError, "broke while the request was being sent", id="dead-in-request"),
        pytest.param(TIMED_OUT, Stage.WAITING, AnswerLostError, "broke before the answer (Connection timed out)", id="dead-in-wait"),
        pytest.param(TIMED_OUT, Stage.READING, AnswerLostError, "broke inside the answer (Connection timed out)", id="dead-in-body"),
        pytest.param(TimeoutError("timed out"), Stage.READING, DeadlineError, "silent for 60 s inside the answer", id="silence"),
        pytest.param(ConnectionResetError(), Stage.READING, AnswerLostError, "(ConnectionResetError)", id="reset"),
        pytest.param(http.client.LineTooLong("header line"), Stage.WAITING, BadReplyError, "broken headers", id="line"),
        pytest.param(ValueError("odd"), Stage.READING, AnswerLostError, "cut off, 0 bytes in", id="parser"),
    ],
)  # fmt: skip
def test_a_failure_is_judged_by_the_stage_of_its_call(
    exc: Exception, stage: Stage, expected: type[SDClientError], message: str
) -> None:
    error = translate(exc, call_at(stage))

    assert type(error) is expected
    assert str(error).startswith(f"{LABEL}: ")
    assert message in str(error)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("exc", [TIMED_OUT, WireFaultError(Fault.BODY_CUT), ssl.SSLError()], ids=["os", "fault", "tls"])
def test_a_cancelled_call_is_cancelled_whatever_it_failed_with(exc: Exception, stage: Stage) -> None:
    error = translate(exc, call_at(stage, Ended.CANCELLED))

    assert type(error) is CancelledError
    assert ("before it was sent" in str(error)) == (stage is Stage.CONNECTING)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize(
    "exc", [TIMED_OUT, WireFaultError(Fault.HEADERS_CUT), ssl.SSLError()], ids=["os", "fault", "tls"]
)
def test_a_call_past_its_deadline_says_so_and_whether_anything_was_sent(exc: Exception, stage: Stage) -> None:
    error = translate(exc, call_at(stage, Ended.DEADLINE))

    assert type(error) is (NotSentError if stage is Stage.CONNECTING else DeadlineError)
    assert "in 5 s" in str(error) if stage is Stage.CONNECTING else "in 600 s" in str(error)


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_has_words(fault: Fault) -> None:
    error = translate(WireFaultError(fault, "seen"), call_at(Stage.READING))

    assert isinstance(error, SDClientError)
    assert str(error).startswith(f"{LABEL}: ")


def test_a_cause_that_contains_itself_is_walked_once() -> None:
    exc, cause = OSError("outer"), OSError("inner")
    exc.__cause__, cause.__cause__ = cause, exc

    error = translate(exc, call_at(Stage.CONNECTING))

    assert "no connection (inner)" in str(error)


def test_a_long_reason_is_cut_short() -> None:
    error = translate(OSError("x" * 9999), call_at(Stage.CONNECTING))

    assert len(str(error)) < 400


# ---- the call's switches ----


def test_the_first_reason_to_end_a_call_is_kept() -> None:
    call = call_at(Stage.WAITING)

    call.end(Ended.DEADLINE)
    call.end(Ended.CANCELLED)

    assert call.ended is Ended.DEADLINE


def test_a_call_that_is_over_cannot_be_ended() -> None:
    call = call_at(Stage.READING)
    with call.watched(None):
        pass

    call.end(Ended.CANCELLED)

    assert call.ended is None


@pytest.mark.parametrize(("ended", "expected"), [(Ended.CANCELLED, CancelledError), (Ended.DEADLINE, NotSentError)])
def test_a_call_ended_while_it_connects_sends_nothing(ended: Ended, expected: type[SDClientError]) -> None:
    call = Call(LABEL, CallLimits(deadline_s=600))
    ours, theirs = socket.socketpair()

    with theirs, call.watched(None):
        call.end(ended)
        with pytest.raises(ConnectionAbortedError) as caught:
            call.capture(ours)

        assert theirs.recv(1) == b""
    assert type(translate(caught.value, call)) is expected


def test_ending_a_call_whose_connection_has_gone_is_harmless() -> None:
    call = Call(LABEL, CallLimits())
    with socket.socket() as never_connected, call.watched(None):
        call.capture(never_connected)

        call.end(Ended.DEADLINE)

    assert call.ended is Ended.DEADLINE


def test_a_body_shorter_than_announced_is_cut_even_where_the_library_does_not_notice() -> None:
    call = call_at(Stage.READING)
    call.announced_bytes = 9
    raw = urllib3.HTTPResponse(body=io.BytesIO(b"abc"), preload_content=False)

    with pytest.raises(WireFaultError) as caught:
        _read_body(raw, None, call)

    assert caught.value.fault is Fault.BODY_CUT
