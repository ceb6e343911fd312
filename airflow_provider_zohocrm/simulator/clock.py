"""The simulator's own time, which tests move forward instead of waiting."""

from __future__ import annotations

import re
import time
from datetime import date, datetime, timedelta, timezone

# Formatting a date-time from parts is several times faster than by the standard library.
_FIRST_DAY = date(1970, 1, 1).toordinal()
_MINUTES = [f"{minute // 60:02d}:{minute % 60:02d}:" for minute in range(1440)]
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:?\d\d)")


def zone_of(offset: str) -> timezone:
    """Turn ``+05:30`` into a time zone.

    :param offset: sign, hours and minutes.
    :returns: the fixed offset as a time zone.
    """
    match = _OFFSET.fullmatch(offset)
    if match is None:
        raise ValueError(f"utc offset must look like +05:30, not {offset!r}")
    sign = -1 if match[1] == "-" else 1
    return timezone(sign * timedelta(hours=int(match[2]), minutes=int(match[3])))


class Clock:
    """Wall clock plus everything it was advanced by."""

    def __init__(self, utc_offset: str = "+05:30") -> None:
        self.shift = 0.0
        self._days: dict[int, str] = {}
        self.set_offset(utc_offset)

    def set_offset(self, utc_offset: str) -> None:
        """Set the user's time zone.

        :param utc_offset: for example ``+05:30``.
        """
        offset = zone_of(utc_offset).utcoffset(None)
        self._offset = int(offset.total_seconds())
        self._suffix = utc_offset

    def now(self) -> float:
        """Return the simulated time in seconds since 1970."""
        return time.time() + self.shift

    def advance(self, seconds: float) -> float:
        """Move the time forward.

        :param seconds: how far; negative values would break every window that is kept in order.
        :returns: the new time.
        """
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        self.shift += seconds
        return self.now()

    def iso(self, moment: float) -> str:
        """Format as Zoho does: second precision, offset of the user's zone (sheet §2.1).

        :param moment: seconds since 1970.
        """
        day, second = divmod(int(moment) + self._offset, 86_400)
        text = self._days.get(day)
        if text is None:
            text = self._days[day] = date.fromordinal(day + _FIRST_DAY).isoformat()
        minute, second = divmod(second, 60)
        return f"{text}T{_MINUTES[minute]}{second:02d}{self._suffix}"

    @staticmethod
    def utc_compact(moment: float) -> str:
        """Format as calendars do: ``20240131T235959Z``.

        :param moment: seconds since 1970.
        """
        return datetime.fromtimestamp(int(moment), timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def parse_iso(text: str) -> float | None:
    """Read an ISO 8601 date-time with offset and without fractions of a second (sheet §2.1).

    :param text: for example ``2019-07-25T15:26:49+05:30`` or the same with ``Z``.
    :returns: seconds since 1970, or ``None`` where the text has another form.
    """
    if not _MOMENT.fullmatch(text):
        return None
    normal = text.replace("Z", "+00:00")
    if normal[-3] != ":":
        normal = f"{normal[:-2]}:{normal[-2:]}"
    try:
        return datetime.fromisoformat(normal).timestamp()
    except ValueError:
        return None
