"""Dialects: one file per server program; what a request becomes there, and what gets lost."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from sdclient.dialects.base import (
    Call,
    Compiled,
    Dialect,
    ErrorWords,
    Expected,
    FollowUp,
    Loss,
    Operation,
    ReadReply,
    Route,
    ServerFacts,
)
from sdclient.dialects.detect import PROGRAMS, detect
from sdclient.dialects.losses import LOSS_COLUMNS, is_refused, loss_rows, refuse, sort_losses
from sdclient.errors import ConfigurationError

__all__ = [
    "DIALECTS",
    "LOSS_COLUMNS",
    "Call",
    "Compiled",
    "Dialect",
    "ErrorWords",
    "Expected",
    "FollowUp",
    "Loss",
    "Operation",
    "ReadReply",
    "Route",
    "ServerFacts",
    "detect",
    "dialect_named",
    "is_refused",
    "loss_rows",
    "refuse",
    "sort_losses",
]

DIALECTS: Mapping[str, Dialect] = {
    program.dialect.name: program.dialect
    for program in sorted(PROGRAMS, key=lambda program: program.title)
    if program.dialect is not None
}
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
