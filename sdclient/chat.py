"""Asks a language model behind any OpenAI-compatible address: the only module that knows `openai`."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from sdclient.errors import (
    AuthenticationError,
    BadReplyError,
    ConfigurationError,
    DeadlineError,
    MissingExtraError,
    NotSentError,
    RejectedError,
    ServerBusyError,
    ServerFaultError,
)

if TYPE_CHECKING:
    import openai

_STATUS_BUSY = 429
_STATUS_FAULT = 500
_STATUS_MOVED = 300
_STATUS_REJECTED = 400
_STATUS_AUTH = (401, 403)
_ADDRESS = re.compile(r"https?://[^/\s@]+(/\S*)?\Z")
Api = Literal["chat", "completions"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Which model is asked, and where.

    Attributes:
        base_url: Address up to ``/v1``; None is OpenAI's own.
        model: The model's name; None takes the only one that the server has.
        api_key: Sent to that address alone; None where it wants none.
        api: ``chat``, or ``completions`` for models without a chat template.
        timeout_s: Longest silence before an answer, in seconds.
        temperature: 0 says always the same, 1 varies much.
    """

    base_url: str | None = None
    model: str | None = None
    api_key: str | None = None
    api: Api = "chat"
    timeout_s: float = 300.0
    temperature: float = 0.8


class LanguageModel:
    """A language model that answers questions; to be used as a context manager.

    Args:
        endpoint: Which one.

    Raises:
        MissingExtraError: If the package is missing.
        ConfigurationError: If no model is named and the server has none or several.
        TransportError: If it cannot be reached.
        ServerError: If it refuses.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.where = endpoint.base_url or "OpenAI"
        """Whom errors name."""
        self._client = _open_client(endpoint)
        try:
            self.name = endpoint.model or self._only_model()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> LanguageModel:  # noqa: PYI034 - Self needs a package beyond the standard library on 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, question: str, *, system: str, max_tokens: int) -> str:
        """Return the answer to a question; empty where there is none.

        Args:
            question: The question.
            system: What the model is told about its part; models without a chat are not.
            max_tokens: Where the answer of a model without a chat ends.

        Raises:
            TransportError: If it cannot be reached.
            ServerError: If it refuses.
        """
        end = self._endpoint
        with _words(self.where, self.name):
            if end.api == "completions":
                text = self._client.completions.create(
                    model=self.name, prompt=question, max_tokens=max_tokens, temperature=end.temperature
                )
                return _first([one.text for one in text.choices])
            reply = self._client.chat.completions.create(
                model=self.name,
                messages=[{"role": "system", "content": system}, {"role": "user", "content": question}],
                temperature=end.temperature,
            )
            return _first([one.message.content for one in reply.choices])

    def _only_model(self) -> str:
        with _words(self.where, ""):
            names = [one.id for one in self._client.models.list()]
        if len(names) == 1:
            return names[0]
        shown = ", ".join(sorted(names)[:10]) or "none"
        raise ConfigurationError(f"{self.where}: name one of its models with --model; it has {shown}")


def _first(texts: Sequence[str | None] | None) -> str:
    return (texts[0] or "") if texts else ""


def require_openai() -> None:
    """See that the package is there.

    Raises:
        MissingExtraError: If it is not.
    """
    try:
        import openai  # noqa: F401  # pyright: ignore[reportUnusedImport]  # looked for, not used
    except ImportError as exc:
        raise MissingExtraError("asking a language model needs a package: pip install 'sdclient[story]'") from exc


def _open_client(endpoint: Endpoint) -> openai.OpenAI:
    require_openai()
    import openai

    if endpoint.base_url is not None and not _ADDRESS.match(endpoint.base_url):
        # A password that was typed into it is not said again.
        shown = re.sub(r"//[^/]*@", "//…@", endpoint.base_url)[:80]
        raise ConfigurationError(
            f"--base-url {shown!r}: not an address; write it whole, such as http://127.0.0.1:11434/v1"
        )
    # The package's own client, except that it follows no redirect: a key goes to one address only. Since its
    # third version it has a client of another name for that.
    make: Callable[..., object] = getattr(openai, "DefaultHttpx2Client", openai.DefaultHttpxClient)
    return openai.OpenAI(
        base_url=endpoint.base_url or "https://api.openai.com/v1",
        # Servers at home want no key, and the package wants one.
        api_key=endpoint.api_key or "none",
        timeout=endpoint.timeout_s,
        http_client=make(follow_redirects=False),  # type: ignore[arg-type]  # two packages under one name
    )


@contextmanager
def _words(where: str, model: str) -> Generator[None]:
    """Translate the package's errors into ours."""
    import openai

    try:
        yield
    except openai.APITimeoutError as exc:
        raise DeadlineError(f"{where}: no answer in time; is the model loaded? It is safe to run again") from exc
    except openai.APIConnectionError as exc:
        raise NotSentError(
            f"{where}: cannot be reached ({exc.__cause__ or exc}); start it, or give another address"
        ) from exc
    except openai.APIStatusError as exc:
        raise _status_error(where, model, exc.status_code, _reason(exc)) from exc
    except (openai.OpenAIError, ValueError, TypeError, AttributeError) as exc:
        raise BadReplyError(
            f"{where}: answers, but not as an OpenAI-compatible server ({str(exc)[:120]}); "
            "the address usually ends in /v1"
        ) from exc


def _reason(exc: openai.APIStatusError) -> str:
    return " ".join(str(exc.message).split())[:200]


def _status_error(where: str, model: str, status: int, why: str) -> Exception:
    if status in _STATUS_AUTH:
        return AuthenticationError(f"{where}: wants another key ({why}); set it in the variable of --key-env", status)
    if status == _STATUS_BUSY:
        return ServerBusyError(f"{where}: quota or rate limit reached ({why}); run again later", status)
    if status >= _STATUS_FAULT:
        return ServerFaultError(f"{where}: failed ({why}); run again, or look at that server's log", status)
    if _STATUS_MOVED <= status < _STATUS_REJECTED:
        return RejectedError(f"{where}: answers with a redirect, which is not followed; give the final address", status)
    return RejectedError(f"{where}: refused for model {model!r} ({why}); see --model and --base-url", status)
