"""What a language model is asked about a story: ideas, words for a prompt, what an extract shows."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from importlib import resources
from types import TracebackType

from sdclient.chat import Endpoint, LanguageModel
from sdclient.errors import BadReplyError
from sdclient.recipes.story.answers import Look, different, parse_ideas, parse_look
from sdclient.recipes.story.extract import key_sentences

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
        self._model = LanguageModel(endpoint)
        self._summary = " ".join(key_sentences(summary_of, _SUMMARY_SENTENCES))
        self.name = self._model.name

    def __enter__(self) -> EndpointIdeas:  # noqa: PYI034 - Self needs a package beyond the standard library on 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._model.close()

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
            answer = self._ask(question, (count - len(found) + 1) * _IDEA_TOKENS)
            listed = parse_ideas(answer)
            is_list = is_list or bool(listed)
            found += different(listed, [*taken, *found])
            if len(found) >= count:
                return found[:count]
            log.info("%s gave %d of %d ideas for the %s", self.name, len(found), count, section)
        if not is_list:
            raise BadReplyError(
                f"{self._model.where}: {self.name} gave no list of ideas in {TRIES} tries; its last answer began "
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

    def _ask(self, question: str, max_tokens: int) -> str:
        return self._model.ask(question, system=_SYSTEM, max_tokens=max_tokens)


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
