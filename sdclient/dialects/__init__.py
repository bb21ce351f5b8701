"""Dialects: one file per server program; what a request becomes there, and what gets lost.

The programs' files are loaded when the first of them is asked for: a client that was only made has no use for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdclient._late import late
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
from sdclient.dialects.losses import LOSS_COLUMNS, is_refused, loss_rows, refuse, sort_losses

if TYPE_CHECKING:
    from sdclient.dialects.detect import Ask, Detected, detect_server
    from sdclient.dialects.spoken import DIALECTS, dialect_named

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
    "detect_server",
    "dialect_named",
    "is_refused",
    "loss_rows",
    "refuse",
    "sort_losses",
]

__getattr__ = late(
    __name__,
    {
        "Ask": "detect",
        "Detected": "detect",
        "detect_server": "detect",
        "DIALECTS": "spoken",
        "dialect_named": "spoken",
    },
)
