"""Which traffic period a window falls in: a named range, a holiday, the weekend, or normal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import holidays

POOLED = "pooled"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMED_MS_MIN, _NAMED_MS_MAX = -62_135_500_000_000, 253_402_200_000_000  # a day inside the years 1 to 9999
_WANT = 'want name with from and to (2026-11-27), or with days (["fri"]), start and end ("18:00")'


class Periods:
    """``ranges``: tables of ``name`` with ``from`` and ``to`` (first and last day), or with ``days`` (``["fri"]``),
    ``start`` and ``end`` (weekly), all local to ``timezone``; with ``entities``, of those alone. The first that holds a
    moment names its period. Raises ValueError saying which table is wrong.
    """

    def __init__(self, timezone: str = "UTC", country: str | None = None, ranges: Iterable[Any] = ()) -> None:
        self.timezone, self.country = timezone, country
        self.ranges = [_range(number, given) for number, given in enumerate(ranges, 1)]
        self._zone = ZoneInfo(timezone)
        self.whole_days = all(named.whole_days for named in self.ranges)  # every period begins and ends at midnight
        self._holidays: Any = holidays.country_holidays(country) if country else {}

    def local(self, at_ms: int) -> datetime:
        """Return the local time of a moment; of one that no calendar names, the nearest that every zone does."""
        # By arithmetic: fromtimestamp refuses times before 1970 on some platforms.
        named_ms = min(max(at_ms, _NAMED_MS_MIN), _NAMED_MS_MAX)
        return (_EPOCH + timedelta(milliseconds=named_ms)).astimezone(self._zone)

    def day_ms(self, at_ms: int) -> int:
        """Return how far into its local day a moment is."""
        at = self.local(at_ms)
        return ((at.hour * 60 + at.minute) * 60 + at.second) * 1000

    def name(self, at_ms: int, entity: str | None = None) -> str:
        """Return the period of a moment for an entity; None: for one that no range picks out by name."""
        return self.at(at_ms).of(entity)

    def at(self, at_ms: int) -> Moment:
        """Return the periods of a moment: those of some entities only, then that of all others."""
        now = self.local(at_ms)
        day = now.date()
        some: list[tuple[tuple[str, ...], str]] = []
        for named in self.ranges:
            if named.holds(now):
                if not named.entities:
                    return Moment(tuple(some), named.name)
                some.append((named.entities, named.name))
        rest = "holiday" if day in self._holidays else "weekend" if day.weekday() >= 5 else "normal"
        return Moment(tuple(some), rest)

    def names(self) -> list[str]:
        """Return every period there can be."""
        known = {"normal", "weekend", *(named.name for named in self.ranges)}
        return sorted(known | ({"holiday"} if self.country else set()))


class Moment(NamedTuple):
    """``some`` : (patterns of entities, period), the first that matches; ``rest`` : the period of all others."""

    some: tuple[tuple[tuple[str, ...], str], ...]
    rest: str

    def of(self, entity: str | None) -> str:
        if entity is not None:
            for patterns, name in self.some:
                if any(fnmatchcase(entity, pattern) for pattern in patterns):
                    return name
        return self.rest


class _Named(NamedTuple):
    """Days from first to last, or every week on ``days`` from one minute of the day to another."""

    name: str
    first: date = date.min
    last: date = date.min
    days: tuple[int, ...] = ()
    start_minute: int = 0
    end_minute: int = 0
    entities: tuple[str, ...] = ()  # patterns; none: all

    @property
    def whole_days(self) -> bool:
        return not self.days or (self.start_minute, self.end_minute) == (0, 1440)

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
    entities = given.get("entities", [])
    if not isinstance(entities, list) or not all(isinstance(e, str) and e for e in entities):
        raise ValueError(f'{where}: want entities as a list of names, * allowed, such as ["shop-*"]')
    patterns = tuple(e.replace("[", "[[]") for e in entities)
    keys = set(given) - {"entities"}
    try:
        if keys == {"name", "from", "to"}:
            return _Named(name, _day(given["from"]), _day(given["to"]), entities=patterns)
        if {"name", "days"} <= keys <= {"name", "days", "start", "end"}:
            days = tuple(_DAYS.index(day) for day in given["days"])
            start, end = _minute(given, "start", 0), _minute(given, "end", 1440)
            return _Named(name, days=days, start_minute=start, end_minute=end, entities=patterns)
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
