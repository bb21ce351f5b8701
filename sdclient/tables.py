"""Rows of text as tables of figures and times."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_FIGURES = frozenset(
    {"seed", "attempt", "losses", "changed", "energy_wh", "server_rss_mb"}
    | {"number", "parent", "area_fraction", "score", "stability_score"}
)
_UNITS = ("_s", "_px", "_mb", "_wh", "_mean", "_max", "_bytes")


def typed(
    rows: Sequence[Mapping[str, str]], columns: Sequence[str] | None = None, *, own: Collection[str] = ()
) -> pd.DataFrame:
    """Return rows of text as a table, figures as numbers and times as times; empty cells become missing values.

    Args:
        rows: One mapping a row.
        columns: The columns, in order; None takes those of the rows.
        own: Columns that people have named: one that sounds like figures and holds words keeps its words.
    """
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=None if columns is None else list(columns))
    for name in frame.columns:
        if name == "started":
            frame[name] = pd.to_datetime(frame[name], utc=True, errors="coerce")
        elif name in _FIGURES or name.endswith(_UNITS):
            figures = pd.to_numeric(frame[name], errors="coerce")
            if name not in own or not (figures.isna() & frame[name].fillna("").ne("")).any():
                frame[name] = figures
    return frame
