"""From a text to ideas and prompts: exactly so many for each section, whoever has the ideas."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sdclient.errors import BadReplyError
from sdclient.recipes.story.answers import different
from sdclient.recipes.story.draft import Draft
from sdclient.recipes.story.extract import ExtractIdeas
from sdclient.recipes.story.manifest import Idea, Manifest, SectionIdeas
from sdclient.recipes.story.text import SECTIONS, SourceText, thirds

STYLE = "detailed storybook illustration, soft natural light, rich colours, clear composition"
"""What is added to an idea to make it a prompt, unless something else is asked for."""
IDEAS_PER_SECTION = 5

_END_MARK = re.compile(r"\s*[.!?…。！？؟۔।]+([\"”’»」』)]*)\s*$")  # noqa: RUF001 - marks of other scripts
log = logging.getLogger(__name__)


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


def collect_ideas(source: SourceText, ideas: Ideas, settings: IdeaSettings, draft: Draft | None = None) -> Manifest:
    """Ask for the ideas of every section, each with its own part of the text.

    Where fewer come than are wanted, key sentences of the section fill the gap; the manifest says which.

    Args:
        source: The text.
        ideas: Whoever has ideas.
        settings: How many, and how they become prompts.
        draft: Keeps every section as soon as it is complete, and has those of an attempt before; None keeps nothing.

    Raises:
        TransportError: If a language model is asked and cannot be reached.
        ServerError: If it refuses, or its first answers hold no list of ideas.
    """
    parts = thirds(source.text)
    sections = draft.read() if draft is not None else []
    for section in SECTIONS[len(sections) :]:
        taken = [one.idea for before in sections for one in before.ideas]
        try:
            asked = ideas.ideas(section, parts[section], settings.count, taken)
        except BadReplyError as exc:
            if not sections:
                raise
            # It gave lists before, and they are not thrown away for this.
            log.info("%s; key sentences are taken for the %s", exc, section)
            asked = []
        found = different(asked, taken)[: settings.count]
        missing = settings.count - len(found)
        extra = ExtractIdeas().ideas(section, parts[section], missing, [*taken, *found]) if missing else []
        entries = [_idea(idea, ideas.name, settings) for idea in found]
        entries += [_idea(idea, ExtractIdeas().name, settings) for idea in extra]
        sections.append(SectionIdeas(section=section, ideas=tuple(entries)))
        if draft is not None:
            draft.keep(sections)
    return Manifest(title=source.title, text_sha256=source.sha256, source=ideas.name, sections=tuple(sections))


def _idea(idea: str, origin: str, settings: IdeaSettings) -> Idea:
    return Idea(idea=idea, prompt=prompt_of(idea, _words(idea, settings), settings.style), origin=origin)


def _words(idea: str, settings: IdeaSettings) -> str:
    return settings.writer.words_for(idea) if settings.writer is not None else ""


def prompt_of(idea: str, words: str, style: str) -> str:
    """Make a prompt of an idea, words of its own and the style that all share; either may be empty."""
    parts = [_END_MARK.sub(r"\1", idea), words.strip(" ,."), style.strip(" ,")]
    return ", ".join(part for part in parts if part)
