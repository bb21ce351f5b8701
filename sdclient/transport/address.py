"""Where a server is: its address, its origin, and the credentials bound to that origin."""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, unquote, urlsplit

from sdclient.errors import ConfigurationError

__all__ = ["Credentials", "Origin", "ServerAddress", "origin_of", "parse_server_url", "safe_url"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[\w.-]+")
# Every route of a server's API brings it along.
_API_PATH = re.compile(r"/sdapi/v1(/.*)?$", re.DOTALL)
_BLANK_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f]")
_EXAMPLE = "write it like http://192.168.1.20:7860"
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """A user name and a password for HTTP basic authentication; its `repr` shows neither.

    Attributes:
        username: Not empty, without a colon (the colon ends the name on the wire).
        password: May be empty.

    Raises:
        ConfigurationError: If the name is empty or holds a colon, or either holds a control character.
    """

    username: str
    password: str

    def __post_init__(self) -> None:
        if not self.username or ":" in self.username:
            raise ConfigurationError(
                "credentials: the user name is empty or holds a colon; basic authentication allows neither"
            )
        if not (self.username + self.password).isprintable():
            raise ConfigurationError(
                "credentials: the user name or password holds a control character; check how they were read"
            )

    def __repr__(self) -> str:
        return "Credentials(<hidden>)"

    def authorization(self) -> str:
        """Return the value of the `Authorization` header (basic, UTF-8)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")


@dataclass(frozen=True, slots=True)
class Origin:
    """What credentials are bound to: scheme, host and port, all three.

    Attributes:
        scheme: `http` or `https`.
        host: Lower case, IPv6 without brackets.
        port: 1 to 65535, the scheme's own where the URL names none.
    """

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """One server's address, taken apart.

    Attributes:
        base_url: Scheme, host, port and path prefix; no user name, no password, no slash at the end.
        host: Lower case, IPv6 without brackets.
        port: 1 to 65535.
        is_loopback: True where the address means this machine.
        credentials: From the URL's user part or from `with_credentials`; None where there are none.
    """

    base_url: str
    host: str
    port: int
    is_loopback: bool
    credentials: Credentials | None = field(default=None, repr=False)

    @property
    def origin(self) -> Origin:
        """The origin that the credentials are bound to."""
        return Origin(self.base_url.partition("://")[0], self.host, self.port)

    def url(self, path: str) -> str:
        """Return the full URL of `path`, which starts with a slash and comes after the prefix."""
        return self.base_url + path

    def with_credentials(self, credentials: Credentials | None) -> ServerAddress:
        """Return the same address with these credentials in place of its own."""
        return replace(self, credentials=credentials)


def parse_server_url(text: str) -> ServerAddress:
    """Read a server's address as people write it.

    `http://host:7860`, `host:7860`, `https://user:secret@host/prefix/` and `[::1]:7860` are all taken;
    without a scheme it is `http`. What a browser's address bar or another client's settings say of the API's own path
    (`http://host:7860/sdapi/v1`) is cut off.

    Args:
        text: The address. Never repeated in an error with its user part.

    Returns:
        The address, with the user part moved into `credentials`.

    Raises:
        ConfigurationError: If the scheme is another, the host is missing or malformed, the port is no port,
            or there are blanks, a query or a fragment.
    """
    shown = _without_userinfo(text)[:_SHOWN_CHARACTERS]
    if not text or _BLANK_OR_CONTROL.search(text) or "\\" in text:
        raise ConfigurationError(f"server address {shown!r}: empty, or holds a blank or a backslash; {_EXAMPLE}")
    parts, origin = _split(text if "://" in text else f"http://{text}", f"server address {shown!r}")
    if parts.query or parts.fragment or "//" in parts.path:
        raise ConfigurationError(f"server address {shown!r}: has a query, a fragment or a double slash; {_EXAMPLE}")
    return ServerAddress(
        base_url=f"{parts.scheme}://{_netloc(origin)}{_API_PATH.sub('', parts.path).rstrip('/')}",
        host=origin.host,
        port=origin.port,
        is_loopback=_is_loopback(origin.host),
        credentials=_credentials(parts),
    )


def origin_of(url: str) -> Origin:
    """Return the origin of a full URL.

    Raises:
        ConfigurationError: If `url` is no http or https URL, or carries a user part (credentials belong to
            the `ServerAddress`, which binds them).
    """
    what = f"URL {safe_url(url)!r}"
    if _BLANK_OR_CONTROL.search(url):
        raise ConfigurationError(f"{what}: holds a blank or a control character; percent-encode it")
    parts, origin = _split(url, what)
    if "@" in parts.netloc:
        raise ConfigurationError(f"{what}: carries a user name; put the credentials into the server's address instead")
    return origin


def safe_url(url: str) -> str:
    """Return `url` for messages and logs: without user part, query and fragment, cut short."""
    return re.split(r"[?#]", _without_userinfo(url), maxsplit=1)[0][: 2 * _SHOWN_CHARACTERS]


def _without_userinfo(text: str) -> str:
    """Drop everything up to the last `@` of the authority, even where the rest cannot be parsed."""
    scheme, mark, rest = text.rpartition("://") if text.count("://") == 1 else ("", "", text)
    # A password may hold `/`, `?` or `#` that its owner forgot to encode: cutting at the last `@` of the
    # whole text can only hide too much, never too little.
    return scheme + mark + rest.rpartition("@")[2]


def _split(url: str, what: str) -> tuple[SplitResult, Origin]:
    """Take a URL with a scheme apart, or say in `what` words why it cannot be."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # The reason is left out of the chain on purpose: it may quote the user part.
        raise ConfigurationError(f"{what}: the host or the port is malformed; {_EXAMPLE}") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ConfigurationError(f"{what}: the scheme is neither http nor https; {_EXAMPLE}")
    host = (parts.hostname or "").rstrip(".")
    # An empty port is what a mistyped scheme leaves behind: `http:/host` is not the host `http`.
    if not _is_host(host) or parts.netloc.endswith(":"):
        raise ConfigurationError(f"{what}: the host is missing or malformed; {_EXAMPLE}")
    if port == 0:
        raise ConfigurationError(f"{what}: port 0 is no port to connect to; {_EXAMPLE}")
    return parts, Origin(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])


def _is_host(host: str) -> bool:
    """Say whether `host` is an IPv6 address or looks like a host name (or IPv4 address)."""
    if ":" in host:
        return _ip(host) is not None
    return _HOST_NAME.fullmatch(host) is not None and all(0 < len(label) < 64 for label in host.split("."))  # noqa: PLR2004 - RFC 1035 ends a label at 63 characters


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return `host` as an IP address, None where it is a name."""
    try:
        return ipaddress.ip_address(host.replace("%25", "%"))
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    """Say whether connecting to `host` stays on this machine."""
    address = _ip(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None) or address
    # Servers print the address they listen on, 0.0.0.0; connecting to it reaches this machine.
    return mapped.is_loopback or mapped.is_unspecified


def _netloc(origin: Origin) -> str:
    """Write host and port as a URL does, the scheme's own port left out."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return host if origin.port == _DEFAULT_PORTS[origin.scheme] else f"{host}:{origin.port}"


def _credentials(parts: SplitResult) -> Credentials | None:
    """Read the user part of a URL; None where it is absent or empty."""
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Credentials(username, password) if username or password else None
