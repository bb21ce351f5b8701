"""Splits a text by regular expressions, as a program of its own: nobody else can end an expression that runs wild.

Reads one JSON object on stdin and writes one on stdout. Imports the standard library only, to start fast.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TypedDict


class Work(TypedDict):
    """What is asked: the text, the two expressions, and how much is wanted."""

    text: str
    chapter: str
    prompt: str
    max_chapters: int
    max_entries: int


class Found(TypedDict):
    """One chapter: what stood before its first prompt, its prompts, and how many there were in all."""

    head: str
    entries: list[str]
    all_entries: int


class Answer(TypedDict):
    """The chapters wanted, and how many there were in all."""

    chapters: list[Found]
    all_chapters: int


def split(pattern: re.Pattern[str], text: str) -> list[str]:
    """Split as ``re.split`` does, except that groups in the expression add nothing."""
    pieces: list[str] = []
    begin = 0
    for match in pattern.finditer(text):
        pieces.append(text[begin : match.start()])
        begin = match.end()
    return [*pieces, text[begin:]]


def find(work: Work) -> Answer:
    """Find chapters and prompts; of each split the first piece comes before the first header and is none."""
    _, *chapters = split(re.compile(work["chapter"]), work["text"])
    prompt = re.compile(work["prompt"])
    found: list[Found] = []
    for chapter in chapters[: work["max_chapters"]]:
        head, *pieces = split(prompt, chapter)
        entries = [entry for piece in pieces if (entry := " ".join(piece.split()))]
        found.append({"head": head.strip(), "entries": entries[: work["max_entries"]], "all_entries": len(entries)})
    return {"chapters": found, "all_chapters": len(chapters)}


def main() -> None:
    """Answer one question."""
    sys.stdout.buffer.write(json.dumps(find(json.load(sys.stdin.buffer))).encode())


if __name__ == "__main__":
    main()
