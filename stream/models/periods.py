"""Which traffic period a window falls in: a named range, a holiday, the weekend, or normal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import holidays

POOLED = "pooled"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WANT = 'want name with from and to (2026-11-27), or with days (["fri"]), start and end ("18:00")'


class Periods:
    """``ranges``: tables of ``name`` with ``from`` and ``to`` (first and last day), or with ``days`` (``["fri"]``),
    ``start`` and ``end`` (weekly), all local to ``timezone``. The first that holds a moment names its period. Raises
    ValueError saying which table is wrong.
    """

    def __init__(self, timezone: str = "UTC", country: str | None = None, ranges: Iterable[Any] = ()) -> None:
        self.timezone, self.country = timezone, country
        self.ranges = [_range(number, given) for number, given in enumerate(ranges, 1)]
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
        now = self.local(at_ms)
        day = now.date()
        for named in self.ranges:
            if named.holds(now):
                return named.name
        if day in self._holidays:
            return "holiday"
        return "weekend" if day.weekday() >= 5 else "normal"


class _Named(NamedTuple):
    """Days from first to last, or every week on ``days`` from one minute of the day to another."""

    name: str
    first: date = date.min
    last: date = date.min
    days: tuple[int, ...] = ()
    start_minute: int = 0
    end_minute: int = 0

    def holds(self, now: datetime) -> bool:
        if not self.days:
            return self.first <= now.date() <= self.last
        minute, today, yesterday = now.hour * 60 + now.minute, now.weekday(), (now.weekday() - 1) % 7
        if self.start_minute < self.end_minute:
            return today in self.days and self.start_minute <= minute < self.end_minute
        return (today in self.days and minute >= self.start_minute) or (
            yesterday in self.days and minute < self.end_minute
        )


def _range(number: int, given: Mapping[str, Any]) -> _Named:
    where = f"table {number} of periods.named"
    name = given.get("name")
    if not isinstance(name, str) or not name or name == POOLED:
        raise ValueError(f"{where}: want a name, other than {POOLED!r}")
    try:
        if set(given) == {"name", "from", "to"}:
            return _Named(name, _day(given["from"]), _day(given["to"]))
        if {"name", "days"} <= set(given) <= {"name", "days", "start", "end"}:
            days = tuple(_DAYS.index(day) for day in given["days"])
            return _Named(
                name, days=days, start_minute=_minute(given, "start", 0), end_minute=_minute(given, "end", 1440)
            )
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{where}: {error}; {_WANT}") from error
    raise ValueError(f"{where}: got {', '.join(sorted(given))}; {_WANT}")


def _minute(given: Mapping[str, Any], key: str, otherwise: int) -> int:
    if key not in given:
        return otherwise
    hours, minutes = (int(part) for part in given[key].split(":"))
    if not (0 <= minutes < 60 and 0 <= hours * 60 + minutes <= 1440):
        raise ValueError(f"{given[key]} is no time of day")
    return hours * 60 + minutes


def _day(value: Any) -> date:
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else date.fromisoformat(value)
