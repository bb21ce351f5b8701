"""From a text to ideas and prompts: exactly so many for each section, whoever has the ideas."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sdclient.recipes.story.answers import different
from sdclient.recipes.story.extract import ExtractIdeas
from sdclient.recipes.story.manifest import Idea, Manifest, SectionIdeas
from sdclient.recipes.story.text import SECTIONS, SourceText, thirds

STYLE = "detailed storybook illustration, soft natural light, rich colours, clear composition"
"""What is added to an idea to make it a prompt, unless something else is asked for."""
IDEAS_PER_SECTION = 5


_FULL_STOP = re.compile(r"\s*[.。]+([\"”»」]?)\s*$")


class Ideas(Protocol):
    """Whoever has ideas."""

    @property
    def name(self) -> str:
        """What the manifest calls the source."""
        ...

    def ideas(self, section: str, sentences: Sequence[str], count: int, taken: Collection[str]) -> list[str]:
        """Return ideas for a section, ``count`` where possible, none of them in ``taken``.

        Args:
            section: ``beginning``, ``middle`` or ``end``.
            sentences: The section's sentences, one at least.
            count: How many are wanted.
            taken: Ideas that are there already.
        """
        ...


class PromptWriter(Protocol):
    """Whoever turns an idea into prompt-English."""

    def words_for(self, idea: str) -> str:
        """Return words to add to an idea; empty where there are none."""
        ...


@dataclass(frozen=True, slots=True)
class IdeaSettings:
    """How ideas are made.

    Attributes:
        count: Ideas for each section.
        style: Words added to every idea; empty adds none.
        writer: Finds words for each idea on its own; None adds only ``style``.
    """

    count: int = IDEAS_PER_SECTION
    style: str = STYLE
    writer: PromptWriter | None = None


def collect_ideas(source: SourceText, ideas: Ideas, settings: IdeaSettings) -> Manifest:
    """Ask for the ideas of every section, each with its own part of the text.

    Where fewer come than are wanted, key sentences of the section fill the gap; the manifest says which.

    Raises:
        TransportError: If a language model is asked and cannot be reached.
        ServerError: If it answers with something that is no list of ideas.
    """
    parts = thirds(source.text)
    taken: list[str] = []
    sections: list[SectionIdeas] = []
    for section in SECTIONS:
        found = different(ideas.ideas(section, parts[section], settings.count, taken), taken)[: settings.count]
        origins = [ideas.name] * len(found)
        if len(found) < settings.count:
            missing = settings.count - len(found)
            extra = ExtractIdeas().ideas(section, parts[section], missing, [*taken, *found])
            found, origins = [*found, *extra], [*origins, *["extract"] * missing]
        taken += found
        entries = tuple(
            Idea(idea=idea, prompt=prompt_of(idea, _words(idea, settings), settings.style), origin=origin)
            for idea, origin in zip(found, origins, strict=True)
        )
        sections.append(SectionIdeas(section=section, ideas=entries))
    return Manifest(title=source.title, text_sha256=source.sha256, source=ideas.name, sections=tuple(sections))


def _words(idea: str, settings: IdeaSettings) -> str:
    return settings.writer.words_for(idea) if settings.writer is not None else ""


def prompt_of(idea: str, words: str, style: str) -> str:
    """Make a prompt of an idea, words of its own and the style that all share; either may be empty."""
    parts = [_FULL_STOP.sub(r"\1", idea), words.strip(" ,."), style.strip(" ,")]
    return ", ".join(part for part in parts if part)
