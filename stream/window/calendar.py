"""Windows longer than memory holds: on the epoch's grid, or days, weeks and months of a time zone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from math import gcd
from typing import NamedTuple
from zoneinfo import ZoneInfo

from schemas.window_spec import WindowSpec, in_memory, parse_rollup

DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_MONDAY = date(1970, 1, 5).toordinal()


class LongWindow(NamedTuple):
    """A definition whose windows are merged, in the store, from those of a shorter tumbling one.

    sources : the rollups that would do, longest first.
    """

    spec: WindowSpec
    sources: tuple[WindowSpec, ...]
    zone: ZoneInfo

    @property
    def source(self) -> WindowSpec:
        """The one with the fewest rows."""
        return self.sources[0]

    def holding(self, at_ms: int) -> list[tuple[int, int]]:
        """Return [start_ms, end_ms) of every window that holds an instant, latest start first."""
        calendar = _calendar(self.spec.name)
        if calendar is None:
            newest = at_ms // self.spec.hop_ms * self.spec.hop_ms
            return [(s, s + self.spec.size_ms) for s in range(newest, at_ms - self.spec.size_ms, -self.spec.hop_ms)]
        unit, size, hop = calendar
        index = _index(unit, self.zone, at_ms) // hop * hop
        return [
            (_edge(unit, self.zone, start), _edge(unit, self.zone, start + size))
            for start in range(index, index - size, -hop)
        ]


def long_windows(rollups: Sequence[str], timezone: str) -> list[LongWindow]:
    """Return the definitions among ``rollups`` that are merged in the store, shortest first.

    Each is merged from the longest configured tumbling rollup whose edges are edges of it too, across every clock
    change of the zone; raises ValueError naming what is missing where there is none.
    """
    zone, specs = ZoneInfo(timezone), [parse_rollup(name) for name in rollups]
    out = []
    for spec in sorted((s for s in specs if not in_memory(s)), key=lambda s: s.size_ms):
        sources = [s for s in specs if s.size_ms == s.hop_ms and s.size_ms < spec.size_ms and _fits(s, spec, timezone)]
        if not sources:
            raise ValueError(
                f"cannot build rollup {spec.name!r}: it is merged from a shorter tumbling one whose edges it shares in"
                f" {timezone}, and there is none; add one such as 5m to windows.rollups"
            )
        out.append(LongWindow(spec, tuple(sorted(sources, key=lambda s: -s.size_ms)), zone))
    return out


def _fits(source: WindowSpec, target: WindowSpec, timezone: str) -> bool:
    outer, inner = _calendar(target.name), _calendar(source.name)
    if outer is None:
        return inner is None and target.hop_ms % source.size_ms == 0
    if inner is not None:
        return inner[:2] == ("d", 1)
    return _step_ms(timezone) % source.size_ms == 0


def _calendar(name: str) -> tuple[str, int, int] | None:
    """Return (unit, size, hop) of a definition in days, weeks or months; None for one of fixed length."""
    found = re.fullmatch(r"(\d+)(d|w|mo)(?:/(\d+)(d))?", name)
    if not found:
        return None
    if not found[3]:
        return found[2], int(found[1]), int(found[1])
    if found[2] == "mo":
        return None
    return "d", int(found[1]) * (7 if found[2] == "w" else 1), int(found[3])


@lru_cache(64)
def _step_ms(timezone: str) -> int:
    """Return the greatest step that every midnight of the zone lies on, 1970 to 2099."""
    zone, step = ZoneInfo(timezone), DAY_MS
    for year in range(1970, 2100):
        for month in range(1, 13):
            step = gcd(step, _midnight_ms(zone, date(year, month, 1)))
    return step


def _midnight_ms(zone: ZoneInfo, day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1000


def _index(unit: str, zone: ZoneInfo, at_ms: int) -> int:
    """Return the number of the local day, week (from Monday) or month that holds an instant."""
    day = datetime.fromtimestamp(at_ms // 1000, zone).date()
    if unit == "mo":
        return (day.year - 1970) * 12 + day.month - 1
    if unit == "w":
        return (day.toordinal() - _MONDAY) // 7
    return day.toordinal() - _EPOCH.toordinal()


def _edge(unit: str, zone: ZoneInfo, index: int) -> int:
    if unit == "mo":
        return _midnight_ms(zone, date(1970 + index // 12, index % 12 + 1, 1))
    ordinal = _MONDAY + 7 * index if unit == "w" else _EPOCH.toordinal() + index
    return _midnight_ms(zone, date.fromordinal(ordinal))
