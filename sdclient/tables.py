"""Rows of text as tables of figures and times."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_FIGURES = frozenset(
    {"seed", "attempt", "losses", "changed", "energy_wh", "server_rss_mb"}
    | {"number", "parent", "area_fraction", "score", "stability_score"}
)
_UNITS = ("_s", "_px", "_mb", "_mean", "_max", "_bytes")


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn the columns of figures into numbers and times; empty cells become missing values."""
    import pandas as pd

    for name in frame.columns:
        if name == "started":
            frame[name] = pd.to_datetime(frame[name], utc=True, errors="coerce")
        elif name in _FIGURES or name.endswith(_UNITS):
            frame[name] = pd.to_numeric(frame[name], errors="coerce")
    return frame
