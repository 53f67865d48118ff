"""The range query: one statistic of many series over an interval, a row a window, a column a series."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from schemas.errors import DataError
from schemas.series import Series
from store.base import Columns
from store.thread import StoreThread

_STAT_SQL = {name: name for name in ("min", "max", "sum", "count", "first", "last", "p50", "p95", "p99")} | {
    "mean": "sum / count",
    "stddev": "sqrt(sumsq / count)",
    "rate": "increase / size_s",
}
STATS = tuple(_STAT_SQL)
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

    async def select(
        self, from_ms: int, to_ms: int, series: list[Series], stat: str, rollup: str, *, hop_ms: int = 60_000
    ) -> RangeResult:
        """Return one statistic of the windows that start in [from, to); raises DataError over VALUES_MAX values.

        hop_ms : between two starts of that rollup, by which the size of the answer is guessed.
        """
        ids = np.array([s.series_id for s in series], np.uint64)
        parameters = {"rollup": rollup, "low": from_ms, "high": to_ms, "ids": ids.tolist()}
        sql = (
            f"SELECT series_id, start_ms, version, {_STAT_SQL[stat]} AS stat FROM rollups"  # noqa: S608 - of ours
            " WHERE rollup = {rollup:String} AND start_ms >= {low:Int64} AND start_ms < {high:Int64}"
            f" AND series_id IN {{ids:Array(UInt64)}} LIMIT {VALUES_MAX + 1}"
        )

        long = len(series) * max(0, to_ms - from_ms) / hop_ms > LONG_VALUES
        if not long:
            sql += " SETTINGS max_threads = 1"  # more only take turns: there is little to read

        def ask() -> tuple[np.ndarray, np.ndarray]:
            return pivoted(self._thread.store.select(sql, parameters), ids)

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


def pivoted(rows: Columns, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (starts int64[n] rising, values float64[n, ids]) of rows series_id, start_ms, version, stat in any order.

    Of several rows of a series and window, parts that are not merged yet, the highest version counts. ClickHouse's
    FINAL says the same for four times the processor time.
    """
    starts, at = np.unique(np.asarray(rows["start_ms"], np.int64), return_inverse=True)
    if len(rows["stat"]) > VALUES_MAX or len(starts) * len(ids) > 4 * VALUES_MAX:
        raise DataError(
            f"cannot answer more than {VALUES_MAX} values at once: want a coarser rollup, fewer series or less time"
        )
    values = np.full((len(starts), len(ids)), np.nan)
    if len(starts):
        order = np.argsort(ids)
        column = order[np.searchsorted(ids[order], np.asarray(rows["series_id"], np.uint64))]
        rising = np.argsort(rows["version"], kind="stable")  # of repeated places the last assignment stays
        values[at[rising], column[rising]] = np.asarray(rows["stat"], np.float64)[rising]
    return starts, values
