"""Addresses as people write them, origins, and credentials that never show."""

from __future__ import annotations

import base64
import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.errors import ConfigurationError
from sdclient.transport import Credentials, Origin, origin_of, parse_server_url, safe_url

PRINTABLE = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("text", "base_url", "host", "port", "is_loopback"),
    [
        ("http://host:7860", "http://host:7860", "host", 7860, False),
        ("host:7860", "http://host:7860", "host", 7860, False),
        ("host", "http://host", "host", 80, False),
        ("localhost:7860/", "http://localhost:7860", "localhost", 7860, True),
        ("HTTP://GPU-2.Local:7860", "http://gpu-2.local:7860", "gpu-2.local", 7860, False),
        ("https://host/sub/", "https://host/sub", "host", 443, False),
        ("host:7860/sdapi/v1", "http://host:7860", "host", 7860, False),
        ("https://host/sub/sdapi/v1/txt2img", "https://host/sub", "host", 443, False),
        ("https://host:443", "https://host", "host", 443, False),
        ("http://host:443", "http://host:443", "host", 443, False),
        ("127.0.0.2:1", "http://127.0.0.2:1", "127.0.0.2", 1, True),
        ("0.0.0.0:7860", "http://0.0.0.0:7860", "0.0.0.0", 7860, True),  # noqa: S104 - connected to, not bound
        ("[::1]:7860", "http://[::1]:7860", "::1", 7860, True),
        ("http://[::ffff:127.0.0.1]", "http://[::ffff:127.0.0.1]", "::ffff:127.0.0.1", 80, True),
        ("http://[fe80::1%25eth0]:7860", "http://[fe80::1%25eth0]:7860", "fe80::1%25eth0", 7860, False),
        ("sd_webui.localhost:65535", "http://sd_webui.localhost:65535", "sd_webui.localhost", 65535, True),
        ("http://müller.local:7860", "http://müller.local:7860", "müller.local", 7860, False),
        ("host.:7860", "http://host:7860", "host", 7860, False),
    ],
)
def test_an_address_is_understood(text: str, base_url: str, host: str, port: int, *, is_loopback: bool) -> None:
    address = parse_server_url(text)

    assert (address.base_url, address.host, address.port, address.is_loopback) == (base_url, host, port, is_loopback)
    assert address.credentials is None
    assert address.origin == origin_of(address.url("/sdapi/v1/txt2img"))


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "http://", "//", "/", ":7860", "ftp://host", "file:///etc/passwd", "host:", "http://host//x", "http:/host",
        "http://ho st", " http://host", "http://host\n", "http://host:0", "http://host:65536", "http://host:x",
        "http://host:-1", "http://host?x=1", "http://host#x", "http://a,b", "http://[::1", "http://[x]",
        "http://a..b", "http://" + "a" * 64, "http://host\\x", "http://a://b", "unix:///run/x.sock", "http://[1.2.3.4]x",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^server address "):
        parse_server_url(text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_configuration_error(text: str) -> None:
    try:
        address = parse_server_url(text)
    except ConfigurationError:
        return
    assert parse_server_url(address.base_url).with_credentials(address.credentials) == address
    assert "@" not in address.base_url.partition("://")[2].partition("/")[0]


def test_the_user_part_becomes_credentials_and_leaves_the_url() -> None:
    address = parse_server_url("https://us%40er:p%3Aa%2Fss@host:7860/sub")

    assert address.credentials == Credentials("us@er", "p:a/ss")
    assert address.base_url == "https://host:7860/sub"
    assert address.url("/x") == "https://host:7860/sub/x"


def test_an_empty_user_part_is_no_credentials() -> None:
    assert parse_server_url("http://@host").credentials is None


def test_credentials_can_be_replaced() -> None:
    address = parse_server_url("http://a:b@host").with_credentials(Credentials("c", "d"))

    assert address.credentials == Credentials("c", "d")
    assert address.with_credentials(None).credentials is None


@given(PRINTABLE.filter(lambda text: ":" not in text), PRINTABLE)
def test_credentials_are_written_as_basic_authentication(username: str, password: str) -> None:
    value = Credentials(username, password).authorization()

    scheme, _, encoded = value.partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded).decode("utf-8") == f"{username}:{password}"


@pytest.mark.parametrize(("username", "password"), [("", "x"), ("a:b", "x"), ("a\n", "x"), ("a", "x\r\ny")])
def test_credentials_that_cannot_be_sent_are_refused_without_repeating_them(username: str, password: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Credentials(username, password)

    assert "a:b" not in str(caught.value)


def test_credentials_show_in_no_repr() -> None:
    credentials = Credentials("geraldine", "hunter2")
    address = parse_server_url("http://geraldine:hunter2@host")

    shown = f"{credentials} {credentials!r} {address} {address!r} {[credentials]!r}"

    assert "hunter2" not in shown
    assert "geraldine" not in shown


def test_addresses_survive_pickling_and_copying() -> None:
    address = parse_server_url("http://geraldine:hunter2@host:7860")

    assert pickle.loads(pickle.dumps(address)) == copy.deepcopy(address) == address  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    "text",
    [
        "http://geraldine:hunter2@ho st",
        "http://geraldine:hunter2@host:x",
        "http://geraldine:hunter2@host:99999/x",
        "geraldine:hunter2@[broken",
        "http://geraldine:hun/ter2@host?",
        "ftp://geraldine:hunter2@host",
        "http://geraldine:hunter2@http://host",
        "geraldine:hunter2@",
    ],
)
def test_a_refused_address_does_not_repeat_its_credentials(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_server_url(text)

    assert not any(secret in str(caught.value) for secret in ("geraldine", "hunter2", "hun/", "ter2"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a:b@host:1/x?token=1#y", "http://host:1/x"),
        ("http://a:b@c@host/x", "http://host/x"),
        ("host/x", "host/x"),
        ("http://host/" + "x" * 999, "http://host/" + "x" * 148),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert safe_url(url) == shown


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://Host/x", Origin("http", "host", 80)),
        ("https://host", Origin("https", "host", 443)),
        ("http://[::1]:7860/x?y", Origin("http", "::1", 7860)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: Origin) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url", ["", "host:1", "ftp://host", "http://a:b@host", "http://@host", "http://ho st", "http:///x"]
)
def test_a_url_that_cannot_be_called_has_no_origin(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^URL "):
        origin_of(url)
