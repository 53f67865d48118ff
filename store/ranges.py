"""The range query: one statistic of many series over an interval, a row a window, a column a series."""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

import numpy as np

from schemas.errors import DataError
from schemas.series import Series
from schemas.window_spec import WindowSpec, parse_rollup
from store.base import Columns
from store.thread import StoreThread

_STAT_SQL = {name: name for name in ("min", "max", "sum", "count", "first", "last", "p50", "p95", "p99")} | {
    "mean": "sum / count",
    "stddev": "sqrt(sumsq / count)",
    "rate": "increase / size_s",
}
STATS = tuple(_STAT_SQL)
# Of windows that hold several samples: `last` need not be read, which only one of a single sample is made of
# (store/rows.py), and which was a quarter of what is read. Long windows are seldom of a single sample.
_MANY_SQL = {"sum": "total", "mean": "total / count"}
_LONG_S = 3600  # by which the table is cut (schemas/clickhouse/0006)
_ZONE_MS = 900_000  # of which every time zone's distance from UTC is a multiple
VALUES_MAX = 5_000_000  # SERIES_MAX series at the default of 1,000 points
LONG_VALUES = 200_000  # an answer that may have more waits behind others of the kind, not before short ones


class RangeResult(NamedTuple):
    rollup: str
    stat: str
    series: list[Series]
    starts_ms: np.ndarray  # int64[rows], rising
    values: np.ndarray  # float64[rows, series], NaN where there is no window


class RangeTable:
    def __init__(self, thread: StoreThread) -> None:
        self._thread = thread
        self._single: set[str] = set()  # rollups that windows of a single sample were seen of

    async def select(self, from_ms: int, to_ms: int, series: list[Series], stat: str, rollup: str) -> RangeResult:
        """Return one statistic of the windows that start in [from, to); raises DataError over VALUES_MAX values."""
        ids = np.array([s.series_id for s in series], np.uint64)
        low_ms, high_ms = _on_grid(rollup, from_ms), _on_grid(rollup, to_ms)
        parameters = {"rollup": rollup, "low": low_ms, "high": high_ms, "ids": ids.tolist()}
        long = len(series) * max(0, to_ms - from_ms) / _spec(rollup).hop_ms > LONG_VALUES

        def rows(what: str) -> Columns:
            sql = (
                f"SELECT series_id, start_ms, version, {what} FROM rollups"  # noqa: S608 - of ours
                " WHERE rollup = {rollup:String} AND start_ms >= {low:Int64} AND start_ms < {high:Int64}"
                f" AND series_id IN {{ids:Array(UInt64)}}{_of_partitions(rollup)} LIMIT {VALUES_MAX + 1}"
            )
            # More threads only take turns: there is little to read.
            return self._thread.store.select(sql if long else sql + " SETTINGS max_threads = 1", parameters)

        def ask() -> tuple[np.ndarray, np.ndarray]:
            if stat in _MANY_SQL and rollup not in self._single:
                found = rows(f"{_MANY_SQL[stat]} AS stat, count")
                if not (found["count"] == 1).any():
                    return pivoted(found, ids)
                self._single.add(rollup)
            again = ", toUInt32(written) AS written" if stat == "rate" else ""
            return pivoted(rows(f"{_STAT_SQL[stat]} AS stat{again}"), ids)

        starts, values = await self._thread.read(ask, long=long)
        return RangeResult(rollup, stat, series, starts, values)

    async def earliest(self, rollup: str, series: list[Series], from_ms: int, to_ms: int) -> int | None:
        """Return the start of the oldest window of any of the series that starts in [from, to); None: there is none."""
        sql = (
            "SELECT min(start_ms) AS low, count() AS n FROM rollups WHERE rollup = {rollup:String}"
            " AND start_ms >= {low:Int64} AND start_ms < {high:Int64} AND series_id IN {ids:Array(UInt64)}"
        )
        parameters = {"rollup": rollup, "low": from_ms, "high": to_ms, "ids": [s.series_id for s in series]}
        rows = await self._thread.read(self._thread.store.select, sql, parameters)
        return int(rows["low"][0]) if int(rows["n"][0]) else None

    async def rows(self, rollup: str, from_ms: int, to_ms: int) -> Columns:
        """Return what the means of windows that start in [from, to) follow from, one row a series and window."""
        sql = (
            "SELECT series_id, start_ms, size_s, count, sum, increase FROM rollups FINAL WHERE rollup = {rollup:String}"
            " AND start_ms >= {low:Int64} AND start_ms < {high:Int64} ORDER BY start_ms, series_id"
        )
        parameters = {"rollup": rollup, "low": from_ms, "high": to_ms}
        return await self._thread.read(self._thread.store.select, sql, parameters, long=True)


def _spec(rollup: str) -> WindowSpec:
    """Return the definition of a rollup's name; of one that says none a size of 0, and any start."""
    try:
        return parse_rollup(rollup)
    except ValueError:
        return WindowSpec(rollup, 0, 1)


def _of_partitions(rollup: str) -> str:
    """Return what leaves out, unread, the parts of the table that hold no windows so long, or so short."""
    size_ms = _spec(rollup).size_ms
    return f" AND size_s {'>=' if size_ms >= 1000 * _LONG_S else '<'} {_LONG_S}" if size_ms else ""


def _on_grid(rollup: str, at_ms: int) -> int:
    """Return the first instant from ``at_ms`` on at which a window may begin, in whatever time zone.

    A moment later the question is then the same, and ClickHouse knows still which granules hold what it asks for.
    """
    grid_ms = gcd(_spec(rollup).hop_ms, _ZONE_MS)
    return -(-at_ms // grid_ms) * grid_ms


def pivoted(rows: Columns, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (starts int64[n] rising, values float64[n, ids]) of rows series_id, start_ms, version, stat in any order.

    Of several rows of a series and window, parts that are not merged yet, the highest version counts. ClickHouse's
    FINAL says the same for four times the processor time. Of one version, where a counter's increase was changed by a
    neighbour, the one ``written`` last does (a column of seconds, where there is one).
    """
    starts, at = _ranked(np.asarray(rows["start_ms"], np.int64))
    if len(rows["stat"]) > VALUES_MAX or len(starts) * len(ids) > 4 * VALUES_MAX:
        raise DataError(
            f"cannot answer more than {VALUES_MAX} values at once: want a coarser rollup, fewer series or less time"
        )
    values = np.full((len(starts), len(ids)), np.nan)
    if len(starts):
        order = np.argsort(ids)
        column = order[np.searchsorted(ids[order], np.asarray(rows["series_id"], np.uint64))]
        last_by = (rows["written"], rows["version"]) if "written" in rows else (rows["version"],)
        rising = np.lexsort(last_by)  # of repeated places the last assignment stays
        values[at[rising], column[rising]] = np.asarray(rows["stat"], np.float64)[rising]
    return starts, values


def _ranked(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what np.unique does, with the place of each, for steps that are few: without sorting."""
    if not len(starts):
        return starts, np.zeros(0, np.int64)
    first = int(starts.min())
    step = int(np.gcd.reduce(starts - first)) or 1
    at = (starts - first) // step
    steps = int(at.max()) + 1
    if steps > 4 * len(starts):
        return np.unique(starts, return_inverse=True)
    there = np.zeros(steps, bool)
    there[at] = True
    return first + np.flatnonzero(there) * step, (np.cumsum(there) - 1)[at]
