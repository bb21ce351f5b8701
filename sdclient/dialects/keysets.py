"""Named, versioned key sets: what is known of a program without asking one, to compile a payload offline."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from sdclient.dialects.base import ServerFacts
from sdclient.dialects.facts import a1111_schedulers, drawthings_keys, fact_table, object_of, texts_of
from sdclient.errors import ConfigurationError

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


def _sets() -> Mapping[str, KeySet]:
    a1111 = "facts/a1111.json, facts/extensions.json"
    others = "facts/others.json"
    # The newest of each dialect comes last.
    known = (
        KeySet("a1111-1.8", "a1111", "1.8", a1111),
        KeySet("a1111-1.9", "a1111", "1.9", a1111),
        KeySet("a1111-1.10", "a1111", "1.10", a1111),
        KeySet("drawthings-2026-08", "drawthings", "2026-08", "facts/drawthings.json"),
        KeySet("forge-2025-06", "forge", "2025-06", f"{a1111}, {others}"),
        KeySet("koboldcpp-1.76", "koboldcpp", "1.76", others),
        KeySet("koboldcpp-1.102", "koboldcpp", "1.102", others),
        KeySet("sdcpp-2026-08", "sdcpp", "2026-08", others),
        KeySet("sdnext-2026-07", "sdnext", "2026-07", f"{a1111}, {others}, facts/sdnext_keys.json"),
    )
    return {one.name: one for one in known}


KEY_SETS: Mapping[str, KeySet] = _sets()
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
