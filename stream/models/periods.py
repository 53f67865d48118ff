"""Which traffic period a window falls in: a named range, a holiday, the weekend, or normal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import holidays

POOLED = "pooled"


class Periods:
    """``ranges``: dicts or tuples of name, first day, last day (ISO dates, both inclusive, local to ``timezone``)."""

    def __init__(self, timezone: str = "UTC", country: str | None = None, ranges: Iterable[Any] = ()) -> None:
        self.timezone, self.country = timezone, country
        self.ranges = [_range(r) for r in ranges]
        self._zone = ZoneInfo(timezone)
        self._holidays: Any = holidays.country_holidays(country) if country else {}

    def local(self, at_ms: int) -> datetime:
        # By arithmetic: fromtimestamp refuses times before 1970 on some platforms.
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(self._zone)

    def day_ms(self, at_ms: int) -> int:
        """Return how far into its local day a moment is."""
        at = self.local(at_ms)
        return ((at.hour * 60 + at.minute) * 60 + at.second) * 1000

    def name(self, at_ms: int) -> str:
        day = self.local(at_ms).date()
        for name, first, last in self.ranges:
            if first <= day <= last:
                return name
        if day in self._holidays:
            return "holiday"
        return "weekend" if day.weekday() >= 5 else "normal"


def _range(given: dict | Sequence) -> tuple[str, date, date]:
    if isinstance(given, dict):
        first = given.get("from", given.get("start", given.get("first")))
        last = given.get("to", given.get("end", given.get("last")))
        given = (given["name"], first, last)
    name, first, last = given
    return str(name), _day(first), _day(last)


def _day(value: str | date | None) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return date.fromisoformat(str(value)[:10])
