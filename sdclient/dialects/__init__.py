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
from sdclient.dialects.detect import SPOKEN, Ask, Detected, detect, detect_server
from sdclient.dialects.losses import LOSS_COLUMNS, is_refused, loss_rows, refuse, sort_losses
from sdclient.errors import ConfigurationError

__all__ = [
    "DIALECTS",
    "LOSS_COLUMNS",
    "Ask",
    "Call",
    "Compiled",
    "Detected",
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
    "detect_server",
    "dialect_named",
    "is_refused",
    "loss_rows",
    "refuse",
    "sort_losses",
]

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
