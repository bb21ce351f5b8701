"""A text to illustrate: read, named, taken apart into sentences and into beginning, middle and end. Any script."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdclient.errors import ConfigurationError
from sdclient.files import safe_name

SECTIONS = ("beginning", "middle", "end")
MAX_TEXT_BYTES = 20_000_000
MAX_SENTENCE_CHARS = 300
"""Longer than any sentence that makes one image; what is longer is cut at a clause or a word."""

_CLOSERS = "\"'”’»«)\\]』」】〉》›"  # noqa: RUF001 - marks of other scripts
# A Western full stop ends a sentence only before white space; the others also inside a line without spaces.
_SENTENCE_END = re.compile(rf"(?<=[.!?…])[{_CLOSERS}]*\s+|(?<=[。！？｡؟۔।॥։።៕။])[{_CLOSERS}]*\s*|\s*\n\s*\n\s*")  # noqa: RUF001 - marks of other scripts
_CLAUSE = re.compile(r"[,;:،؛、，；：—–]\s*|\s[-–—]\s")  # noqa: RUF001 - marks of other scripts
_BLANKS = re.compile(r"[^\S\n]+")
_ABBREVIATION = re.compile(r"(?:^|\s)(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Prof|Sr|Jr|vs|etc|No)\.$")
_ABBREVIATION_CHARS = 8


@dataclass(frozen=True, slots=True)
class SourceText:
    """A text to illustrate.

    Attributes:
        name: Names its folder.
        title: For people: the name in title case.
        text: The text, normalised; not empty.
        sha256: Hash of the text.
    """

    name: str
    title: str
    text: str
    sha256: str


def read_text(path: Path) -> SourceText:
    """Read a text file.

    Args:
        path: The file; ``.txt`` may be left out.

    Raises:
        ConfigurationError: If there is no such file, it is empty, too large, or no text in UTF-8.
    """
    if not path.exists() and path.with_name(f"{path.name}.txt").is_file():
        path = path.with_name(f"{path.name}.txt")
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise ConfigurationError(f"{path}: larger than {MAX_TEXT_BYTES // 1_000_000} MB; illustrate it in parts")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{path}: no text in UTF-8 ({exc.reason}); save it as UTF-8") from exc
    except OSError as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc.strerror}); name a text file") from exc
    text = _clean(text)
    if not any(char.isalnum() for char in text):
        raise ConfigurationError(f"{path}: holds no words; write the text to illustrate into it")
    return SourceText(story_name(path), title_of(path), text, hashlib.sha256(text.encode()).hexdigest())


def _clean(text: str) -> str:
    # Control characters mean nothing in a prompt and are forbidden in a document; line ends are kept.
    kept = (char if char == "\n" or unicodedata.category(char) not in ("Cc", "Cs") else " " for char in text)
    # Runs of blanks become one: they mean nothing, and an expression looking for line ends would crawl through them.
    return _BLANKS.sub(" ", unicodedata.normalize("NFC", "".join(kept))).strip()


def story_name(path: Path) -> str:
    """Return what a text's folder is called: its file's name without extension, blanks as hyphens."""
    return safe_name("-".join(path.stem.split()))


def title_of(path: Path) -> str:
    """Return a title for people: ``the_three-pigs.v2.txt`` is called The Three Pigs V2."""
    words = re.sub(r"[_\-\s]+|(?<=\w)\.(?=\w)", " ", story_name(path)).split()
    return " ".join(word[:1].upper() + word[1:] for word in words)


def sentences(text: str) -> list[str]:
    """Take a text apart into sentences of 300 characters at most, in order, none empty.

    Sentence marks of many scripts count, and blank lines; where there are none, clauses and words are counted out.
    """
    found: list[str] = []
    for piece in _joined_abbreviations(_marked(text)):
        found += _cut(" ".join(piece.split()))
    return [one for one in found if any(char.isalnum() for char in one)]


def _marked(text: str) -> list[str]:
    pieces: list[str] = []
    begin = 0
    for match in _SENTENCE_END.finditer(text):
        # What closes a quotation belongs to the sentence before; the white space after it to none.
        pieces.append(text[begin : match.start()] + match[0].rstrip())
        begin = match.end()
    return [*pieces, text[begin:]]


def _joined_abbreviations(pieces: Sequence[str]) -> list[str]:
    joined: list[str] = []
    for piece in pieces:
        # Only the end is looked at, and not for ever: "A. B. C. ..." is an alphabet, not a name.
        if joined and len(joined[-1]) < MAX_SENTENCE_CHARS and _ABBREVIATION.search(joined[-1][-_ABBREVIATION_CHARS:]):
            joined[-1] += " " + piece
        else:
            joined.append(piece)
    return joined


def _cut(sentence: str) -> list[str]:
    """Cut what is too long at a clause, else at a blank, else where it is full."""
    parts: list[str] = []
    begin = 0
    while len(sentence) - begin > MAX_SENTENCE_CHARS:
        window = sentence[begin : begin + MAX_SENTENCE_CHARS]
        clauses = [match.end() for match in _CLAUSE.finditer(window) if match.end() > MAX_SENTENCE_CHARS // 3]
        end = clauses[-1] if clauses else window.rfind(" ") + 1 or MAX_SENTENCE_CHARS
        parts.append(window[:end].strip())
        begin += end
    return [*parts, sentence[begin:].strip()]


def thirds(text: str) -> dict[str, list[str]]:
    """Return the sentences of beginning, middle and end, each about a third of the text's length.

    Where there are fewer than three sentences, sections share the last one; none is left without.
    """
    every = sentences(text)
    total = sum(len(one) for one in every)
    parts: dict[str, list[str]] = {section: [] for section in SECTIONS}
    seen = 0
    for one in every:
        # By the sentence's middle, so that a long one goes where most of it lies.
        place = min(2, int(3 * (seen + len(one) / 2) / max(1, total)))
        parts[SECTIONS[place]].append(one)
        seen += len(one)
    for index, section in enumerate(SECTIONS):
        if not parts[section]:
            nearest = min((other for other in SECTIONS if parts[other]), key=lambda o: abs(SECTIONS.index(o) - index))
            parts[section] = [parts[nearest][-1 if SECTIONS.index(nearest) < index else 0]]
    return parts
