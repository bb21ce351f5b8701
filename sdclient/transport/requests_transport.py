"""The only module that knows `requests`."""

from __future__ import annotations

import http.client
import logging
import os
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import requests
import requests.adapters
import requests.utils
import urllib3
import urllib3.exceptions

from sdclient.errors import CodecError, ConfigurationError, SDClientError
from sdclient.transport.address import ServerAddress, origin_of, safe_url
from sdclient.transport.call import CURRENT_CALL, Call, Fault, WireFaultError
from sdclient.transport.cancel import CancelToken
from sdclient.transport.connection import POOL_CLASSES, SOCKET_OPTIONS
from sdclient.transport.contract import CallLimits, HttpReply, HttpSettings
from sdclient.transport.decoding import Inflater, SizeLimitError
from sdclient.transport.faults import cancelled_before, translate

__all__ = ["RequestsTransport"]

_log = logging.getLogger(__name__)

_MIB = 1024 * 1024
# A body of known length comes in one piece up to this size: no joining, no second copy.
_KNOWN_LENGTH_STEP_BYTES = 64 * _MIB
_OPEN_LENGTH_STEP_BYTES = _MIB
_OWN_HEADERS = {
    "accept": "*/*",
    # On a home network packing the base64 of an image costs the server more time than it saves the wire.
    "accept-encoding": "identity",
    "user-agent": "sdclient",
}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,  # the HTTP parser's, about numbers that are none
    WireFaultError,
)


class RequestsTransport:
    """Sends requests over the network: one fresh connection each, exactly one try, no redirects.

    Thread-safe: any number of threads may send at the same time. Nothing is kept between calls, neither
    connections nor cookies.

    Args:
        settings: Limits and trust of every call, the defaults where None.
        server: Whose credentials to use. They are sent along, without being asked for, to its origin and
            to no other; other origins are reached without credentials.
    """

    def __init__(self, settings: HttpSettings | None = None, *, server: ServerAddress | None = None) -> None:
        self.settings = settings if settings is not None else HttpSettings()
        self._server = server
        self._tls: ssl.SSLContext | None = None
        self._tls_lock = threading.Lock()

    def send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limits: CallLimits | None = None,
        cancel: CancelToken | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> HttpReply:
        """Send one request and return the whole reply (see `Transport.send`)."""
        request = self._prepare(method, url, body, headers or {})
        call = Call(f"{method} {safe_url(url)}", limits or self.settings, on_sent)
        if cancel is not None and cancel.cancelled:
            raise cancelled_before(call.label)
        with call.watched(cancel):
            try:
                reply = self._exchange(request, call)
            except SDClientError:
                raise
            except _FAILURES as exc:
                raise translate(exc, call) from exc
        _log.debug("%s: %d, %d bytes in %.3f s", call.label, reply.status, len(reply.body), reply.elapsed_s)
        return reply

    def _prepare(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        """Build the request, credentials included where the URL is of their origin."""
        origin = origin_of(url)
        if not _TOKEN.fullmatch(method):
            raise ConfigurationError(f"{method[:20]!r} {safe_url(url)}: no HTTP method")
        merged = dict(_OWN_HEADERS)
        if body is not None:
            merged["content-type"] = "application/json"
        if self._server is not None and self._server.credentials is not None and self._server.origin == origin:
            merged["authorization"] = self._server.credentials.authorization()
        merged.update(_checked_headers(headers))
        try:
            return requests.Request(method, url, headers=merged, data=body).prepare()
        except (requests.RequestException, ValueError):
            # The reason is left out of the chain on purpose: it may quote a header.
            raise ConfigurationError(
                f"{method} {safe_url(url)}: not a URL that can be called; check its host and path"
            ) from None

    def _exchange(self, request: requests.PreparedRequest, call: Call) -> HttpReply:
        """Send and read, with every failure as the libraries raise it."""
        url = str(request.url)
        connect_timeout_s = min(call.limits.connect_timeout_s, call.limits.deadline_s or call.limits.connect_timeout_s)
        proxies = dict(requests.utils.get_environ_proxies(url)) if self.settings.trust_env else {}
        tls = self._tls_context() if url.lower().startswith("https") else None
        token = CURRENT_CALL.set(call)
        try:
            # The adapter is called without a session, which would read the whole body of a redirect, keep
            # cookies, and look for credentials in the user's netrc file.
            with (
                closing(_OneCallAdapter(tls)) as adapter,
                closing(
                    adapter.send(
                        request,
                        stream=True,
                        timeout=(connect_timeout_s, None),
                        verify=self.settings.verify is not False,
                        proxies=proxies,
                    )
                ) as response,
            ):
                return _read_reply(response.raw, call)
        finally:
            CURRENT_CALL.reset(token)

    def _tls_context(self) -> ssl.SSLContext:
        """Return the TLS context, loaded once: the certificates take some 20 ms to read."""
        with self._tls_lock:
            if self._tls is None:
                self._tls = _load_tls_context(self.settings)
            return self._tls


class _OneCallAdapter(requests.adapters.HTTPAdapter):
    """An adapter for a single call: a fresh connection, never a second try."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._options: dict[str, object] = {"socket_options": SOCKET_OPTIONS}
        if tls is not None:
            self._options["ssl_context"] = tls
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: object) -> None:  # noqa: FBT001, FBT002 - the signature is that of requests
        super().init_poolmanager(connections, maxsize, block, **self._options, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = POOL_CLASSES

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: object) -> urllib3.ProxyManager:
        if not proxy.lower().startswith("http"):
            raise ConfigurationError(
                f"proxy {safe_url(proxy)!r}: only http proxies are supported; set trust_env to False"
            )
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, **self._options, **proxy_kwargs)
        manager.pool_classes_by_scheme = POOL_CLASSES
        return manager

    def cert_verify(self, conn: object, url: object, verify: object, cert: object) -> None:
        """Leave the certificates to the TLS context: requests would load them anew for each connection."""


def _checked_headers(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give the caller's headers with lower-case names; the values appear in no message, one may be a secret."""
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not value.isascii() or not value.isprintable():
            raise ConfigurationError(
                f"header {name[:40]!r}: the name or value holds a character that HTTP does not allow"
            )
        yield name.lower(), value


def _load_tls_context(settings: HttpSettings) -> ssl.SSLContext:
    """Build the context that the settings ask for."""
    verify = settings.verify
    if verify is True and settings.trust_env:
        verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    if verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    # The system's own authorities come along: a home network's private one is installed there.
    path = requests.utils.DEFAULT_CA_BUNDLE_PATH if verify is True else verify
    context = ssl.create_default_context() if verify is True else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        is_folder = Path(path).is_dir()
        context.load_verify_locations(cafile=None if is_folder else path, capath=path if is_folder else None)
    except OSError as exc:
        raise ConfigurationError(
            f"TLS certificates {path!r}: cannot be read ({exc.strerror or exc}); check `verify`"
        ) from exc
    return context


def _read_reply(raw: urllib3.HTTPResponse, call: Call) -> HttpReply:
    """Read the body within the limits, the headers being there."""
    headers = {name.lower(): raw.headers[name] for name in raw.headers}
    inflater = _inflater_for(headers, call)
    body = _read_body(raw, inflater, call)
    # A compressed stream carries its own end and checksum.
    is_whole_stream = inflater is not None and inflater.is_whole
    if inflater is not None and call.body_bytes and not is_whole_stream:
        raise WireFaultError(
            Fault.BAD_ENCODING if call.is_framed else Fault.BODY_CUT, "the compressed stream stops early"
        )
    length_known = call.is_framed or is_whole_stream
    # Where the end of the connection is the end of the body, ending the connection looks just like it.
    if not length_known and call.ended is not None:
        raise WireFaultError(Fault.BODY_CUT)
    return HttpReply(raw.status, headers, body, call.elapsed_s(), length_known)


def _inflater_for(headers: Mapping[str, str], call: Call) -> Inflater | None:
    """Choose how to decompress the body, None for not at all."""
    transfer = headers.get("transfer-encoding", "chunked").strip().lower()
    coding = headers.get("content-encoding", "identity").strip().lower()
    # Of the transfer codings the standard library knows this one, and takes the framing of any other for content.
    if transfer not in {"chunked", "identity"}:
        raise WireFaultError(Fault.BAD_ENCODING, f"transfer-encoding {transfer[:40]!r}")
    if coding in {"identity", ""}:
        return None
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise WireFaultError(Fault.BAD_ENCODING, f"content-encoding {coding[:40]!r}, which was not asked for")
    return Inflater("deflate" if coding == "deflate" else "gzip", call.limits.max_reply_bytes)


def _read_body(raw: urllib3.HTTPResponse, inflater: Inflater | None, call: Call) -> bytes:
    """Read and decompress to the end, never more than the limit and one step in memory."""
    limit, announced = call.limits.max_reply_bytes, call.announced_bytes
    if announced is not None and announced > limit:
        raise WireFaultError(Fault.BODY_TOO_LONG, f"{announced} bytes announced")
    step_bytes = _OPEN_LENGTH_STEP_BYTES if announced is None else min(max(announced, 1), _KNOWN_LENGTH_STEP_BYTES)
    call.await_body()
    pieces: list[bytes] = []
    while piece := raw.read(step_bytes, decode_content=False):
        call.body_bytes += len(piece)
        if call.body_bytes > limit:
            raise WireFaultError(Fault.BODY_TOO_LONG)
        pieces.append(piece if inflater is None else _inflate(inflater, piece))
    # urllib3 notices this by itself only from its version 2 on.
    if announced is not None and call.body_bytes < announced:
        raise WireFaultError(Fault.BODY_CUT)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _inflate(inflater: Inflater, piece: bytes) -> bytes:
    try:
        return inflater.feed(piece)
    except SizeLimitError as exc:
        raise WireFaultError(Fault.BODY_TOO_LONG, "once decompressed") from exc
    except CodecError as exc:
        raise WireFaultError(Fault.BAD_ENCODING, str(exc)) from exc
