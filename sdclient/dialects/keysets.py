"""Named, versioned key sets: what is known of a program without asking one, to compile a payload offline."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from sdclient.dialects.base import ServerFacts
from sdclient.dialects.facts import (
    a1111_schedulers,
    dialect_table,
    drawthings_keys,
    entries_of,
    fact_table,
    object_of,
    texts_of,
)
from sdclient.errors import ConfigurationError
from sdclient.schemas.generation import DIALECT_NAMES

__all__ = ["KEY_SETS", "KeySet", "key_set", "newest_key_set"]


@dataclass(frozen=True, slots=True)
class KeySet:
    """What one version of a program takes.

    Attributes:
        name: Its name, the dialect's and the version's.
        dialect: The dialect.
        version: The version it was read from.
        source: Where its tables come from.
    """

    name: str
    dialect: str
    version: str
    source: str

    def facts(self) -> ServerFacts:
        """Return what is known of such a server: its keys and lists that belong to the program, none of its files."""
        if self.dialect == "drawthings":
            options: Mapping[str, JsonValue] = dict.fromkeys(drawthings_keys())
            return ServerFacts(self.dialect, self.version, options=options)
        return ServerFacts(self.dialect, self.version, schedulers=self._schedulers())

    def _schedulers(self) -> tuple[str, ...] | None:
        if self.name == "a1111-1.8":
            return ()
        if self.dialect == "a1111":
            return tuple(a1111_schedulers().values())
        if self.dialect == "sdcpp":
            table = object_of(fact_table("others"), "stable_diffusion_cpp")
            return texts_of(table["scheduler_names"])
        return None


def _sets() -> Iterator[KeySet]:
    # The newest of each dialect comes last.
    for dialect in DIALECT_NAMES:
        for row in entries_of(dialect_table(dialect), "key_sets"):
            version = str(row["version"])
            yield KeySet(f"{dialect}-{version}", dialect, version, str(row["source"]))


KEY_SETS: Mapping[str, KeySet] = {one.name: one for one in _sets()}
"""Every key set by its name, the newest of a dialect last."""


def key_set(name: str) -> KeySet:
    """Return the key set of this name.

    Raises:
        ConfigurationError: If there is none.
    """
    if name in KEY_SETS:
        return KEY_SETS[name]
    close = difflib.get_close_matches(name, KEY_SETS, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ConfigurationError(f"key set {name[:60]!r}: not known{hint}; known are {', '.join(KEY_SETS)}")


def newest_key_set(dialect: str) -> KeySet:
    """Return the newest key set of a dialect.

    Raises:
        ConfigurationError: If there is none.
    """
    found = [one for one in KEY_SETS.values() if one.dialect == dialect]
    if not found:
        raise ConfigurationError(f"dialect {dialect[:60]!r}: no key set is known")
    return found[-1]
