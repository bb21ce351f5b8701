"""Tells whether words look like English, which is what most image models were taught."""

from __future__ import annotations

import re
import unicodedata

from sdclient.recipes.story.manifest import Idea, Manifest

NOT_ENGLISH = (
    "these ideas do not look like English. Most Stable Diffusion models know little else, and draw what a few "
    "familiar words suggest: translate the prompts (not the captions) in ideas.json, or let a language model write "
    "ideas in English with --base-url and --new-ideas"
)
_ENGLISH = frozenset("the and of to was his her that with is for she he it they from were had at by".split())  # noqa: SIM905 - a list of words reads better as one
_OTHERS = tuple(
    frozenset(words.split())
    for words in (
        "el la los las del en que y una con por su para se como",
        "le la les des une et dans est sur pas qui du au ils elle",
        "der die das und ist nicht ein eine mit den dem auf von zu sie",
        "il la che di un una per con nel della gli le si era",
        "o os uma que não com do da em para se ele ela no",
        "de het een en van niet op met zijn haar was dat te",
        "i w na się nie jest z do że to jak po był",
        "och att det som en på är av för med den till var hon",
        "ve bir bu için ile da de ne çok gibi daha",
        "và là của có trong một những được không cho",
    )
)
_FEW_WORDS = 3
_BEGINNING = 12
"""Characters by which a prompt is known to be its idea with words added, not a translation."""
_FOREIGN_PART = 0.2
_WORD = re.compile(r"[^\W\d_]+")


def has_english_prompts(manifest: Manifest) -> bool:
    """Tell whether what a story's images are drawn from may be English, whatever style is added to it."""
    ideas = [one for section in manifest.sections for one in section.ideas]
    return looks_english("\n".join(one.idea if _begins_with_idea(one) else one.prompt for one in ideas))


def _begins_with_idea(one: Idea) -> bool:
    return one.prompt[:_BEGINNING] == one.idea[:_BEGINNING]


def looks_english(text: str) -> bool:
    """Tell whether a text may be English: in Latin letters, and without more small words of another language.

    Lists of things without small words pass for English: what is said to be another language should be one.
    """
    letters = [char for char in text if char.isalpha()]
    foreign = sum(not unicodedata.name(char, "").startswith(("LATIN", "FULLWIDTH LATIN")) for char in letters)
    if foreign > _FOREIGN_PART * len(letters):
        return False
    words = [word.casefold() for word in _WORD.findall(text)]
    english = sum(word in _ENGLISH for word in words)
    return all(sum(word in other for word in words) < max(_FEW_WORDS, english + 1) for other in _OTHERS)
