"""A finding: one thing that was found out, how bad it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["good", "note", "wrong", "no server"]
_MARKS = {"good": "ok   ", "note": "note ", "wrong": "WRONG", "no server": "NONE "}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        level: How bad it is.
        subject: The server, payload or folder.
        text: What was found, and what to do.
    """

    level: Level
    subject: str
    text: str

    def to_json(self) -> dict[str, object]:
        """Return the finding as one JSON object."""
        return {"level": self.level, "subject": self.subject, "text": self.text}

    def __str__(self) -> str:
        return f"{_MARKS[self.level]}  {self.subject}: {self.text}"
