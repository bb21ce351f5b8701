"""Plans one job, or several, for every prompt of a list."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from sdclient.errors import PlanError
from sdclient.files import safe_name
from sdclient.planning.jobs import JobList
from sdclient.planning.rows import PromptRow
from sdclient.planning.wording import Wording
from sdclient.steps.generate import GenerateSpec

_SLUG_CHARS = 40
_NUMBERED_DIGITS = 4


def plan_prompts(
    spec: GenerateSpec, rows: Iterable[PromptRow], *, into: str = "", wording: Wording | None = None
) -> JobList:
    """Plan one job for every prompt; names are ``0001_a_red_fox``, or the rows' own.

    Args:
        spec: What all have in common.
        rows: The prompts.
        into: Folder for the images, relative to the output folder.
        wording: Templates and variations; None takes rows as they are.

    Raises:
        ConfigurationError: If a template names what a row does not have, or there would be absurdly many jobs.
        PlanError: If two rows have one name.
    """
    wording = wording or Wording(spec.request)
    rows = list(rows)
    wording.variations.refuse_absurd(len(rows))
    listed = JobList()
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        key = str(PurePosixPath(into) / (row.name or f"{number:0{_NUMBERED_DIGITS}d}"))
        for version in wording.versions(row, {"number": str(number)}, where=f"prompt {number}", key=key):
            prompt = str(version.changes.get("prompt", spec.request.prompt))
            name = row.name or f"{number:0{_NUMBERED_DIGITS}d}_{_slug(prompt)}"
            place = str(PurePosixPath(into) / f"{name}{version.label}")
            other = seen.setdefault(place.casefold(), number)
            if other != number:
                raise PlanError(f"prompts {other} and {number} would both become {place}; give them other names")
            listed.add(spec, place, changes=version.changes, columns=version.columns)
    return listed


def _slug(prompt: str) -> str:
    words = "_".join("".join(char if char.isalnum() else " " for char in prompt).split())
    return safe_name(words[:_SLUG_CHARS].strip("_") or "image")
