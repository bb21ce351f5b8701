"""Limits, replies, cancel tokens, decompression and strict JSON, without a socket between."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import math
import pickle
import socket
import threading
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient import transport
from sdclient.errors import CodecError, ConfigurationError
from sdclient.transport import CallLimits, CancelToken, HttpReply, HttpSettings, decode_json
from sdclient.transport.connection import SOCKET_OPTIONS
from sdclient.transport.decoding import Inflater, SizeLimitError, UnusableJsonError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def reply_of(body: bytes) -> HttpReply:
    return HttpReply(status=200, headers={}, body=body, elapsed_s=0.1)


# ---- the public names ----


def test_the_public_names_are_sorted_and_there() -> None:
    assert transport.__all__ == sorted(transport.__all__)
    assert all(hasattr(transport, name) for name in transport.__all__)


# ---- limits ----


def test_the_defaults_are_the_documented_ones() -> None:
    settings = HttpSettings()

    assert (settings.connect_timeout_s, settings.silence_timeout_s, settings.deadline_s) == (5.0, 60.0, None)
    assert settings.max_reply_bytes == 512 * 1024 * 1024
    assert (settings.verify, settings.trust_env) == (True, False)


def test_settings_serve_as_limits_with_a_few_replaced() -> None:
    limits: CallLimits = replace(HttpSettings(connect_timeout_s=1), deadline_s=7.5)

    assert (limits.connect_timeout_s, limits.deadline_s) == (1, 7.5)


@pytest.mark.parametrize(
    "name", ["connect_timeout_s", "silence_timeout_s", "deadline_s", "max_reply_bytes", "max_header_bytes"]
)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "5", True])
def test_a_limit_that_limits_nothing_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"CallLimits.{name}: "):
        CallLimits(**{name: value})


@pytest.mark.parametrize("name", ["connect_timeout_s", "max_reply_bytes", "max_header_bytes"])
def test_what_must_be_limited_cannot_be_none(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        HttpSettings(**{name: None})


# ---- replies ----


def test_a_reply_shows_everything_but_its_body() -> None:
    reply = reply_of(b"iVBORw0KGgo" * 1000)

    assert "iVBOR" not in repr(reply)
    assert len(repr(reply)) < 200


def test_a_reply_survives_pickling() -> None:
    reply = reply_of(b"[]")

    assert pickle.loads(pickle.dumps(reply)) == reply  # noqa: S301 - our own bytes


def test_a_reply_s_body_is_read_as_json() -> None:
    assert reply_of(b'{"images": []}').json() == {"images": []}
    assert reply_of(b"[1]").json_or_none() == [1]


def test_a_body_that_is_no_json_is_an_error_or_none() -> None:
    reply = reply_of(b"<html>")

    assert reply.json_or_none() is None
    with pytest.raises(CodecError, match="not JSON"):
        reply.json()


# ---- JSON ----


@given(JSON)
def test_decoding_json_undoes_encoding_it(value: object) -> None:
    assert decode_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_a_codec_error(body: bytes) -> None:
    with contextlib.suppress(CodecError):
        value = decode_json(body)
        assert decode_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"NaN", id="nan"),
        pytest.param(b'{"a": [Infinity]}', id="infinity"),
        pytest.param(b"-Infinity", id="minus-infinity"),
        pytest.param(b"1e999", id="too-large-a-float"),
        pytest.param(b"[" * 100_000, id="deep-list"),
        pytest.param(b'{"a":' * 100_000, id="deep-object"),
        pytest.param(b'"\xff"', id="not-utf-8"),
        pytest.param(b"{} {}", id="two-values"),
        pytest.param(b'{"images": ["iVBOR', id="cut"),
    ],
)
def test_json_that_is_not_strict_is_refused(body: bytes) -> None:
    with pytest.raises(CodecError) as caught:
        decode_json(body)

    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[NaN]", "JSON that holds NaN, which is no number"),
        (b"-1e999", "JSON that holds a number too large for any program"),
        (b"9" * 5000, "JSON that holds a number without end"),
        (b"[" * 100_000, "JSON that is nested too deep to be read"),
    ],
)
def test_json_that_is_one_and_cannot_be_used_says_what_it_holds(body: bytes, words: str) -> None:
    with pytest.raises(UnusableJsonError) as caught:
        decode_json(body)

    assert str(caught.value) == words


# ---- decompression ----


@given(st.binary(max_size=2000), st.integers(1, 50), st.sampled_from(["gzip", "deflate"]))
def test_decompressing_in_pieces_undoes_compressing(data: bytes, step: int, coding: str) -> None:
    packed = gzip.compress(data) if coding == "gzip" else zlib.compress(data)
    inflater = Inflater(coding, max_bytes=2000)

    out = b"".join(inflater.feed(packed[at : at + step + 1]) for at in range(0, len(packed), step + 1))

    assert out == data
    assert inflater.is_whole


@given(st.binary(min_size=1, max_size=500), st.integers(0, 499))
def test_decompressing_never_gives_more_than_the_limit(data: bytes, limit: int) -> None:
    inflater = Inflater("gzip", max_bytes=limit)

    if len(data) <= limit:
        assert inflater.feed(gzip.compress(data)) == data
    else:
        with pytest.raises(SizeLimitError):
            inflater.feed(gzip.compress(data))


def test_padding_after_a_gzip_stream_is_ignored() -> None:
    inflater = Inflater("gzip", max_bytes=100)

    assert inflater.feed(gzip.compress(b"abc") + bytes(9)) == b"abc"
    assert inflater.feed(bytes(9)) == b""
    assert inflater.is_whole


def test_the_limit_counts_all_members_of_a_gzip_stream() -> None:
    inflater = Inflater("gzip", max_bytes=5)

    with pytest.raises(SizeLimitError):
        inflater.feed(gzip.compress(b"abc") * 2)


def test_a_damaged_stream_is_a_codec_error() -> None:
    packed = bytearray(gzip.compress(b"abc" * 100))
    packed[-5] ^= 0xFF  # inside the checksum

    with pytest.raises(CodecError, match="damaged"):
        Inflater("gzip", max_bytes=1000).feed(bytes(packed))


def test_a_stream_that_stops_early_is_not_whole() -> None:
    inflater = Inflater("gzip", max_bytes=1000)
    inflater.feed(gzip.compress(b"abc" * 100)[:-1])

    assert not inflater.is_whole


# ---- cancelling ----


def test_cancelling_calls_every_callback_once() -> None:
    token, calls = CancelToken(), []
    token.subscribe(lambda: calls.append("a"))
    token.subscribe(lambda: calls.append("b"))

    token.cancel()
    token.cancel()

    assert token.cancelled
    assert calls == ["a", "b"]


def test_a_callback_that_was_taken_off_is_not_called() -> None:
    token, calls = CancelToken(), []
    unsubscribe = token.subscribe(lambda: calls.append("a"))
    unsubscribe()
    unsubscribe()

    token.cancel()

    assert calls == []


def test_a_callback_that_comes_late_is_called_at_once() -> None:
    token, calls = CancelToken(), []
    token.cancel()

    unsubscribe = token.subscribe(lambda: calls.append("a"))
    unsubscribe()

    assert calls == ["a"]


def test_a_callback_that_fails_keeps_none_of_the_others_from_being_called(caplog: pytest.LogCaptureFixture) -> None:
    token, calls = CancelToken(), []
    token.subscribe(lambda: 1 / 0)
    token.subscribe(lambda: calls.append("b"))

    token.cancel()

    assert calls == ["b"]
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.ERROR, "a cancel callback failed")
    ]


def test_a_callback_may_use_the_token_it_is_called_by() -> None:
    token, calls = CancelToken(), []
    token.subscribe(lambda: token.subscribe(lambda: calls.append(token.cancelled)))

    token.cancel()

    assert calls == [True]


def test_waiting_ends_when_another_thread_cancels() -> None:
    token = CancelToken()
    thread = threading.Thread(target=token.cancel)
    thread.start()

    assert token.wait(timeout_s=30)
    thread.join()


@pytest.mark.parametrize("timeout_s", [-1.0, 0.0, 0.001])
def test_waiting_ends_by_itself_when_nobody_cancels(timeout_s: float) -> None:
    assert not CancelToken().wait(timeout_s)


# ---- sockets ----


def test_the_system_takes_every_socket_option() -> None:
    with socket.socket() as sock:
        for level, option, value in SOCKET_OPTIONS:
            sock.setsockopt(level, option, value)

        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
