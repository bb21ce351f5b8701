"""One prompt of a list, or of an image, with what goes along with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One prompt of a list, with what it changes and what is only carried along.

    Attributes:
        changes: Request fields.
        columns: The user's own columns.
        name: Name of its images; empty makes one of the number and the prompt.
        sets: Changes deep inside the request, as ``--set`` takes them: ``controls[0].weight=0.4``.
    """

    changes: Mapping[str, JsonValue]
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    name: str = ""
    sets: tuple[str, ...] = ()


def prompt_row(prompt: str | Mapping[str, JsonValue] | PromptRow) -> PromptRow:
    """Return a prompt, a mapping of request fields, or a row as a row."""
    if isinstance(prompt, PromptRow):
        return prompt
    if isinstance(prompt, str):
        return PromptRow({"prompt": prompt})
    deep = {name: value for name, value in prompt.items() if "." in name or "[" in name}
    sets = tuple(f"{name}={json.dumps(value)}" for name, value in deep.items())
    return PromptRow({name: value for name, value in prompt.items() if name not in deep}, sets=sets)
