"""The parts of the day: which slot a moment belongs to, in a named time zone. Pure arithmetic."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from sdclient.errors import ConfigurationError

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Slot:
    """One part of one day.

    Attributes:
        date: The local date.
        hour: The local hour it begins at, 0 to 23.
        start: When it begins, in UTC.
        end: When the next one begins, in UTC.
        zone: Name of the time zone that date and hour are meant in.
    """

    date: dt.date
    hour: int
    start: dt.datetime
    end: dt.datetime
    zone: str

    @property
    def key(self) -> str:
        """The slot's name, fit for files: two moments with one key share one post."""
        return f"{self.zoneless}_{self.zone.replace('/', '-')}"

    @property
    def zoneless(self) -> str:
        """The name that slots had before they told their zone."""
        return f"{self.date.isoformat()}_{self.hour:02d}"


def open_zone(name: str) -> ZoneInfo:
    """Return a time zone by its name.

    Raises:
        ConfigurationError: If there is none; the message names a close one.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        known = sorted(available_timezones())
        close = difflib.get_close_matches(name, known, n=1) or [one for one in known if name.lower() in one.lower()][:1]
        hint = f"did you mean {close[0]}?" if close else "give a name such as Europe/Madrid"
        if not known:
            hint = "this system has no time zones; pip install tzdata"
        raise ConfigurationError(f"{name[:60]!r}: no such time zone; {hint}") from exc


def slot_at(moment: dt.datetime, hours: Sequence[int], zone: ZoneInfo) -> Slot:
    """Return the slot that a moment lies in.

    Where clocks change, an hour that is skipped gives way to the next one, and one that comes twice is one slot.

    Args:
        moment: A moment with a time zone.
        hours: Local hours at which slots begin.
        zone: Where these hours are meant.
    """
    starts = list(_starts(moment, hours, zone))
    # Of two that begin at one moment (the first was skipped) the later is taken.
    position = max(index for index, (start, _, _) in enumerate(starts) if start <= moment)
    start, date, hour = starts[position]
    return Slot(date, hour, start, next(other for other, _, _ in starts if other > start), zone.key)


def _starts(moment: dt.datetime, hours: Sequence[int], zone: ZoneInfo) -> Iterator[tuple[dt.datetime, dt.date, int]]:
    today = moment.astimezone(zone).date()
    # Two days on each side: also where a country has skipped a whole day.
    for days in range(-2, 3):
        date = today + days * _DAY
        for hour in sorted(set(hours)):
            local = dt.datetime.combine(date, dt.time(hour), tzinfo=zone)
            yield local.astimezone(dt.timezone.utc), date, hour
