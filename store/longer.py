"""Longer rollups merged from shorter ones inside the store, and which of them are due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from schemas.rollup import Rollup
from store.applied import applied, note_applied
from store.base import Columns
from store.repository import Repository
from store.rows import NUMBERS, STORED

SOURCE_ROWS_MAX = 200_000  # merged by one statement
DUE_MAX = 100
# Two machines' clocks may differ by so much: a window is merged once more rather than once too few.
CLOCK_SKEW_MS = 5_000


class Due(NamedTuple):
    rollup: str
    start_ms: int
    end_ms: int
    before: bool  # it was merged before


_DUE = """
SELECT rollup, start_ms, end_ms, done FROM
    (SELECT rollup, start_ms, max(end_ms) AS end_ms, max(touched_ms) AS last
     FROM touched GROUP BY start_ms, rollup) AS t
    LEFT JOIN (SELECT rollup, start_ms, max(merged_ms) AS done FROM merged GROUP BY start_ms, rollup) AS m
    USING (rollup, start_ms)
WHERE last + {skew:Int64} > done AND end_ms <= {until:Int64} AND last <= {settled:Int64}
ORDER BY end_ms - start_ms, start_ms LIMIT {most:UInt64}"""


def _key(q: float) -> str:
    """Nearest rank on the merged sketch, as stream.rollup.sketch.quantiles."""
    return f"sketch.1[arrayFirstIndex(c -> c >= greatest(1, ceil({q} * n)), running)]"


# What is there and holds more samples stays: rows that it was merged from are gone.
# Mean and deviation are combined by Chan, Golub, LeVeque (1979); each increase counts from the sample before it.
_MERGE = f"""
INSERT INTO rollups ({STORED})
SELECT {{rollup:String}}, series_id, opened,
    intDiv({{ends:Array(Int64)}}[window] - opened, 1000), n, bottom != top AS differ, tail, if(n = 1, 0, summed),
    if(differ, bottom, 0), if(differ, top, 0), if(differ, fore, 0),
    if(differ, m2 + arraySum((c, s) -> c * pow(s / c - summed / n, 2), counts, sums), 0),
    fore_ms - opened, tail_ms - opened, rise,
    if(differ, {_key(0.5)}, 0), if(differ, {_key(0.95)}, 0), if(differ, {_key(0.99)}, 0),
    if(differ, sketch.1, []), if(differ, arrayMap(c -> toUInt32(c), sketch.2), []), newest
FROM
(
    SELECT series_id, window, {{starts:Array(Int64)}}[window] AS opened,
        max(version) AS newest, sum(r.count) AS n, sum(r.sum) AS summed, min(r.min) AS bottom,
        max(r.max) AS top, sum(r.sumsq) AS m2, groupArray(r.count) AS counts, groupArray(r.sum) AS sums,
        argMin(r.first, r.first_ms) AS fore, argMax(r.last, r.last_ms) AS tail, min(r.first_ms) AS fore_ms,
        max(r.last_ms) AS tail_ms, sum(r.increase) AS rise,
        sumMap(r.sketch_keys, r.sketch_counts) AS sketch, arrayCumSum(sketch.2) AS running
    FROM
    (
        SELECT series_id, version, count, sum, min, max, sumsq, first, last, first_ms, last_ms, increase, sketch_keys,
            sketch_counts, arrayJoin(arrayFilter(
                i -> {{starts:Array(Int64)}}[i] <= start_ms AND start_ms < {{ends:Array(Int64)}}[i],
                arrayEnumerate({{starts:Array(Int64)}}))) AS window
        FROM rollups FINAL
        WHERE rollup = {{source:String}} AND start_ms >= {{start:Int64}} AND start_ms < {{end:Int64}}
            AND series_id % {{chunks:UInt64}} = {{chunk:UInt64}}
    ) AS r
    GROUP BY series_id, window
) AS made
LEFT JOIN
(
    SELECT series_id, start_ms AS opened, count AS known FROM rollups FINAL
    WHERE rollup = {{rollup:String}} AND start_ms IN {{starts:Array(Int64)}}
        AND series_id % {{chunks:UInt64}} = {{chunk:UInt64}}
) AS there USING (series_id, opened)
WHERE n >= known"""  # noqa: S608 - numbers of ours


class LongerTable:
    """Every method may be called again after a crash: the table ends the same."""

    def __init__(self, repository: Repository) -> None:
        self._store, self._run = repository.store, repository.thread.run

    async def new(self, targets: Sequence[str]) -> list[str]:
        """Return those of the configured rollups whose sources may have been stored before they were configured.

        What is known is kept in the table ``applied``. Of a folder that has no such row yet, what was ever touched was
        configured from the beginning.
        """
        noted = await self._run(applied, self._store, "longer")
        if noted is not None:
            known = msgspec.json.decode(noted, type=list[str])
        else:
            known = (await self._run(self._store.select, "SELECT DISTINCT rollup FROM touched"))["rollup"]
        return [name for name in targets if name not in known]

    async def know(self, targets: Sequence[str], now_ms: int) -> None:
        """Say that all that was stored before of these rollups' sources is touched; one left out here is new again."""
        await self._run(note_applied, self._store, "longer", msgspec.json.encode(sorted(targets)).decode(), now_ms)

    async def starts(self, sources: Sequence[str], limit: int = 1_000_000) -> np.ndarray:
        """Return the starts of stored windows of some rollups, rising."""
        sql = (
            "SELECT DISTINCT start_ms FROM rollups WHERE rollup IN {sources:Array(String)}"
            " ORDER BY start_ms LIMIT {n:UInt64}"
        )
        return (await self._run(self._store.select, sql, {"sources": list(sources), "n": limit}))["start_ms"]

    async def touch(self, windows: Sequence[tuple[str, int, int]], *, partition: int, now_ms: int) -> None:
        """Say of windows (rollup, start_ms, end_ms) that rows they are merged from were written."""
        if windows:
            await self._run(self._store.insert, "touched", touched_columns(windows, partition, now_ms))

    async def due(self, now_ms: int, *, settle_ms: int) -> list[Due]:
        """Return ended windows to merge, short before long; ones touched within ``settle_ms`` wait a little."""
        parameters = {"skew": CLOCK_SKEW_MS, "until": now_ms, "settled": now_ms - settle_ms, "most": DUE_MAX}
        rows = await self._run(self._store.select, _DUE, parameters)
        columns = (rows["start_ms"].tolist(), rows["end_ms"].tolist(), rows["done"].tolist())
        return [Due(name, s, e, done > 0) for name, s, e, done in zip(rows["rollup"], *columns, strict=True)]

    async def merge(self, due: Sequence[Due], source: str) -> None:
        """Merge windows of one rollup, at most DUE_MAX, of every series, from their source's rows."""
        starts, ends = [one.start_ms for one in due], [one.end_ms for one in due]
        window = {"source": source, "start": min(starts), "end": max(ends)}
        sql = (
            "SELECT count() AS n FROM rollups WHERE rollup = {source:String}"
            " AND start_ms >= {start:Int64} AND start_ms < {end:Int64}"
        )
        rows = int((await self._run(self._store.select, sql, window))["n"][0])
        chunks = rows // SOURCE_ROWS_MAX + 1
        for chunk in range(chunks):  # a statement each: other work of the store comes in between
            parameters = window | {"rollup": due[0].rollup, "starts": starts, "ends": ends}
            await self._run(self._store.execute, _MERGE, parameters | {"chunks": chunks, "chunk": chunk})

    async def done(self, due: Sequence[Due], now_ms: int) -> None:
        """Say that all of the windows that was written before ``now_ms`` is in them."""
        starts = np.array([one.start_ms for one in due], np.int64)
        done = {"rollup": [one.rollup for one in due], "start_ms": starts, "merged_ms": np.full(len(due), now_ms)}
        await self._run(self._store.insert, "merged", done)

    async def read(self, due: Sequence[Due]) -> Rollup:
        """Return the rows of merged windows of one rollup, without sketches, rising by start and series id."""
        sql = (
            f"SELECT series_id, start_ms, end_ms, version, {', '.join(NUMBERS)} FROM rollups FINAL"  # noqa: S608 - of ours
            " WHERE rollup = {rollup:String} AND start_ms IN {starts:Array(Int64)} ORDER BY start_ms, series_id"
        )
        parameters = {"rollup": due[0].rollup, "starts": [one.start_ms for one in due]}
        rows = await self._run(self._store.select, sql, parameters)
        n = len(rows["series_id"])
        return Rollup(
            rollup=due[0].rollup,
            start_ms=np.asarray(rows["start_ms"], np.int64),
            end_ms=np.asarray(rows["end_ms"], np.int64),
            ids=np.asarray(rows["series_id"], np.uint64),
            **{name: np.asarray(rows[name]) for name in NUMBERS},
            sketch_offsets=np.zeros(n + 1, np.int64),
            sketch_keys=np.zeros(0, np.int16),
            sketch_counts=np.zeros(0, np.uint32),
            version=int(np.max(rows["version"])) if n else -1,
            late=due[0].before,
        )


def touched_columns(windows: Sequence[tuple[str, int, int]], partition: int, now_ms: int) -> Columns:
    """Return the rows of the table ``touched`` for windows (rollup, start_ms, end_ms)."""
    n = len(windows)
    names, starts, ends = zip(*windows, strict=True)
    numbers = {"start_ms": np.array(starts, np.int64), "end_ms": np.array(ends, np.int64)}
    return {"rollup": list(names)} | numbers | {"partition": np.full(n, partition), "touched_ms": np.full(n, now_ms)}
