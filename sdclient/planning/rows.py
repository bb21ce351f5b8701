"""One prompt of a list with what goes along with it, and the jobs that lists become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pydantic import JsonValue

from sdclient.files import safe_name
from sdclient.planning.jobs import JobList
from sdclient.steps.generate import GenerateSpec

_SLUG_CHARS = 40
_NUMBERED_DIGITS = 4


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One prompt of a list, with what it changes and what is only carried along.

    Attributes:
        changes: Request fields.
        columns: The user's own columns.
        name: Name of its images; empty makes one of the number and the prompt.
    """

    changes: Mapping[str, JsonValue]
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    name: str = ""


def prompt_row(prompt: str | Mapping[str, JsonValue] | PromptRow) -> PromptRow:
    """Return a prompt, a mapping of request fields, or a row as a row."""
    if isinstance(prompt, PromptRow):
        return prompt
    return PromptRow({"prompt": prompt} if isinstance(prompt, str) else dict(prompt))


def plan_prompts(spec: GenerateSpec, rows: Iterable[PromptRow], *, into: str = "") -> JobList:
    """Plan one job for every prompt; names are ``0001_a_red_fox``, or the rows' own."""
    listed = JobList()
    for number, row in enumerate(rows, start=1):
        name = row.name or f"{number:0{_NUMBERED_DIGITS}d}_{_slug(str(row.changes.get('prompt', spec.request.prompt)))}"
        listed.add(spec, str(PurePosixPath(into) / name), changes=row.changes, columns=row.columns)
    return listed


def _slug(prompt: str) -> str:
    words = "_".join("".join(char if char.isalnum() else " " for char in prompt).split())
    return safe_name(words[:_SLUG_CHARS].strip("_") or "image")
