"""The other way to illustrate a text: one image for every hundred words or so, from its beginning to its end."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from sdclient.recipes.story.answers import Look, comparable, different
from sdclient.recipes.story.draft import Draft
from sdclient.recipes.story.extract import ExtractIdeas, key_sentences, sentences_as_ideas
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
    for sentence in sentences:
        packed[-1].append(sentence)
        if _size(packed[-1]) > EXTRACT_WORDS:
            packed.append([])
    if len(packed) > 1 and _size(packed[-1]) <= EXTRACT_WORDS / 2:
        rest = packed.pop()
        packed[-1] += rest
    return packed


def _size(sentences: Sequence[str]) -> int:
    return sum(max(len(one.split()), len(one) // _CHARS_PER_WORD) for one in sentences)


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
    # Kept as what equal ideas have in common: a long text has tens of thousands, and each is compared with all.
    used = {comparable(one.idea) for before in sections for one in before.ideas}
    for section, sentences in list(thirds(source.text).items())[len(sections) :]:
        ideas: list[Idea] = []
        for extract in pack(sentences):
            idea = _idea(extract, reader, used, settings)
            used.add(comparable(idea.idea))
            ideas.append(idea)
        sections.append(SectionIdeas(section=section, ideas=tuple(ideas)))
        if draft is not None:
            draft.keep(sections)
    name = ExtractIdeas().name if reader is None else reader.name
    return Manifest(title=source.title, text_sha256=source.sha256, source=name, sections=tuple(sections))


def _idea(extract: Sequence[str], reader: Reader | None, used: AbstractSet[str], settings: IdeaSettings) -> Idea:
    seen = reader.look(" ".join(extract)) if reader is not None else Look("", "")
    fresh = [one for one in different([seen.content]) if comparable(one) not in used]
    if reader is not None and fresh:
        return Idea(idea=fresh[0], prompt=prompt_of(fresh[0], seen.style, settings.style), origin=reader.name)
    (idea,) = sentences_as_ideas(key_sentences(extract, 1), 1, used)
    return Idea(idea=idea, prompt=prompt_of(idea, "", settings.style), origin=ExtractIdeas().name)
