"""The other way to illustrate a text: one image for every hundred words or so, from its beginning to its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sdclient.recipes.story.answers import Look, comparable, different
from sdclient.recipes.story.draft import Draft
from sdclient.recipes.story.extract import ExtractIdeas, key_sentences, other_views
from sdclient.recipes.story.ideas import IdeaSettings, prompt_of
from sdclient.recipes.story.manifest import Idea, Manifest, SectionIdeas
from sdclient.recipes.story.text import SourceText, thirds

EXTRACT_WORDS = 100
_CHARS_PER_WORD = 6
"""For scripts without blanks between words."""


class Reader(Protocol):
    """Whoever sees an image in an extract."""

    @property
    def name(self) -> str:
        """What the manifest calls the source."""
        ...

    def look(self, extract: str) -> Look:
        """Return what is to be seen and in which style; either may be empty."""
        ...


def pack(sentences: Sequence[str]) -> list[list[str]]:
    """Pack sentences, in order, into extracts of more than a hundred words; a short rest joins the one before."""
    packed: list[list[str]] = [[]]
    size = 0
    for sentence in sentences:
        packed[-1].append(sentence)
        size += _size(sentence)
        if size > EXTRACT_WORDS:
            packed.append([])
            size = 0
    if len(packed) > 1 and size <= EXTRACT_WORDS / 2:
        rest = packed.pop()
        packed[-1] += rest
    return packed


def _size(sentence: str) -> int:
    return max(len(sentence.split()), len(sentence) // _CHARS_PER_WORD)


def collect_extracts(
    source: SourceText, reader: Reader | None, settings: IdeaSettings, draft: Draft | None = None
) -> Manifest:
    """See an image in every extract of a text.

    An extract in which nobody sees one is not left out: its key sentence stands in, and the manifest says so.

    Args:
        source: The text.
        reader: Whoever sees the images; None takes each extract's key sentence.
        settings: The style; how many ideas there are follows from the text.
        draft: Keeps every section as soon as it is complete, and has those of an attempt before; None keeps nothing.

    Raises:
        TransportError: If a language model is asked and cannot be reached.
        ServerError: If it refuses.
    """
    sections = draft.read() if draft is not None else []
    used = _Used({comparable(one.idea) for before in sections for one in before.ideas})
    for section, sentences in list(thirds(source.text).items())[len(sections) :]:
        ideas: list[Idea] = []
        for extract in pack(sentences):
            idea = _idea(extract, reader, used, settings)
            used.ideas.add(comparable(idea.idea))
            ideas.append(idea)
        sections.append(SectionIdeas(section=section, ideas=tuple(ideas)))
        if draft is not None:
            draft.keep(sections)
    name = ExtractIdeas().name if reader is None else reader.name
    return Manifest(title=source.title, text_sha256=source.sha256, source=name, sections=tuple(sections))


@dataclass(frozen=True, slots=True)
class _Used:
    """What earlier extracts have taken.

    Attributes:
        ideas: What equal ideas have in common: a long text has tens of thousands, and each is compared with all.
        views: The views of a sentence that are left: one that comes again in every extract is not begun anew each time.
    """

    ideas: set[str]
    views: dict[str, Iterator[str]] = field(default_factory=dict[str, Iterator[str]])

    def fresh(self, sentence: str) -> str:
        """Return a sentence, or where it is taken another view of it."""
        key = comparable(sentence)
        if key not in self.ideas:
            return sentence
        views = self.views.setdefault(key, other_views([sentence]))
        return next(one for one in views if comparable(one) not in self.ideas)


def _idea(extract: Sequence[str], reader: Reader | None, used: _Used, settings: IdeaSettings) -> Idea:
    seen = reader.look(" ".join(extract)) if reader is not None else Look("", "")
    fresh = [one for one in different([seen.content]) if comparable(one) not in used.ideas]
    if reader is not None and fresh:
        return Idea(idea=fresh[0], prompt=prompt_of(fresh[0], seen.style, settings.style), origin=reader.name)
    (key,) = key_sentences(extract, 1)
    idea = used.fresh(key)
    return Idea(idea=idea, prompt=prompt_of(idea, "", settings.style), origin=ExtractIdeas().name)
