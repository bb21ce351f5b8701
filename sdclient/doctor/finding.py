"""A finding: one thing that was found out, how bad it is, and what to do; and findings as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from pydantic import JsonValue

Level = Literal["good", "note", "wrong", "no server"]
Topic = Literal["server", "auth", "busy", "models", "payload", "loss", "installed", "folder", "machine", "probe"]
_MARKS = {"good": "ok   ", "note": "note ", "wrong": "WRONG", "no server": "NONE "}
_NEXT_LINE = "\n" + " " * 9


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        level: How bad it is.
        subject: The server, payload or folder.
        text: What was found, and what to do.
        topic: What it is about, for programs.
        facts: The same in single values, for programs.
    """

    level: Level
    subject: str
    text: str
    topic: Topic = "server"
    facts: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    def to_json(self) -> dict[str, object]:
        """Return the finding as one JSON object."""
        return {
            "level": self.level,
            "subject": self.subject,
            "topic": self.topic,
            "text": self.text,
            "facts": dict(self.facts),
        }

    def __str__(self) -> str:
        return f"{_MARKS[self.level]}  {self.subject}: {self.text}"


def findings_text(findings: Iterable[Finding]) -> str:
    """Return findings as text: each subject once, what was found of it below."""
    lines: list[str] = []
    for subject, found in groupby(findings, key=lambda one: one.subject):
        lines.append(subject)
        lines += [_line(one) for one in found]
    return "\n".join(lines)


def _line(one: Finding) -> str:
    text = one.text.replace("\n", _NEXT_LINE)
    return f"  {_MARKS[one.level]}  {text}"
