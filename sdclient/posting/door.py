"""How the libraries of outside services reach the network: with limits, and with failures in our words."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
import requests.adapters

from sdclient.errors import AnswerLostError, ConfigurationError, NotSentError, ServerBusyError

if TYPE_CHECKING:
    from collections.abc import Mapping

NONSENSE = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What libraries, and whoever reads what they give, raise at replies that hold something else than the service's own."""
TIMEOUTS_S = (15.0, 120.0)
"""To connect, and of silence; the libraries themselves would wait for ever."""


class Door(requests.adapters.HTTPAdapter):
    """Sends requests with time limits, to another address of the same service if one is given.

    Args:
        elsewhere: Address to send to instead of the service's own; None for its own.
    """

    def __init__(self, elsewhere: str | None = None) -> None:
        super().__init__()
        self._elsewhere = elsewhere.rstrip("/") if elsewhere else None

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - the same
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002 - the same
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request; its signature was made for the service's own address and stays."""
        if self._elsewhere is not None:
            request.url = f"{self._elsewhere}{request.path_url}"
        limits = TIMEOUTS_S if timeout is None else timeout
        return super().send(request, stream=stream, timeout=limits, verify=verify, cert=cert, proxies=proxies)


def go_through(session: requests.Session, elsewhere: str | None) -> requests.Session:
    """Have a session's requests go through the door."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, Door(elsewhere))
    return session


def check_address(url: str | None, option: str) -> None:
    """Refuse what is no address.

    Raises:
        ConfigurationError: If it is none.
    """
    if url is not None and not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"{option} {url[:60]!r}: is no address; write https://...")


@contextmanager
def network_errors(doing: str) -> Generator[None, None, None]:
    """Turn failures of the network into ours: never sent, or sent and nobody knows.

    Raises:
        NotSentError: If no connection stood.
        AnswerLostError: If it may have arrived.
    """
    try:
        yield
    except requests.RequestException as exc:
        reason = type(exc).__name__
        if is_never_sent(exc):
            raise NotSentError(no_connection(doing, urlsplit(str(getattr(exc.request, "url", ""))).netloc)) from exc
        raise AnswerLostError(f"{doing}: sent, and the answer was lost ({reason})") from exc


def no_connection(doing: str, where: str) -> str:
    """Return the words for a service that was not reached."""
    return (
        f"{doing}: no connection to {where or 'it'}; is the service or the network down? The same command tries again"
    )


def quota_error(doing: str, wait_s: float | None, detail: str = "") -> ServerBusyError:
    """Return the error for a quota that is used up, with the seconds until it is not, where they are known."""
    when = "" if wait_s is None else f"; it takes posts again in {wait_s:.0f} s"
    status = requests.codes.too_many_requests
    return ServerBusyError(f"{doing}: the quota is used up ({status}){when}", status, detail, None, wait_s)


def is_never_sent(exc: BaseException) -> bool:
    """Tell whether a failed request certainly never reached the service."""
    if isinstance(exc, requests.ConnectTimeout | requests.exceptions.SSLError | requests.exceptions.InvalidURL):
        return True
    inner: object = exc
    for _ in range(8):
        if type(inner).__name__ in ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError"):
            return True
        inner = getattr(inner, "reason", None) or next(iter(getattr(inner, "args", ())), None)
    return False
