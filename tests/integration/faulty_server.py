"""A server of raw sockets that answers each request as a script says: the faults of real ones, on demand."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

JOIN_TIMEOUT_S = 10.0

# A key pair made for these tests and used nowhere else: for localhost and 127.0.0.1, from 2020 to 2120.
TEST_KEY_AND_CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgR6fSSsLmVA3ZOB1e
HqJym6oBseAsBxBFxQEqNnjx6O+hRANCAARhrBvfvffmRVkEaqv+5kQ/uQC2kbRS
LfCghLr5njGDH/ogk/8Q8RUaEEqwu+cOT1367PeIjQCr3ctwYOzRMLlE
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBfTCCASOgAwIBAgIBATAKBggqhkjOPQQDAjAfMR0wGwYDVQQDDBRzZGNsaWVu
dCB0ZXN0IHNlcnZlcjAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFow
HzEdMBsGA1UEAwwUc2RjbGllbnQgdGVzdCBzZXJ2ZXIwWTATBgcqhkjOPQIBBggq
hkjOPQMBBwNCAARhrBvfvffmRVkEaqv+5kQ/uQC2kbRSLfCghLr5njGDH/ogk/8Q
8RUaEEqwu+cOT1367PeIjQCr3ctwYOzRMLlEo04wTDAPBgNVHRMBAf8EBTADAQH/
MBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAdBgNVHQ4EFgQU+ZTl3HsSoLnY
C3OGAvB2q6e4UEkwCgYIKoZIzj0EAwIDSAAwRQIgRQnmHlEN8+trQZRSZ/cS30m9
oOeJVCOhNT9UWq9WlhcCIQDGZd2nTJOpfXdG++EzpAg2FvYR5Iap8U1DbYWqFgIu
Hg==
-----END CERTIFICATE-----
"""


@dataclass
class Received:
    """One request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Exchange:
    """One connection in the hands of a script."""

    conn: socket.socket
    stopped: threading.Event
    request: Received | None = None
    sent_bytes: int = 0

    def send(self, data: bytes) -> None:
        self.conn.sendall(data)
        self.sent_bytes += len(data)

    def reset(self) -> None:
        """Close so that the other side sees a reset rather than an end."""
        self.conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.conn.close()

    def hold(self, seconds: float = 60.0) -> None:
        """Keep the connection open and silent, until the server is stopped at the latest."""
        self.stopped.wait(seconds)

    def drip(self, data: bytes, every_s: float) -> None:
        """Send one byte, wait, and so on."""
        for value in data:
            if self.stopped.wait(every_s):
                return
            self.send(bytes([value]))

    def flood(self, piece: bytes) -> None:
        """Send the same piece for ever: until the other side has had enough."""
        while not self.stopped.is_set():
            self.send(piece)

    def is_closed_by_client(self) -> bool:
        """Wait for the other side's next move; True where it is the end of the connection."""
        with contextlib.suppress(ConnectionResetError):
            return self.conn.recv(1) == b""
        return True


Script = Callable[[Exchange], None]


@dataclass
class FaultyServer:
    """Listens on loopback and runs its script once for each connection, in a thread of its own.

    The script is called with the request read, unless `reads_request` is False; the connection is closed
    after it. What it raises other than a broken connection is raised again when the server is stopped.
    """

    script: Script
    reads_request: bool = True
    tls: ssl.SSLContext | None = None
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    sent_bytes: int = 0

    def __post_init__(self) -> None:
        self.stopped = threading.Event()
        self._errors: list[Exception] = []
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept)

    def url(self, path: str = "/sdapi/v1/txt2img", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def __enter__(self) -> FaultyServer:  # noqa: PYI034 - typing.Self is newer than Python 3.10
        self._acceptor.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stopped.set()
        with contextlib.suppress(OSError):
            # Wakes the acceptor up.
            socket.create_connection(("127.0.0.1", self.port), timeout=JOIN_TIMEOUT_S).close()
        self._acceptor.join(JOIN_TIMEOUT_S)
        self._listener.close()
        for conn in self._open:
            with contextlib.suppress(OSError):
                conn.shutdown(socket.SHUT_RDWR)
        self.join()
        if any(thread.is_alive() for thread in [self._acceptor, *self._threads]):
            raise RuntimeError("a thread of the faulty server does not end")
        if self._errors:
            raise self._errors[0]

    def join(self) -> None:
        """Wait until the scripts that run now have come to their end."""
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_S)

    def _accept(self) -> None:
        while True:
            conn, _ = self._listener.accept()
            if self.stopped.is_set():
                conn.close()
                return
            self.connections += 1
            self._open.append(conn)
            thread = threading.Thread(target=self._serve, args=(conn,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, conn: socket.socket) -> None:
        try:
            with self._wrapped(conn) as wrapped:
                exchange = Exchange(wrapped, self.stopped)
                if self.reads_request:
                    exchange.request = read_request(wrapped)
                    self.requests.append(exchange.request)
                try:
                    self.script(exchange)
                finally:
                    self.sent_bytes += exchange.sent_bytes
        except OSError:
            pass  # the client hung up, as it should on most of these scripts
        except Exception as exc:  # noqa: BLE001 - shown to the test that owns this server
            self._errors.append(exc)

    @contextlib.contextmanager
    def _wrapped(self, conn: socket.socket) -> Iterator[socket.socket]:
        with conn:
            if self.tls is None:
                yield conn
            else:
                with self.tls.wrap_socket(conn, server_side=True) as wrapped:
                    self._open.append(wrapped)
                    yield wrapped


def read_request(conn: socket.socket) -> Received:
    """Read one request with its body."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = conn.recv(65536)
        if not piece:
            raise ConnectionError("the client left inside the headers")
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (re.split(r":\s*", line, maxsplit=1) for line in lines)}
    pieces, missing = [body], int(headers.get("content-length", "0")) - len(body)
    while missing > 0:
        piece = conn.recv(min(missing, 1 << 20))
        if not piece:
            raise ConnectionError("the client left inside the body")
        pieces.append(piece)
        missing -= len(piece)
    method, target, _ = first.split(" ")
    return Received(method, target, headers, b"".join(pieces))


def answer(body: bytes = b"{}", status: str = "200 OK", *headers: str) -> bytes:
    """Write a whole reply of known length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def answering(reply: bytes) -> Script:
    """Return a script that sends these bytes and closes."""
    return lambda exchange: exchange.send(reply)


def server_tls(folder: Path) -> tuple[ssl.SSLContext, str]:
    """Return a TLS context for a server, and the path of the certificate that a client is to trust."""
    pem = folder / "test-server.pem"
    pem.write_text(TEST_KEY_AND_CERTIFICATE, encoding="ascii")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, str(pem)
