"""Lists of values for fields, and one version of every image for each combination of them."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from sdclient.errors import ConfigurationError
from sdclient.files import safe_name

MAX_JOBS = 20_000
"""Jobs that variations may come to before they are taken for a slip."""

_FIELD = re.compile(r"[A-Za-z_][\w+\- ]*(\[\d{1,4}\])*(\.[A-Za-z_][\w+\- ]*(\[\d{1,4}\])*)*")
_LAST_NAME = re.compile(r"[A-Za-z_][\w+\- ]*")
_NOT_IN_LABEL = re.compile(r"[^\w.+-]+")
_LABEL_CHARS = 24
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of one field.

    Attributes:
        field: A request's field, perhaps dotted, or a name that a template uses.
        text: The value as it is written after ``--set field=``.
        shown: The value as people read it, in tables.
    """

    field: str
    text: str
    shown: str


@dataclass(frozen=True, slots=True)
class Variations:
    """Fields with the values they take.

    Attributes:
        fields: For each field its choices.
        zipped: The first value of each field goes with the first of the others, and so on; else every combination.
        max_jobs: Jobs that are still believed; more are taken for a slip.
    """

    fields: tuple[tuple[Choice, ...], ...] = ()
    zipped: bool = False
    max_jobs: int = MAX_JOBS

    @property
    def count(self) -> int:
        """How many versions there will be of each image."""
        if self.zipped:
            return max((len(choices) for choices in self.fields), default=1)
        return math.prod(len(choices) for choices in self.fields)

    def combinations(self) -> Iterator[tuple[Choice, ...]]:
        """Give each version's choices; the last field changes fastest."""
        if not self.zipped:
            yield from itertools.product(*self.fields)
        elif self.fields:
            yield from zip(
                *(choices * (self.count if len(choices) == 1 else 1) for choices in self.fields), strict=True
            )
        else:
            yield ()

    def refuse_absurd(self, rows: int) -> None:
        """Refuse a number of jobs that nobody meant.

        Args:
            rows: Images or prompts.

        Raises:
            ConfigurationError: With the sum.
        """
        if self.fields and rows * self.count > self.max_jobs:
            sizes = " x ".join(str(len(choices)) for choices in self.fields)
            raise ConfigurationError(
                f"{rows:,} images with {self.count:,} versions each ({sizes}) are {rows * self.count:,} jobs, more than "
                f"{self.max_jobs:,}; vary fewer values, or allow more with --max-jobs"
            )


def label_of(choices: Sequence[Choice]) -> str:
    """Return what a version's name ends in: ``_cfg_scale-4_steps-20``; empty for the only one."""
    return "".join(f"_{_last_name(choice.field)}-{_short(choice.shown)}" for choice in choices)


def _last_name(field: str) -> str:
    names: list[str] = _LAST_NAME.findall(field)
    return names[-1].strip().replace(" ", "_")


def _short(shown: str) -> str:
    return safe_name(_NOT_IN_LABEL.sub("_", shown).strip("_")[:_LABEL_CHARS])


def read_variations(texts: Iterable[str], *, zipped: bool = False, max_jobs: int = MAX_JOBS) -> Variations:
    """Read ``cfg_scale=4,5,6``, or ``prompt=["a, b", "c"]`` where values hold commas.

    Raises:
        ConfigurationError: If one is none of these, a field comes twice, or the lists do not fit together.
    """
    return _checked([_read(text) for text in texts], zipped=zipped, max_jobs=max_jobs)


def make_variations(
    values: Mapping[str, Sequence[object]], *, zipped: bool = False, max_jobs: int = MAX_JOBS
) -> Variations:
    """Make variations out of lists of Python values.

    Raises:
        ConfigurationError: If a value is none that JSON can say, or the lists do not fit together.
    """
    fields: list[tuple[Choice, ...]] = []
    for field, choices in values.items():
        _refuse_no_field(field, field)
        if isinstance(choices, str):
            raise ConfigurationError(f"vary {field}: give a list of values, not the text {choices[:_SHOWN]!r}")
        try:
            fields.append(tuple(_choice(field, cast("JsonValue", value)) for value in choices))
        except (TypeError, ValueError) as exc:
            raise ConfigurationError(f"vary {field}: {exc}; give numbers, texts, lists or mappings") from exc
    return _checked(fields, zipped=zipped, max_jobs=max_jobs)


def _read(text: str) -> tuple[Choice, ...]:
    field, equals, typed = text.partition("=")
    field = field.strip()
    if not equals or not typed.strip():
        raise ConfigurationError(f"--vary {text[:_SHOWN]!r}: write field=value,value such as cfg_scale=4,5,6")
    _refuse_no_field(field, text)
    try:
        listed = json.loads(typed)
    except (ValueError, RecursionError):
        listed = None
    if isinstance(listed, list):
        return tuple(_choice(field, value) for value in cast("list[JsonValue]", listed))
    return tuple(Choice(field, value.strip(), value.strip()) for value in typed.split(","))


def _choice(field: str, value: JsonValue) -> Choice:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return Choice(field, text, value if isinstance(value, str) else text)


def _refuse_no_field(field: str, text: str) -> None:
    if not _FIELD.fullmatch(field):
        raise ConfigurationError(f"--vary {text[:_SHOWN]!r}: {field[:_SHOWN]!r} is no field; write cfg_scale=4,5,6")


def _checked(fields: Sequence[tuple[Choice, ...]], *, zipped: bool, max_jobs: int) -> Variations:
    names = [choices[0].field for choices in fields if choices]
    for choices in fields:
        _refuse_odd_values(choices)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"--vary {twice}: is given twice; put all its values into one list")
    lengths = {len(choices) for choices in fields} - {1}
    if zipped and len(lengths) > 1:
        sizes = ", ".join(f"{choices[0].field} has {len(choices)}" for choices in fields)
        raise ConfigurationError(f"--zip: the lists of --vary are of different lengths ({sizes}); give equal ones")
    return Variations(tuple(fields), zipped, max_jobs)


def _refuse_odd_values(choices: Sequence[Choice]) -> None:
    if not choices:
        raise ConfigurationError("--vary: a list of values is empty; leave the field out, or give it values")
    labels: dict[str, str] = {}
    for choice in choices:
        if not choice.shown:
            raise ConfigurationError(f"--vary {choice.field}: one of the values is empty; take the extra comma out")
        other = labels.setdefault(label_of([choice]).casefold(), choice.shown)
        if other is not choice.shown:
            raise ConfigurationError(
                f"--vary {choice.field}: {other[:_SHOWN]!r} and {choice.shown[:_SHOWN]!r} would have one file name; "
                "their first characters must differ"
            )
