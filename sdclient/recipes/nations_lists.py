"""The lists of the nations study: which nations there are, and which are wanted, as CSV files and typed answers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from sdclient.errors import ConfigurationError
from sdclient.schemas.csvtext import csv_rows, read_csv

SUFFIX = "(35mm lens photography), extremely detailed, 4k, shot on dslr, photorealistic, photographic, sharp"
"""What every prompt of the study ends with."""
MAX_COUNT = 100_000
_STUDY_COLUMNS = ("nation", "category", "prompt")
_MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Study:
    """The prompts of a study, by nation and category.

    Attributes:
        prompts: What is drawn, by (nation, category), without the ending that all share.
        suffix: That ending; may be empty.
        columns: What else the data set says of a nation and category, by (nation, category); carried to
            ``images.csv``.
    """

    prompts: Mapping[tuple[str, str], str]
    suffix: str = SUFFIX
    columns: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict[tuple[str, str], dict[str, str]])

    @property
    def nations(self) -> list[str]:
        """All nations, sorted: the numbers people type follow this order."""
        return sorted({nation for nation, _ in self.prompts})

    def categories(self, nation: str) -> list[str]:
        """Return a nation's categories, sorted."""
        return sorted(category for other, category in self.prompts if other == nation)

    def nation(self, text: str) -> str:
        """Return the nation that a number or a name stands for.

        Raises:
            ConfigurationError: If it stands for none; the message names a close one.
        """
        return _chosen(text, self.nations, "nation")

    def category(self, nation: str, text: str) -> str:
        """Return the category that a number or a name stands for.

        Raises:
            ConfigurationError: If it stands for none.
        """
        return _chosen(text, self.categories(nation), "category")

    def prompt(self, nation: str, category: str) -> str:
        """Return the whole prompt of a nation and category."""
        return ", ".join(filter(None, (self.prompts[nation, category], self.suffix.strip())))


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """So many images of one nation and category.

    Attributes:
        nation: A nation of the study.
        category: One of its categories.
        count: How many jobs; 1 or more.
    """

    nation: str
    category: str
    count: int


def load_study(path: Path | None = None, *, suffix: str = SUFFIX) -> Study:
    """Read a study: a CSV with the columns nation, category and prompt; others are carried along.

    Args:
        path: The file; None takes the ten nations that come with sdclient.
        suffix: What every prompt ends with.

    Raises:
        ConfigurationError: If the file is none, or lacks a column.
    """
    own = resources.files("sdclient.recipes").joinpath("nations.csv")
    text = own.read_text(encoding="utf-8") if path is None else read_csv(path)
    prompts: dict[tuple[str, str], str] = {}
    columns: dict[tuple[str, str], dict[str, str]] = {}
    for line, row in csv_rows(text, _STUDY_COLUMNS, path or "nations.csv"):
        key = (row["nation"], row["category"])
        if key in prompts:
            raise ConfigurationError(f"{path}, line {line}: {key[0]} {key[1]} is there twice; keep one prompt")
        prompts[key] = row["prompt"]
        columns[key] = {name: cell for name, cell in row.items() if name not in _STUDY_COLUMNS}
    if not prompts:
        raise ConfigurationError(f"{path}: holds no nations; add rows of nation, category and prompt")
    return Study(prompts, suffix, columns)


def load_queue(path: Path, study: Study) -> list[QueueEntry]:
    """Read a queue: a CSV with the columns nation, category and count. Repeated rows add up.

    Raises:
        ConfigurationError: If the file is none, a nation or category is unknown, or a count is no number.
    """
    rows = csv_rows(read_csv(path), ("nation", "category", "count"), path)
    return add_up(_entry(row, study, f"{path}, line {line}") for line, row in rows)


def _entry(row: Mapping[str, str], study: Study, where: str) -> QueueEntry:
    try:
        nation = study.nation(row["nation"])
        return QueueEntry(nation, study.category(nation, row["category"]), parse_count(row["count"]))
    except ConfigurationError as exc:
        raise ConfigurationError(f"{where}: {exc}") from exc


def parse_count(text: str) -> int:
    """Read how many images are wanted.

    Raises:
        ConfigurationError: If it is not a whole number from 1 to `MAX_COUNT`.
    """
    number = _number(text)
    if number is None or not 1 <= number <= MAX_COUNT:
        raise ConfigurationError(f"{text[:20]!r}: not a number of images; give a whole number from 1 to {MAX_COUNT}")
    return number


def add_up(entries: Iterable[QueueEntry]) -> list[QueueEntry]:
    """Join entries of the same nation and category: a repeated entry means so many *more*."""
    counts: dict[tuple[str, str], int] = {}
    for entry in entries:
        key = (entry.nation, entry.category)
        counts[key] = counts.get(key, 0) + entry.count
    return [QueueEntry(nation, category, number) for (nation, category), number in counts.items()]


def _number(text: str) -> int | None:
    stripped = text.strip().lstrip("0") or text.strip()[:1]
    # Longer ones are no count anybody means, and Python refuses to read very long ones at all.
    return int(stripped) if stripped.isdecimal() and len(stripped) <= _MAX_DIGITS else None


def _chosen(text: str, known: Sequence[str], what: str) -> str:
    wanted = text.strip().casefold()
    for name in known:
        if name.casefold() == wanted:
            return name
    number = _number(text)
    if number is not None and 1 <= number <= len(known):
        return known[number - 1]
    if text.strip().isdecimal():
        raise ConfigurationError(f"{text.strip()[:20]}: no such number of a {what}; choose 1 to {len(known)}")
    close = difflib.get_close_matches(wanted[:100], [name.casefold() for name in known], n=1)
    hint = next((f"did you mean {name}? " for name in known if close and name.casefold() == close[0]), "")
    raise ConfigurationError(f"{text.strip()[:40]!r}: no such {what}; {hint}known are {', '.join(known)}")
