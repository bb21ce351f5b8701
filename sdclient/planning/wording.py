"""What each row asks for in its own words: its fields, templates filled in, one version for each combination."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from pydantic import JsonValue

from sdclient.batch.plan import job_seed
from sdclient.errors import ConfigurationError, PayloadError
from sdclient.planning.rows import PromptRow
from sdclient.planning.templates import Template
from sdclient.planning.variations import Choice, Variations, label_of
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.schemas.generation import DIALECT_NAMES
from sdclient.schemas.problems import suggest
from sdclient.schemas.sets import apply_sets

TEXT_FIELDS = ("prompt", "negative_prompt")
"""Fields that may be templates."""


@dataclass(frozen=True, slots=True)
class Version:
    """One job's own words.

    Attributes:
        label: What is added to its name; empty where there is one version only.
        changes: Request fields.
        columns: The user's columns, with the values that vary.
    """

    label: str
    changes: Mapping[str, JsonValue]
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Combination:
    """One combination of varied values, worked out once for all rows."""

    label: str
    sets: tuple[str, ...]
    changes: Mapping[str, JsonValue]
    columns: Mapping[str, str]


@dataclass(slots=True)
class Wording:
    """Turns rows into versions.

    Attributes:
        request: What all have in common.
        templates: Texts to be filled, by field: ``prompt`` and ``negative_prompt``.
        variations: Fields with the values they take.
        run_seed: From which the seed that all versions of one image share is drawn.
    """

    request: Txt2Img | Img2Img
    templates: Mapping[str, str] = field(default_factory=dict[str, str])
    variations: Variations = field(default_factory=Variations)
    run_seed: int = 0
    _templates: list[Template] = field(init=False)
    _combinations: list[_Combination] = field(init=False)
    _is_seeded: bool = field(init=False)

    def __post_init__(self) -> None:
        """Read templates and combinations.

        Raises:
            ConfigurationError: If a template is for another field, or broken, or a varied name is unknown.
            PayloadError: If a varied value is not allowed.
        """
        other = next((name for name in self.templates if name not in TEXT_FIELDS), None)
        if other is not None:
            raise ConfigurationError(f"template for {other}: only {' and '.join(TEXT_FIELDS)} may be templates")
        self._templates = [Template.parse(name, text) for name, text in self.templates.items()]
        named = {name.casefold() for template in self._templates for name in template.names}
        # Before they are worked out: a slip may ask for millions.
        self.variations.refuse_absurd(1)
        self._combinations = [self._combine(choices, named) for choices in self.variations.combinations()]
        seeds = [self.request.seed, *(overlay.get("seed") for overlay in self.request.overlays.values())]
        self._is_seeded = any(isinstance(seed, int) and seed >= 0 for seed in seeds)

    @property
    def is_plain(self) -> bool:
        """True where a row that says nothing becomes one version that changes nothing."""
        return not (self._templates or self.variations.fields)

    @property
    def labels(self) -> tuple[str, ...]:
        """What the versions' names end in."""
        return tuple(one.label for one in self._combinations)

    def _combine(self, choices: tuple[Choice, ...], named: set[str]) -> _Combination:
        sets: list[str] = []
        for choice in choices:
            if is_request_field(type(self.request), choice.field):
                sets.append(f"{choice.field}={choice.text}")
            elif choice.field.casefold() not in named:
                known = list(type(self.request).model_fields)
                raise ConfigurationError(
                    f"--vary {choice.field}: neither a field of a request nor a name in a template"
                    f"{suggest(choice.field, known)}; a template says where it goes: --set 'prompt={{{choice.field}}}'"
                )
        columns = {choice.field: choice.shown for choice in choices}
        return _Combination(label_of(choices), tuple(sets), self._changes((), sets, "--vary"), columns)

    def _changes(self, own: tuple[str, ...], sets: list[str], said: str) -> dict[str, JsonValue]:
        """Return what ``--set``-like changes make of the request, by field."""
        if not own and not sets:
            return {}
        try:
            changed = apply_sets(self.request, [*own, *sets])
        except PayloadError as exc:
            # One line for each overlay that has the field; what was said is a field and its value.
            lines = [line.replace("--set", said, 1) for line in str(exc).split("\n")]
            raise type(exc)("\n".join(lines)) from exc
        before = self.request.model_dump(mode="json", exclude_unset=True)
        after = changed.model_dump(mode="json", exclude_unset=True)
        return {name: cast("JsonValue", value) for name, value in after.items() if before.get(name) != value}

    def _defaults(self) -> dict[str, str]:
        return {"prompt": self.request.prompt, "negative_prompt": self.request.negative_prompt}

    def versions(self, row: PromptRow, about: Mapping[str, str], *, where: str, key: str) -> Iterator[Version]:
        """Give every version of one row.

        Args:
            row: What it says itself.
            about: What else templates may name: the file's stem, its folder.
            where: Which row or image it is, for errors.
            key: Its place, from which the seed that its versions share is drawn.

        Raises:
            ConfigurationError: If a template names what is not there.
            PayloadError: If a field of the row does not fit the request.
        """
        for one in self._combinations:
            own = self._changes(row.sets, list(one.sets), where) if row.sets else one.changes
            changes: dict[str, JsonValue] = {**row.changes, **own}
            if self._templates:
                values = {**self._defaults(), **about, **_texts(row.changes), **row.columns}
                values |= {**_texts(own), **one.columns}
                changes |= {
                    template.field: template.fill(values, where)
                    for template in self._templates
                    if template.field not in one.columns
                }
            if one.label and not self._is_seeded and not _is_seed(changes.get("seed")):
                # Versions are for comparing: what differs shall be what was varied.
                changes["seed"] = job_seed(self.run_seed, self.request.kind, key)
            yield Version(one.label, changes, {**row.columns, **one.columns})


def is_request_field(cls: type[Txt2Img | Img2Img], name: str) -> bool:
    """Tell whether a name, perhaps dotted, begins with a field of a request, or with a dialect's name and a dot."""
    first = name.partition(".")[0].partition("[")[0]
    return first in cls.model_fields or (first in DIALECT_NAMES and "." in name)


def _is_seed(value: JsonValue) -> bool:
    return isinstance(value, int) and value >= 0


def _texts(changes: Mapping[str, JsonValue]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in changes.items()}
