"""Reads a language model's answer: a JSON list, or a list with numbers or dashes, with prose around it or not."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import cast

MAX_IDEA_CHARS = 600
_ITEM = re.compile(r"^\s*(?:\(?\d{1,3}[.):\]]|[-*•–])\s+(.*)$")  # noqa: RUF001 - dashes that people and models begin items with
_NUMBER = re.compile(r"(?<!\S)\(?(\d{1,3})([.):\]])\s+")
_LOOK = re.compile(r"^[^\w\n]*(content|style)\W*:[ *]*(\S.*)$", re.IGNORECASE | re.MULTILINE)
_THOUGHTS_END = "</think>"
_LOOSE_LIST = re.compile(r"\[\s*[\"'“]")
_LOOSE_TEXT = re.compile(r"(?<=[\[,\s])[\"'“]([^\n]{1,600}?)(?<!\\)[\"'”](?=\s*(?:[,\]]|//|\Z))")
_TEXT_KEYS = ("idea", "text", "prompt", "description", "image", "content")
_MAX_ANSWER_CHARS = 200_000
_LOOKED_AT_CHARS = 20_000
"""Of a list that is nearly JSON: more is no list of ideas."""
_MAX_TRIES = 1000
"""Brackets in an answer at which JSON may fail to begin, before it is taken to hold none."""


def parse_ideas(answer: str) -> list[str]:
    """Return the ideas in an answer, different ones, in order; none where it holds no list.

    Brackets and commas inside an idea are kept: nothing is split at them.
    """
    answer = _said(answer)
    whole = [one for one in _json_lists(answer) if one]
    lists = [different(one) for one in whole]
    if any(lists):
        return max(lists, key=len)
    # A list that is JSON and holds only blanks is none that is nearly JSON: its marks would be read as words.
    return different((not whole and _loose_list(answer)) or _items(answer))


def _said(answer: str) -> str:
    """Return an answer without what the model says to itself first: that may hold lists, too."""
    # Some servers take the first mark of it out, and leave the second.
    return answer[:_MAX_ANSWER_CHARS].rpartition(_THOUGHTS_END)[2]


@dataclass(frozen=True, slots=True)
class Look:
    """What is to be seen, and how.

    Attributes:
        content: What; empty where an answer does not say.
        style: How; empty where an answer does not say.
    """

    content: str
    style: str


def parse_look(answer: str) -> Look:
    """Read ``content:`` and ``style:`` out of an answer, wherever they stand in it."""
    answer = _said(answer)
    found = {match[1].casefold(): _tidy(match[2]) for match in _LOOK.finditer(answer)}
    return Look(found.get("content", ""), found.get("style", ""))


def different(ideas: Iterable[str], taken: Collection[str] = ()) -> list[str]:
    """Return ideas tidied up, without empty ones and without repeats (of each other or of ``taken``)."""
    seen = {comparable(one) for one in taken}
    kept: list[str] = []
    for idea in ideas:
        tidy = _tidy(idea)
        key = comparable(tidy)
        if key and key not in seen:
            seen.add(key)
            kept.append(tidy)
    return kept


def comparable(idea: str) -> str:
    """Return what two equal ideas have in common: their letters and digits."""
    return "".join(char for char in idea.casefold() if char.isalnum())


def _tidy(idea: str) -> str:
    text = " ".join(idea.split()).strip()
    text = text.replace("**", "").strip()
    if len(text) > 1 and text[0] in "\"'“‘" and text[-1] in "\"'”’":  # noqa: RUF001 - quotation marks of all kinds
        text = text[1:-1].strip()
    if len(text) <= MAX_IDEA_CHARS:
        return text
    return text[:MAX_IDEA_CHARS].rsplit(" ", 1)[0]


def _json_lists(answer: str) -> Iterator[list[str]]:
    """Yield every list of texts that stands somewhere in the answer as JSON."""
    decoder = json.JSONDecoder(strict=False)
    position, tries = 0, _MAX_TRIES
    lone: list[str] = []
    while tries and (position := _next_open(answer, position)) >= 0:
        try:
            value, end = decoder.raw_decode(answer, position)
        except (ValueError, RecursionError):
            position += 1
            tries -= 1
            continue
        yield from _lists_in(value)
        lone += [text] if isinstance(value, dict) and (text := _text(cast("object", value))) else []
        position = end
    # An object a line, with no list around them.
    yield lone


def _next_open(answer: str, begin: int) -> int:
    found = [place for char in "[{" if (place := answer.find(char, begin)) >= 0]
    return min(found, default=-1)


def _lists_in(value: object) -> Iterator[list[str]]:
    if isinstance(value, dict):
        parts = cast("dict[str, object]", value)
        if not _text(parts) and all(isinstance(part, str) for part in parts.values()):
            # Where a list was asked for, some answer with an object of numbers and ideas.
            yield [str(part) for part in parts.values()]
        for part in parts.values():
            yield from _lists_in(part)
    elif isinstance(value, list):
        texts = [text for one in cast("list[object]", value) if (text := _text(one))]
        if texts:
            yield texts
        for part in cast("list[object]", value):
            if isinstance(part, list):
                yield from _lists_in(cast("object", part))


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        named = cast("dict[str, object]", value)
        found = next((named[key] for key in _TEXT_KEYS if isinstance(named.get(key), str)), "")
        return str(found)
    return ""


def _loose_list(answer: str) -> list[str]:
    """Return the texts of a list that is nearly JSON: other quotation marks, a comma or a comment too much, no end."""
    begin = _LOOSE_LIST.search(answer)
    if begin is None:
        return []
    found = _LOOSE_TEXT.finditer(answer, begin.start(), begin.start() + _LOOKED_AT_CHARS)
    return [match[1].replace('\\"', '"') for match in found]


def _items(answer: str) -> list[str]:
    """Return the items of a list written by hand, one a line or all on one."""
    lines = answer.splitlines()
    found = _items_of(lines)
    return found if len(found) > 1 else _items_of(part for line in lines for part in _one_a_line(line))


def _items_of(lines: Iterable[str]) -> list[str]:
    """Return the items of a list with one a line; lines that follow one belong to it, up to an empty line."""
    items: list[str] = []
    is_open = False
    for line in lines:
        match = _ITEM.match(line)
        if match:
            items.append(match[1])
            is_open = True
        elif line.strip() and is_open:
            items[-1] += " " + line
        else:
            is_open = False
    return items


def _one_a_line(line: str) -> list[str]:
    """Take a line of several numbered items apart, such as ``Here: 1. a fox 2. an owl``."""
    begins: list[int] = []
    wanted = ("1", "")
    for match in _NUMBER.finditer(line):
        if match[1] == wanted[0] and match[2].startswith(wanted[1]):
            begins.append(match.start())
            wanted = (str(len(begins) + 1), match[2])
    if not begins[1:]:
        return [line]
    ends = [*begins[1:], len(line)]
    return [line[: begins[0]], *(line[begin:end] for begin, end in zip(begins, ends, strict=True))]
