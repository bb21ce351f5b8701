"""Ideas without a language model: the sentences of a section that say most of what the section is about."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from sdclient.recipes.story.answers import comparable

VIEWS = (
    "wide view",
    "close-up",
    "seen from above",
    "seen from far away",
    "in silhouette",
    "at dusk",
    "a single detail",
    "seen from behind",
    "in morning light",
    "from the side",
    "in rain",
    "in fog",
    "by candlelight",
    "at noon",
    "in snow",
)
"""Put before a sentence where a section has fewer sentences than ideas are wanted."""
_WORD = re.compile(r"[^\W\d_]{4,}")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")
_QUOTE = re.compile('["“”«»「」]')
_GOOD_CHARS = 60
"""Shorter sentences (calls, answers, headings) seldom make an image."""


def key_sentences(sentences: Sequence[str], count: int) -> list[str]:
    """Return up to ``count`` different sentences that share most words with the others, in their order."""
    unique = list({comparable(one): one for one in reversed(sentences)}.values())[::-1]
    words = [_words(one) for one in unique]
    frequency = Counter(word for each in words for word in set(each))

    def weight(index: int) -> float:
        found = set(words[index])
        shared = sum(math.log1p(frequency[word]) for word in found) / math.sqrt(1 + len(found))
        # What people say is heard, not seen.
        seen = 0.5 if _QUOTE.search(unique[index]) else 1.0
        return shared * seen * min(1.0, len(unique[index]) / _GOOD_CHARS)

    best = sorted(range(len(unique)), key=lambda index: (-weight(index), index))[:count]
    return [unique[index] for index in sorted(best)]


def _words(sentence: str) -> list[str]:
    if _UNSPACED.search(sentence):
        # Scripts without blanks between words: pairs of characters do as well.
        return [sentence[index : index + 2] for index in range(len(sentence) - 1)]
    return [word.casefold() for word in _WORD.findall(sentence)]


@dataclass(frozen=True, slots=True)
class ExtractIdeas:
    """Key sentences as ideas; needs no server and no package."""

    name: str = field(default="extract", init=False)

    def ideas(self, section: str, sentences: Sequence[str], count: int, taken: Collection[str]) -> list[str]:
        """Return exactly ``count`` ideas for a section.

        Args:
            section: Which section; the answer does not depend on it.
            sentences: The section's sentences, one at least.
            count: How many are wanted.
            taken: Ideas that other sections have.
        """
        del section
        return sentences_as_ideas(sentences, count, {comparable(one) for one in taken})


def sentences_as_ideas(sentences: Sequence[str], count: int, used: AbstractSet[str]) -> list[str]:
    """Return exactly ``count`` ideas: key sentences, and where there are too few, other views of them.

    Args:
        sentences: One at least.
        count: How many are wanted.
        used: What other ideas have in common with equal ones, by `comparable`.
    """
    keys = key_sentences(sentences, count)
    found = [one for one in keys if comparable(one) not in used]
    fresh = (one for one in other_views(found or keys) if comparable(one) not in used)
    return found + list(itertools.islice(fresh, count - len(found)))


def other_views(sentences: Sequence[str]) -> Iterator[str]:
    """Yield the sentences in one view after the other, for ever, and never one twice."""
    for again in itertools.count(1):
        for view in VIEWS:
            yield from (f"{view}{f' {again}' if again > 1 else ''}: {one}" for one in sentences)
