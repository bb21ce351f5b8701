"""Tells the language of words: English is what most image models were taught, and headings follow their captions."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from sdclient.recipes.story.manifest import Idea, Manifest

NOT_ENGLISH = (
    "these ideas do not look like English. Most Stable Diffusion models know little else, and draw what a few "
    "familiar words suggest: translate the prompts (not the captions) in ideas.json, or let a language model write "
    "ideas in English with --base-url and --new-ideas"
)
_ENGLISH = frozenset("the and of to was his her that with is for she he it they from were had at by".split())  # noqa: SIM905 - a list of words reads better as one
_OTHERS = {
    code: frozenset(words.split())
    for code, words in {
        "es": "el la los las del en que y una con por su para se como",
        "fr": "le la les des une et dans est sur pas qui du au ils elle",
        "de": "der die das und ist nicht ein eine mit den dem auf von zu sie",
        "it": "il la che di un una per con nel della gli le si era",
        "pt": "o os uma que não com do da em para se ele ela no",
        "nl": "de het een en van niet op met zijn haar was dat te",
        "pl": "i w na się nie jest z do że jak to po był",
        "sv": "och att det som en på är av för med den till var hon",
        "tr": "ve bir bu için ile da de ne çok gibi daha",
        "vi": "và là của có trong một những được không cho",
    }.items()
}
_SCRIPTS = {"HANGUL": "ko", "GREEK": "el", "HEBREW": "he", "THAI": "th", "DEVANAGARI": "hi", "CJK": "zh"}
"""Scripts that tell the language well enough for a heading."""
_LETTERS = {
    "ARABIC": (("ٹڈڑےں", "ur"), ("پچژگی", "fa"), ("", "ar")),
    "CYRILLIC": (("ў", "be"), ("іїєґ", "uk"), ("ыэё", "ru")),
}
"""Letters of scripts that several languages share, and which of them they tell; the first that is there counts."""
_KANA_PART = 0.1
_LOOKED_AT_CHARS = 20_000
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
    return all(sum(word in other for word in words) < max(_FEW_WORDS, english + 1) for other in _OTHERS.values())


def language_of(text: str) -> str:
    """Return the language of a text as a code such as ``ja``; empty where neither script nor small words tell it."""
    text = text[:_LOOKED_AT_CHARS]
    scripts = Counter(unicodedata.name(char, "").split(" ", 1)[0] for char in text if char.isalpha())
    if not scripts:
        return ""
    if scripts["HIRAGANA"] + scripts["KATAKANA"] > _KANA_PART * scripts.total():
        return "ja"
    script = scripts.most_common(1)[0][0]
    if script == "LATIN":
        return _by_small_words(text)
    shared = _LETTERS.get(script, ())
    return _SCRIPTS.get(script) or next((code for some, code in shared if not some or set(some) & set(text)), "")


def _by_small_words(text: str) -> str:
    words = Counter(word.casefold() for word in _WORD.findall(text))
    counts = {code: sum(words[one] for one in small) for code, small in {"en": _ENGLISH, **_OTHERS}.items()}
    best = max(counts, key=lambda code: counts[code])
    return best if counts[best] >= _FEW_WORDS else ""
