"""Every dialect this version speaks, by its short name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from sdclient.dialects.base import Dialect
from sdclient.dialects.detect import SPOKEN
from sdclient.errors import ConfigurationError

__all__ = ["DIALECTS", "dialect_named"]

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in sorted(SPOKEN, key=lambda one: one.name)}
"""Every dialect this version speaks, by its short name."""


def dialect_named(name: str) -> Dialect:
    """Return the dialect with this short name.

    Raises:
        ConfigurationError: If this version speaks none of that name.
    """
    if name in DIALECTS:
        return DIALECTS[name]
    close = difflib.get_close_matches(name.casefold(), DIALECTS, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ConfigurationError(f"dialect {name[:60]!r}: not spoken here{hint}; known are {', '.join(sorted(DIALECTS))}")
