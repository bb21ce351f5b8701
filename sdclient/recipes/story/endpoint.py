"""Ideas from a language model behind any OpenAI-compatible address: a hosted one, Ollama, llama.cpp or vLLM."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
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
from sdclient.recipes.story.answers import Look, different, parse_ideas, parse_look
from sdclient.recipes.story.extract import key_sentences

if TYPE_CHECKING:
    import openai

log = logging.getLogger(__name__)

TRIES = 3
"""How often a section is asked for before key sentences fill the gap."""
TEXT_BUDGET_CHARS = 12_000
"""Characters of a section that are sent at most: about 3,000 tokens of English, which small models take."""
_SUMMARY_SENTENCES = 8
_IDEA_TOKENS = 120
_WORDS_TOKENS = 60
_SHOWN = 60
"""Ideas that are taken, at most, in a question."""
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


class EndpointIdeas:
    """Asks a language model for ideas, and for words that make prompts of them; to be used as a context manager.

    Args:
        endpoint: Which one.
        summary_of: All sentences of the text, of which a short summary goes with every question.

    Raises:
        MissingExtraError: If the package is missing.
        ConfigurationError: If no model is named and the server has none or several.
        TransportError: If it cannot be reached.
        ServerError: If it refuses.
    """

    def __init__(self, endpoint: Endpoint, summary_of: Sequence[str] = ()) -> None:
        self._endpoint = endpoint
        self._where = endpoint.base_url or "OpenAI"
        self._client = _open_client(endpoint)
        self._summary = " ".join(key_sentences(summary_of, _SUMMARY_SENTENCES))
        try:
            self.name = endpoint.model or self._only_model()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> EndpointIdeas:  # noqa: PYI034 - Self needs a package beyond the standard library on 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ideas(self, section: str, sentences: Sequence[str], count: int, taken: Collection[str]) -> list[str]:
        """Ask for ideas, again for those that are missing, three times in all.

        A model that only repeats what is taken has no more: then there are fewer, or none.

        Raises:
            BadReplyError: If no answer held a list of ideas.
            TransportError: If it cannot be reached.
            ServerError: If it refuses.
        """
        found: list[str] = []
        answer, is_list = "", False
        for _ in range(TRIES):
            question = _question(section, self._summary, _trimmed(sentences), count - len(found), [*taken, *found])
            answer = self._ask(question, (count - len(found)) * _IDEA_TOKENS + _IDEA_TOKENS)
            listed = parse_ideas(answer)
            is_list = is_list or bool(listed)
            found += different(listed, [*taken, *found])
            if len(found) >= count:
                return found[:count]
            log.info("%s gave %d of %d ideas for the %s", self.name, len(found), count, section)
        if not is_list:
            raise BadReplyError(
                f"{self._where}: {self.name} gave no list of ideas in {TRIES} tries; its last answer began "
                f"{answer[:80]!r}; try another --model, or leave it out to take key sentences",
                body=answer[:2000],
            )
        return found

    def words_for(self, idea: str) -> str:
        """Ask for words that make a prompt of an idea; empty where the model has none.

        Raises:
            TransportError: If it cannot be reached.
            ServerError: If it refuses.
        """
        answer = self._ask(_words_question(idea), _WORDS_TOKENS)
        lines = [line.strip().strip("\"'") for line in answer.splitlines() if line.strip()]
        words = lines[0] if lines else ""
        # Some models say the idea again before they add to it.
        return words[len(idea) :] if words.casefold().startswith(idea.casefold()) else words

    def look(self, extract: str) -> Look:
        """Ask what is to be seen in an extract, and in which style.

        Raises:
            TransportError: If it cannot be reached.
            ServerError: If it refuses.
        """
        return parse_look(self._ask(_look_question(extract), _IDEA_TOKENS))

    def _only_model(self) -> str:
        with _words(self._where, ""):
            names = [one.id for one in self._client.models.list()]
        if len(names) == 1:
            return names[0]
        shown = ", ".join(sorted(names)[:10]) or "none"
        raise ConfigurationError(f"{self._where}: name one of its models with --model; it has {shown}")

    def _ask(self, question: str, max_tokens: int) -> str:
        end = self._endpoint
        with _words(self._where, self.name):
            if end.api == "completions":
                text = self._client.completions.create(
                    model=self.name, prompt=question, max_tokens=max_tokens, temperature=end.temperature
                )
                return _first([one.text for one in text.choices])
            reply = self._client.chat.completions.create(
                model=self.name,
                messages=[{"role": "system", "content": _SYSTEM}, {"role": "user", "content": question}],
                temperature=end.temperature,
            )
            return _first([one.message.content for one in reply.choices])


def _first(texts: Sequence[str | None] | None) -> str:
    return (texts[0] or "") if texts else ""


_SYSTEM = (
    "You choose illustrations for a text. Each idea is one sentence that says what can be seen: who or what, where, "
    "doing what, in which light. No lettering, no logos, no signs; no names where a description does better. "
    "Write English, whatever the language of the text: the image model knows little else."
)


def _question(section: str, summary: str, text: str, count: int, taken: Sequence[str]) -> str:
    parts = [f"What the whole text is about, in short:\n{summary}"] if summary else []
    parts.append(f"The {section} of the text:\n{text}")
    parts.append(
        f"Recommend exactly {count} different detailed images that illustrate this {section}. "
        f"Answer with a JSON array of exactly {count} strings and nothing else."
    )
    if taken:
        parts.append("These are taken already, so choose others:\n" + "\n".join(f"- {one}" for one in taken[-_SHOWN:]))
    return "\n\n".join(parts)


def _words_question(idea: str) -> str:
    examples = resources.files("sdclient.recipes.story").joinpath("prompts.txt").read_text(encoding="utf-8")
    return (
        "These are prompts that an image model draws well:\n\n"
        f"{examples.strip()}\n\n"
        "Which words, in the manner of those endings, would you add to the following prompt? Answer with the added "
        f"words only, on one line, separated by commas.\n\n{idea}"
    )


def _look_question(extract: str) -> str:
    examples = resources.files("sdclient.recipes.story").joinpath("extracts.txt").read_text(encoding="utf-8")
    return (
        "Find an image for an extract of a text: its content (what is to be seen; no names) and a style that fits the "
        f"content. Answer with two lines, as in these examples:\n\n{examples.strip()}\n\nextract: {extract}"
    )


def _trimmed(sentences: Sequence[str]) -> str:
    """Return a section's text, or of a long one its key sentences, in order and within the budget."""
    text = " ".join(sentences)
    if len(text) <= TEXT_BUDGET_CHARS:
        return text
    mean = len(text) / len(sentences)
    chosen = key_sentences(sentences, max(1, int(TEXT_BUDGET_CHARS / mean)))
    return " ".join(chosen)[:TEXT_BUDGET_CHARS]


def require_openai() -> None:
    """See that the package is there.

    Raises:
        MissingExtraError: If it is not.
    """
    try:
        import openai  # noqa: F401  # pyright: ignore[reportUnusedImport]  # looked for, not used
    except ImportError as exc:
        raise MissingExtraError(
            "asking a language model needs a package: pip install 'sdclient[story]'; "
            "without --base-url and --model, key sentences of the text are taken"
        ) from exc


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
            f"{where}: cannot be reached ({exc.__cause__ or exc}); start it, or leave --base-url and --model out"
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
