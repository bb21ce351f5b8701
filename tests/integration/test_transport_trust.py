"""Whom the transport trusts: TLS, credentials, redirects and the environment, over real sockets."""

from __future__ import annotations

import logging
import re
import socket
import ssl
import traceback
from pathlib import Path

import pytest

from sdclient.errors import (
    AnswerLostError,
    ConfigurationError,
    DeadlineError,
    NotSentError,
    SDClientError,
    WrongServerError,
)
from sdclient.transport import HttpSettings, RequestsTransport, ServerAddress, parse_server_url
from tests.integration.faulty_server import Exchange, FaultyServer, Script, answer, answering, server_tls

OK = b"HTTP/1.1 200 OK\r\n"
SECRET = "hunter2secret"
USER = "geraldine"
# The name and the password as basic authentication writes them.
ENCODED = "Z2VyYWxkaW5lOmh1bnRlcjJzZWNyZXQ="


def address_of(server: FaultyServer) -> ServerAddress:
    return parse_server_url(f"http://{USER}:{SECRET}@127.0.0.1:{server.port}")


# ---- credentials ----


def test_credentials_are_sent_with_the_first_request() -> None:
    with FaultyServer(answering(answer())) as server:
        RequestsTransport(server=address_of(server)).send("GET", server.url())

    (request,) = server.requests
    assert request.headers["authorization"] == f"Basic {ENCODED}"


def test_credentials_stay_with_the_origin_they_belong_to() -> None:
    with FaultyServer(answering(answer())) as server, FaultyServer(answering(answer())) as stranger:
        transport = RequestsTransport(server=address_of(server))
        transport.send("GET", stranger.url())
        transport.send("GET", server.url().replace("127.0.0.1", "localhost"))

    assert ["authorization" in request.headers for request in stranger.requests + server.requests] == [False, False]


def test_a_url_that_carries_credentials_is_refused_without_repeating_them() -> None:
    with FaultyServer(answering(answer())) as server, pytest.raises(ConfigurationError) as caught:
        RequestsTransport().send("GET", f"http://{USER}:{SECRET}@127.0.0.1:{server.port}/x")

    assert SECRET not in str(caught.value)
    assert USER not in str(caught.value)
    assert server.connections == 0


ENDINGS: dict[str, Script] = {
    "reply": answering(answer(b"[]")),
    "lost": answering(b""),
    "wrong": answering(b"SSH-2.0\r\n"),
    "bad": answering(OK + b"Content-Length: 3\r\nContent-Encoding: br\r\n\r\nabc"),
    "cut": answering(OK + b"Content-Length: 9\r\n\r\nabc"),
}


@pytest.mark.parametrize("script", ENDINGS.values(), ids=ENDINGS.keys())
def test_credentials_appear_in_no_error_log_or_repr(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    with FaultyServer(script) as server:
        transport = RequestsTransport(server=address_of(server))
        try:
            shown = repr(transport.send("POST", server.url("/x"), body=b"{}"))
        except SDClientError as exc:
            shown = f"{exc} {exc!r}"

    everything = f"{shown} {caplog.text} {vars(transport)} {transport!r}"
    assert "127.0.0.1" in everything
    assert not re.search(f"{SECRET}|{ENCODED}|{USER}", everything)


def test_a_query_is_left_out_of_errors_and_of_our_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="sdclient")

    with FaultyServer(answering(b"")) as server, pytest.raises(AnswerLostError) as caught:
        RequestsTransport().send("GET", server.url("/x?token=" + SECRET))

    assert SECRET not in str(caught.value)


def test_a_failure_s_whole_traceback_shows_no_credentials() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    address = parse_server_url(f"http://{USER}:{SECRET}@127.0.0.1:{port}")

    with pytest.raises(NotSentError) as caught:
        RequestsTransport(server=address).send("GET", address.url("/x"))

    assert not re.search(f"{SECRET}|{ENCODED}|{USER}", "".join(traceback.format_exception(caught.value)))


# ---- redirects ----


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_returned_and_never_followed(status: int) -> None:
    with FaultyServer(answering(answer(b"{}"))) as elsewhere:
        redirect = answer(b"moved", f"{status} Moved", f"Location: {elsewhere.url()}")
        with FaultyServer(answering(redirect)) as server:
            reply = RequestsTransport(server=address_of(server)).send("POST", server.url(), body=b"{}")

    assert (reply.status, reply.body, reply.headers["location"]) == (status, b"moved", elsewhere.url())
    assert (server.connections, elsewhere.connections) == (1, 0)


# ---- the environment ----


@pytest.fixture
def tempting_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {SECRET}\n", encoding="ascii")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_proxies_and_netrc_are_ignored(tempting_environment: pytest.MonkeyPatch) -> None:
    with FaultyServer(answering(answer())) as server, FaultyServer(answering(answer())) as proxy:
        for name in ("http_proxy", "HTTP_PROXY"):
            tempting_environment.setenv(name, proxy.url(""))

        RequestsTransport().send("GET", server.url())

    assert (server.connections, proxy.connections) == (1, 0)
    assert "authorization" not in server.requests[0].headers


def test_a_proxy_is_used_when_the_environment_is_trusted_and_netrc_still_is_not(
    tempting_environment: pytest.MonkeyPatch,
) -> None:
    with FaultyServer(answering(answer(b"from the proxy"))) as proxy:
        tempting_environment.setenv("http_proxy", proxy.url(""))

        reply = RequestsTransport(HttpSettings(trust_env=True)).send("GET", "http://gpu.invalid:7860/x")

    assert reply.body == b"from the proxy"
    assert proxy.requests[0].target == "http://gpu.invalid:7860/x"
    assert "authorization" not in proxy.requests[0].headers


def test_tls_goes_through_a_proxy_s_tunnel(tempting_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context, certificate = server_tls(tmp_path)

    def tunnel(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(exchange.conn, server_side=True) as inner:
            request = b""
            while b"\r\n\r\n" not in request:
                request += inner.recv(65536)
            inner.sendall(answer(b"through the tunnel"))

    with FaultyServer(tunnel) as proxy:
        tempting_environment.setenv("https_proxy", proxy.url(""))
        tempting_environment.setenv("REQUESTS_CA_BUNDLE", certificate)

        reply = RequestsTransport(HttpSettings(trust_env=True)).send("GET", "https://localhost:7860/x")

    assert reply.body == b"through the tunnel"
    assert (proxy.requests[0].method, proxy.requests[0].target) == ("CONNECT", "localhost:7860")


def test_a_socks_proxy_is_refused_with_what_to_do(tempting_environment: pytest.MonkeyPatch) -> None:
    tempting_environment.setenv("http_proxy", f"socks5://{USER}:{SECRET}@127.0.0.1:1080")

    with pytest.raises(ConfigurationError, match="only http proxies are supported; set trust_env to False") as caught:
        RequestsTransport(HttpSettings(trust_env=True)).send("GET", "http://gpu.invalid:7860/x")

    assert SECRET not in str(caught.value)


# ---- TLS ----


def test_a_server_with_a_trusted_certificate_is_spoken_to(tmp_path: Path) -> None:
    context, certificate = server_tls(tmp_path)

    with FaultyServer(answering(answer(b"[]")), tls=context) as server:
        transport = RequestsTransport(HttpSettings(verify=certificate))
        replies = [transport.send("POST", server.url(scheme="https"), body=b"{}") for _ in range(2)]

    assert [reply.body for reply in replies] == [b"[]", b"[]"]


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_certificate_is_not_looked_at_when_verify_is_off(tmp_path: Path) -> None:
    context, _ = server_tls(tmp_path)

    with FaultyServer(answering(answer(b"[]")), tls=context) as server:
        reply = RequestsTransport(HttpSettings(verify=False)).send("POST", server.url(scheme="https"), body=b"{}")

    assert reply.body == b"[]"


def test_an_untrusted_certificate_is_refused_before_the_request(tmp_path: Path) -> None:
    context, _ = server_tls(tmp_path)

    with (
        FaultyServer(answering(answer()), tls=context) as server,
        pytest.raises(
            NotSentError, match=r"TLS certificate not trusted .*give the path of its certificate as `verify`"
        ),
    ):
        RequestsTransport().send("POST", server.url(scheme="https"), body=b"{}")

    assert (server.connections, server.requests) == (1, [])


def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    context, certificate = server_tls(tmp_path)

    with FaultyServer(answering(answer()), tls=context) as server, pytest.raises(NotSentError, match="not trusted"):
        RequestsTransport(HttpSettings(verify=certificate)).send("GET", f"https://127.1:{server.port}/x")

    assert server.requests == []


def test_tls_to_a_plain_server_hints_at_the_scheme() -> None:
    with (
        FaultyServer(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), reads_request=False) as server,
        pytest.raises(NotSentError, match="if the server has no TLS, write http://"),
    ):
        RequestsTransport().send("POST", server.url(scheme="https"), body=b"{}")

    assert server.connections == 1


def test_plain_http_to_a_tls_server_is_a_wrong_server_or_a_lost_answer(tmp_path: Path) -> None:
    context, _ = server_tls(tmp_path)

    with FaultyServer(answering(answer()), tls=context) as server, pytest.raises((WrongServerError, AnswerLostError)):
        RequestsTransport().send("POST", server.url(), body=b"{}")

    assert (server.connections, server.requests) == (1, [])


@pytest.mark.parametrize(
    "limits", [{"connect_timeout_s": 0.3}, {"deadline_s": 0.3}], ids=["connect-timeout", "deadline"]
)
def test_a_server_that_never_answers_the_handshake_is_not_sent_to(limits: dict[str, float]) -> None:
    with (
        FaultyServer(lambda exchange: exchange.hold(), reads_request=False) as server,
        pytest.raises(NotSentError, match=r"no connection in 0\.3 s"),
    ):
        RequestsTransport(HttpSettings(**limits)).send("POST", server.url(scheme="https"), body=b"{}")

    assert server.connections == 1


@pytest.mark.parametrize("start", [b"", OK + b"Content-Length: 999\r\n\r\n"], ids=["headers", "body"])
def test_a_deadline_ends_a_dripping_tls_server(start: bytes, tmp_path: Path) -> None:
    context, certificate = server_tls(tmp_path)

    def script(exchange: Exchange) -> None:
        exchange.send(start + b"H")
        exchange.drip(b"TTP/1.1" + b" " * 990, every_s=0.1)

    with FaultyServer(script, tls=context) as server, pytest.raises(DeadlineError):
        RequestsTransport(HttpSettings(verify=certificate, deadline_s=0.5)).send(
            "POST", server.url(scheme="https"), body=b"{}"
        )

    assert len(server.requests) == 1


@pytest.mark.parametrize("content", [None, "not a certificate"], ids=["missing", "nonsense"])
def test_a_certificate_path_that_cannot_be_read_is_a_configuration_error(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    if content is not None:
        path.write_text(content, encoding="ascii")

    with pytest.raises(ConfigurationError, match=r"certificate\.pem.*check `verify`"):
        RequestsTransport(HttpSettings(verify=str(path))).send("GET", "https://127.0.0.1:9/x")


def test_a_folder_of_certificates_is_taken_and_trusts_nobody_else(tmp_path: Path) -> None:
    context, _ = server_tls(tmp_path)
    (tmp_path / "trusted").mkdir()

    with FaultyServer(answering(answer()), tls=context) as server, pytest.raises(NotSentError, match="not trusted"):
        RequestsTransport(HttpSettings(verify=str(tmp_path / "trusted"))).send("GET", server.url(scheme="https"))

    assert server.requests == []


def test_the_test_certificate_is_still_valid(tmp_path: Path) -> None:
    context, certificate = server_tls(tmp_path)

    (seen,) = ssl.create_default_context(cafile=certificate).get_ca_certs()

    assert context.verify_mode is ssl.CERT_NONE
    assert str(seen["notAfter"]).endswith("2120 GMT")
