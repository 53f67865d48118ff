"""Series, samples, rollups and checkpoints in a store."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from schemas.catalogue import Catalogue
from schemas.rollup import Rollup
from schemas.series import Series, ids_of
from store.arrow import pyarrow
from store.base import Columns, Store
from store.ranges import RangeTable
from store.raw import RawSamples
from store.raw import write as write_raw
from store.retention import apply_retention
from store.rows import NUMBERS, rollup_columns
from store.seen import SeenWriter
from store.thread import StoreThread

SERIES_MAX = 5000
ROWS_AT_ONCE = 100_000
_PAIRS_MAX = 20_000
_LOADED_AT_ONCE = 100_000


class Repository:
    def __init__(self, store: Store) -> None:
        self.thread = StoreThread(store)
        self.store, self._store, self._run = store, store, self.thread.run
        self.ranges = RangeTable(self.thread)
        self._series = Catalogue()
        self._seen = SeenWriter()

    async def open(self) -> None:
        await self.thread.open()
        await self._run(self._load_series)

    async def close(self) -> None:
        await self.thread.close()

    async def refresh_series(self) -> None:
        """Learn of series that other processes wrote."""
        count = (await self._run(self._store.select, "SELECT uniqExact(series_id) AS n FROM series"))["n"]
        if int(count[0]) != len(self._series):
            await self._run(self._load_series)

    def _load_series(self) -> None:
        sql = (
            "SELECT series_id, entity, metric, labels, kind FROM series FINAL WHERE series_id >= {first:UInt64}"
            " ORDER BY series_id LIMIT {most:UInt32}"
        )
        first, count = 0, _LOADED_AT_ONCE
        while count == _LOADED_AT_ONCE:
            rows = self._store.select(sql, {"first": first, "most": _LOADED_AT_ONCE})
            ids = rows.pop("series_id").tolist()
            named = zip(ids, *rows.values(), strict=True)
            self._series.add(Series(i, entity, metric, dict(labels), kind) for i, entity, metric, labels, kind in named)
            count, first = len(ids), ids[-1] + 1 if ids else first

    @property
    def series(self) -> Catalogue:
        """Every series that was ever written, by id."""
        return self._series

    async def write(
        self,
        rollups: list[Rollup],
        series: list[Series],
        raw: list[RawSamples],
        checkpoint: dict[str, Any],
        touched: Callable[[], Columns] | None = None,
        requests: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Write all of it, the checkpoint last: when it is durable, so is everything it stands for.

        touched : returns rows of the table of that name, the longer windows that the rollups belong to; None: there are
            none. It is asked once the rollups are written: who merges before that, merges again.
        raw : what is written is taken off the list.
        requests : (log offset, digest) of the requests taken in, of the checkpoint's partition.
        """
        await self._run(self._write, rollups, series, raw, checkpoint, touched, requests)

    def _write(
        self,
        rollups: list[Rollup],
        series: list[Series],
        raw: list[RawSamples],
        checkpoint: dict[str, Any],
        touched: Callable[[], Columns] | None,
        requests: Sequence[tuple[int, int]],
    ) -> None:
        if series:
            columns: Columns = {
                "series_id": ids_of(series),
                "entity": [s.entity for s in series],
                "metric": [s.metric for s in series],
                "key": [s.key for s in series],
                "labels": _map_column([s.labels for s in series]),
                "kind": [s.kind for s in series],
            }
            self._store.insert("series", columns)
        write_raw(self._store, raw)
        for some in _some_at_once(rollups):
            self._seen.write(self._store, some)
            self._store.insert("rollups", rollup_columns(some))
        if touched:
            self._store.insert("touched", touched())
        if requests:
            offsets, digests = (np.array(column, np.int64) for column in zip(*requests, strict=True))
            owner = np.full(len(requests), checkpoint["partition"], np.int64)
            self._store.insert("requests", {"partition": owner, "log_offset": offsets, "digest": digests})
        self._store.insert("checkpoints", {name: [value] for name, value in checkpoint.items()})
        self._series.add(series)

    async def ping(self) -> None:
        """Ask the store for nothing; raises SourceError when it is away."""
        await self.thread.ping()

    async def apply_retention(self, retention_s: Mapping[str, int | None], now_ms: int) -> None:
        """Make the store keep rows as long as the configuration says (store.retention)."""
        await self._run(apply_retention, self._store, retention_s, now_ms)

    async def seen(self) -> list[tuple[str, int, int]]:
        """Return (entity, first, last seen in epoch ms) of each entity with a closed window; see ``series_seen``."""
        sql = (
            "SELECT entity, min(low) AS first, max(high) AS last FROM series AS s JOIN ("
            " SELECT series_id, min(first_ms) AS low, max(last_ms) AS high FROM seen GROUP BY series_id"
            ") AS r USING (series_id) GROUP BY entity"
        )
        rows = await self.thread.read(self._store.select, sql)
        return list(zip(rows["entity"], rows["first"].tolist(), rows["last"].tolist(), strict=True))

    async def series_seen(self, ids: list[int]) -> dict[int, tuple[int, int]]:
        """Return first and last seen, epoch ms, of series; last may be up to store.seen.LAG_MS too early."""
        sql = (
            "SELECT series_id, min(first_ms) AS low, max(last_ms) AS high FROM seen"
            " WHERE series_id IN {ids:Array(UInt64)} GROUP BY series_id"
        )
        rows = await self.thread.read(self._store.select, sql, {"ids": ids})
        columns = (rows["series_id"].tolist(), rows["low"].tolist(), rows["high"].tolist())
        return {series_id: (low, high) for series_id, low, high in zip(*columns, strict=True)}

    async def checkpoint(self, topic: str, partition: int) -> dict[str, int] | None:
        """Return resume_offset, floor_ms, watermark_ms, version of a partition; None before the first."""
        sql = "SELECT * FROM checkpoints FINAL WHERE topic = {topic:String} AND partition = {partition:Int64}"
        rows = await self._run(self._store.select, sql, {"topic": topic, "partition": partition})
        return {k: int(v[0]) for k, v in rows.items() if k != "topic"} if len(rows["version"]) else None

    async def requests(self, partition: int, before: int, most: int) -> list[int]:
        """Return the digests of a partition's last requests at log offsets below ``before``, oldest first."""
        sql = (
            "SELECT digest FROM requests WHERE partition = {partition:Int64} AND log_offset < {before:Int64}"
            " ORDER BY log_offset DESC LIMIT {most:UInt32}"
        )
        rows = await self._run(self._store.select, sql, {"partition": partition, "before": before, "most": most})
        return rows["digest"].tolist()[::-1]

    async def counter_tails(self, before_ms: int, since_ms: int) -> tuple[np.ndarray, ...]:
        """Return (ids, values, ms) of each counter's last sample in windows that lie in [since, before)."""
        sql = (
            "SELECT series_id, argMax(last, last_ms) AS value, max(last_ms) AS at FROM rollups"
            " WHERE start_ms >= {since:Int64} AND end_ms <= {before:Int64} AND NOT isNaN(increase) GROUP BY series_id"
        )
        rows = await self._run(self._store.select, sql, {"since": since_ms, "before": before_ms})
        return rows["series_id"], rows["value"], rows["at"]

    async def rollup_rows(self, rollup: str, ids: np.ndarray, starts: np.ndarray) -> Columns:
        """Return the stored rows of these series, ids[i] in the window at starts[i], to merge corrections into."""
        names = ("series_id", "start_ms", "version", *NUMBERS, "sketch_keys", "sketch_counts")
        return await self._rows_at(names, rollup, ids, starts)

    async def _rows_at(self, names: tuple[str, ...], rollup: str, ids: np.ndarray, starts: np.ndarray) -> Columns:
        # Both are of the table's key: the plain conditions prune, the pairs choose.
        sql = f"""SELECT {", ".join(names)} FROM rollups FINAL
            WHERE rollup = {{rollup:String}} AND start_ms BETWEEN {{low:Int64}} AND {{high:Int64}}
                AND series_id IN {{unique:Array(UInt64)}} AND (series_id, start_ms) IN (
                SELECT tupleElement(pair, 1), tupleElement(pair, 2)
                FROM (SELECT arrayJoin(arrayZip({{ids:Array(UInt64)}}, {{starts:Array(Int64)}})) AS pair))"""  # noqa: S608 - names of ours
        parts = []
        for at in range(0, len(ids), _PAIRS_MAX):
            some, when = ids[at : at + _PAIRS_MAX], starts[at : at + _PAIRS_MAX]
            parameters = {"rollup": rollup, "low": int(when.min()), "high": int(when.max())}
            parameters |= {"unique": np.unique(some).tolist(), "ids": some.tolist(), "starts": when.tolist()}
            parts.append(await self._run(self._store.select, sql, parameters))
        if len(parts) == 1:
            return parts[0]
        return {
            name: [value for part in parts for value in part[name]]
            if isinstance(parts[0][name], list)
            else np.concatenate([part[name] for part in parts])
            for name in parts[0]
        }

    async def rows_around(self, rollup: str, ids: np.ndarray, starts: np.ndarray, reach_ms: int) -> Columns:
        """Return a few columns of the stored rows of these series in their windows at ``starts`` and, at the least, up
        to ``reach_ms`` before and after.
        """
        sql = """SELECT series_id, start_ms, version, first, first_ms, last, last_ms, increase FROM rollups FINAL
            WHERE rollup = {rollup:String} AND start_ms BETWEEN {low:Int64} AND {high:Int64}
                AND series_id IN {ids:Array(UInt64)}"""
        order = np.argsort(starts)
        runs = np.split(order, np.flatnonzero(np.diff(starts[order]) > 2 * reach_ms) + 1)
        parts = []
        for run in runs:
            within = {"low": int(starts[run].min()) - reach_ms, "high": int(starts[run].max()) + reach_ms}
            unique = np.unique(ids[run])
            for at in range(0, len(unique), _PAIRS_MAX):
                some = {"rollup": rollup, "ids": unique[at : at + _PAIRS_MAX].tolist()}
                parts.append(await self._run(self._store.select, sql, some | within))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    async def versions(self, rollup: str, ids: np.ndarray, starts: np.ndarray) -> Columns:
        """Return series_id, start_ms and version of the stored rows of these series, as ``rollup_rows``."""
        return await self._rows_at(("series_id", "start_ms", "version"), rollup, ids, starts)

    def select_series(self, entities: list[str], metrics: list[str]) -> list[Series]:
        """Return the series that match any of the ``*`` patterns of both lists (empty: all), by entity and name."""
        of_entity, of_metric = _matcher(entities), _matcher(metrics)
        if not entities or any("*" in pattern for pattern in entities):
            entities = [entity for entity in self._series.entities() if of_entity(entity)]
        of_entities = self._series.of_entities(entities)
        chosen = [series for series in of_entities if of_metric(series.metric) or of_metric(series.key)]
        return sorted(chosen, key=lambda s: (s.entity, s.key))


def _some_at_once(rollups: list[Rollup]) -> Iterator[list[Rollup]]:
    """Yield them in turn, ROWS_AT_ONCE rows or one rollup at a time: a statement takes several times their memory."""
    begin = rows = 0
    for at, rollup in enumerate(rollups):
        if rows and rows + len(rollup) > ROWS_AT_ONCE:
            yield rollups[begin:at]
            begin, rows = at, 0
        rows += len(rollup)
    if rows:
        yield rollups[begin:]


def _matcher(patterns: list[str]) -> Callable[[str], bool]:
    """Return whether a text fits any of the patterns, in which only ``*`` means more than itself; none: all fit.

    fnmatch's expressions, because they cannot be made to search for ever.
    """
    if not patterns:
        return lambda _: True
    exact = set(patterns)
    wild = [p.replace("[", "[[]").replace("?", "[?]") for p in exact if "*" in p]
    if not wild:
        return exact.__contains__
    match = [re.compile(fnmatch.translate(p)).match for p in wild]
    return lambda text: text in exact or any(one(text) for one in match)


def _map_column(maps: list[dict[str, str]]) -> Any:
    return pyarrow.array([list(m.items()) for m in maps], pyarrow.map_(pyarrow.string(), pyarrow.string()))
