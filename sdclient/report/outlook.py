"""When a run that is at work will be finished, or that it stands still, worked out from its attempts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sdclient.batch.events import Event
from sdclient.batch.survey import Counts
from sdclient.progress import Pace, finish_text, short_time
from sdclient.report.history import read_bar

SOON_S = 120.0
"""A finish that is nearer has no time of day, which could pass, cut to minutes, before the page is made anew."""
_KEPT = 40
_ENDED = frozenset({"done", "failed", "set_aside"})


def outlook(attempts: Sequence[Mapping[str, str]], counts: Counts, now: dt.datetime, *, is_at_work: bool) -> str:
    """Return what is to be expected of a run, in few words; empty where all is done.

    Args:
        attempts: All rows.
        counts: Where all jobs stand.
        now: The time of day in UTC.
        is_at_work: Some worker gives signs of life.
    """
    if not counts.left:
        return ""
    if not is_at_work:
        return "nobody is at work on it"
    bars = [bar for number, cells in enumerate(attempts) if (bar := read_bar(cells, number)) is not None]
    ended = sorted((bar.end_s, bar.status) for bar in bars if bar.status in _ENDED)[-_KEPT:]
    if not ended:
        return "finish unknown yet"
    done = counts.done - sum(status == "done" for _, status in ended)
    pace = Pace(replace(counts, done=done), ended[0][0])
    for end_s, status in ended:
        done += status == "done"
        pace.see(Event("done" if status == "done" else "failed", replace(counts, done=done)), end_s)
    now_s = now.timestamp()
    if pace.is_stalled(now_s):
        return f"STALLED: nothing ended for {short_time(pace.quiet_s(now_s))}"
    left_s = pace.left_s()
    if left_s is None:
        return "finish unknown yet"
    return "done in a minute or two" if left_s < SOON_S else f"{finish_text(left_s, now)} UTC"
