"""Live messages: what a record of the log becomes on a websocket, encoded once however many listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

import msgspec
import numpy as np

from log.base import Record
from schemas.batch import columns, decode_batch
from schemas.catalogue import Named
from schemas.errors import DataError
from schemas.names import Names
from schemas.patterns import fits
from schemas.rollup import RollupMessage, decode_rollup
from schemas.topics import ALERTS, ROLLUPS, SAMPLES, VERDICTS
from schemas.verdict import decode_verdicts

TYPES = ("samples", "rollup", "verdict", "alert")
PATTERNS_MAX = 200
_STATS = ("sum", "min", "max", "mean", "stddev", "p50", "p95", "p99", "last")
_EVERY = ("*",)
_TYPE_OF = {SAMPLES: "samples", ROLLUPS: "rollup", VERDICTS: "verdict", ALERTS: "alert"}


class Filter:
    """What a subscriber wants; subscribers that want the same share one."""

    def __init__(self, entities: tuple[str, ...], metrics: tuple[str, ...], rollups: tuple[str, ...], types: tuple):
        self.key = (entities, metrics, rollups, types)
        self.metrics, self._entities, self._rollups, self._types = metrics, entities, rollups, types
        self._wanted: dict[str, bool] = {}

    def wants_type(self, type_: str, rollup: str = "") -> bool:
        """Return whether messages of a type, and of a rollup where it is given, may be wanted."""
        if type_ not in self._types:
            return False
        return not rollup or "*" in self._rollups or rollup in self._rollups

    def wants(self, message: LiveMessage) -> bool:
        if not self.wants_type(message.type, message.rollup):
            return False
        wanted = self._wanted.get(message.entity)
        if wanted is None:
            if len(self._wanted) > 100_000:
                self._wanted.clear()
            wanted = self._wanted[message.entity] = _fits(message.entity, self._entities)
        return wanted

    @property
    def named(self) -> tuple[str, ...]:
        """The entities it wants where it names them all; empty where it has a pattern."""
        return self._entities if not any("*" in e or "?" in e for e in self._entities) else ()

    @property
    def all_metrics(self) -> bool:
        return "*" in self.metrics


def filter_key(subscribe: Any) -> tuple[tuple[str, ...], ...]:
    """Return (entities, metrics, rollups, types) of a subscription; raises DataError."""
    if not isinstance(subscribe, dict):
        raise DataError(
            'cannot subscribe: want {"subscribe": {"entities": ["*"], "metrics": ["*"], "rollups": ["10s"]}}'
        )
    out = []
    for name, default in (("entities", ["*"]), ("metrics", ["*"]), ("rollups", ["10s"]), ("types", list(TYPES))):
        given = subscribe.get(name, default)
        if not isinstance(given, list) or len(given) > PATTERNS_MAX or not all(isinstance(g, str) for g in given):
            raise DataError(f"cannot subscribe to {name}: want a list of at most {PATTERNS_MAX} strings")
        out.append(tuple(sorted(set(given))))
    return tuple(out)


def _fits(text: str, patterns: tuple[str, ...]) -> bool:
    return any(text == p or fits(text, p) for p in patterns)


class LiveMessage:
    """One message without its cursor, encoded once a set of metrics asked for.

    row : where it begins in its record; the rows of a record rise from message to message.
    body : what it says, without its metrics; a JSON object. parts : the metrics by key, or None where they do not
        matter; made when first wanted, for many messages are not.
    """

    __slots__ = ("_body", "_encoded", "_parts", "entity", "rollup", "row", "type")

    def __init__(
        self,
        type_: str,
        entity: str,
        rollup: str,
        row: int,
        body: Any,
        parts: Callable[[], list[tuple[str, Any]]] | None,
    ):
        self.type, self.entity, self.rollup, self.row = type_, entity, rollup, row
        self._body, self._parts = body, parts
        self._encoded: dict[tuple[str, ...], bytes | None] = {}

    def metrics_of(self, wanted: Filter) -> tuple[str, ...]:
        """Return what the text depends on: equal for subscribers that are sent the same."""
        return _EVERY if self._parts is None or wanted.all_metrics else wanted.metrics

    def text(self, metrics: tuple[str, ...], cursor: str) -> bytes | None:
        """Return the message in JSON, None where nothing of it is wanted."""
        if metrics not in self._encoded:
            self._encoded[metrics] = self._encode(metrics)
        rest = self._encoded[metrics]
        if rest is None:
            return None
        # Cursors and types are ours: nothing in them needs escaping.
        return b'{"type":"%b","cursor":"%b",%b' % (self.type.encode(), cursor.encode(), rest)

    def _encode(self, metrics: tuple[str, ...]) -> bytes | None:
        body = self._body
        if self._parts is not None:
            parts = self._parts()
            if metrics != _EVERY:
                parts = [p for p in parts if _fits(p[0], metrics) or _fits(p[0].partition("{")[0], metrics)]
            if not parts:
                return None
            if self.type == "rollup":
                body = {**body, "metrics": dict(parts)}
            else:
                body = {**body, "points": [[key, *point] for key, point in parts]}
        return msgspec.json.encode(body)[1:]


class _Peek(msgspec.Struct):
    rollup: str


_peek = msgspec.msgpack.Decoder(_Peek)


def kind_of(record: Record) -> tuple[str, str]:
    """Return the type of a record's messages, and their rollup where all have the same; as ``messages_of`` raises."""
    return _TYPE_OF[record.topic], _peek.decode(record.value).rollup if record.topic == ROLLUPS else ""


def messages_of(record: Record, named: Named) -> list[LiveMessage]:
    """Return what a record says, by rising row; raises msgspec.MsgspecError or ValueError on one that is not ours."""
    if record.topic == SAMPLES:
        return list(_samples(record, named))
    if record.topic == ROLLUPS:
        return list(_rollups(record))
    if record.topic == VERDICTS:
        return [
            LiveMessage("verdict", verdict.entity, verdict.rollup, row, verdict, None)
            for row, verdict in enumerate(decode_verdicts(record.value))
        ]
    alert = msgspec.json.decode(record.value)
    return [LiveMessage("alert", alert.get("entity", ""), "", 0, alert, None)]


def _samples(record: Record, named: Named) -> Iterator[LiveMessage]:
    batch = decode_batch(record.value)
    got = columns(batch)
    own = {series.series_id: series for series in batch.series}
    ids = got.ids.tolist()
    others = np.array([i for i in ids if i not in own], np.uint64) if own else got.ids
    known = iter(named(others))
    by_entity: dict[str, tuple[int, list[tuple[str, Any]]]] = {}
    listed = zip(ids, got.times.tolist(), got.values.tolist(), strict=True)
    for row, (series_id, at_ms, value) in enumerate(listed):
        series = own.get(series_id) or next(known)
        if series is not None:
            by_entity.setdefault(series.entity, (row, []))[1].append((series.key, (at_ms, value)))
    for entity, (row, points) in by_entity.items():
        yield LiveMessage("samples", entity, "", row, {"entity": entity}, partial(list, points))


class _Statistics(msgspec.Struct, gc=False):
    """What a rollup message says of one metric; ``rate`` of counters alone."""

    count: int
    sum: float
    min: float
    max: float
    mean: float
    stddev: float
    p50: float
    p95: float
    p99: float
    last: float
    rate: float | msgspec.UnsetType = msgspec.UNSET


class _Rows:
    """The columns of a rollup message, read where they are wanted."""

    def __init__(self, message: RollupMessage, series: np.ndarray, names: Names) -> None:
        self._message, self._series, self._names = message, series, names

    @cached_property
    def _columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return uint64[n] counts, float64[9, n] of ``_STATS``, and float64[n] rates, None where no series has one."""
        columns = self._message.columns
        rates = np.frombuffer(columns["rate"], "<f8")
        stacked = np.stack([np.frombuffer(columns[stat], "<f8") for stat in _STATS])
        return np.frombuffer(self._message.count, "<u8"), stacked, None if np.isnan(rates).all() else rates

    def statistics(self, rows: np.ndarray) -> list[tuple[str, _Statistics]]:
        counts, stacked, rates = self._columns
        keys = [self._names.keys[number] for number in self._names.key_of[self._series[rows]].tolist()]
        columns: list[list] = [counts[rows].tolist(), *stacked[:, rows].tolist()]
        if rates is not None:
            columns.append([msgspec.UNSET if rate != rate else rate for rate in rates[rows].tolist()])
        return list(zip(keys, map(_Statistics, *columns), strict=True))


def _rollups(record: Record) -> Iterator[LiveMessage]:
    """Yield a message an entity and window, by the first of its rows."""
    message = decode_rollup(record.value)
    starts, ends = np.frombuffer(message.starts, "<i8"), np.frombuffer(message.ends, "<i8")
    series = np.frombuffer(message.rows, "<i8")
    if not len(series):
        return
    names = message.names
    columns = _Rows(message, series, names)
    group = names.entity_of[series]
    if int(starts.min()) != int(starts.max()):
        group = group + np.unique(starts, return_inverse=True)[1] * len(names.entities)
    order = np.argsort(group, kind="stable")
    heads = np.flatnonzero(np.diff(group[order], prepend=-1))
    tails = np.append(heads[1:], len(order))
    for at in np.argsort(order[heads]).tolist():
        rows = order[heads[at] : tails[at]]
        first = int(rows[0])
        entity = names.entities[names.entity_of[series[first]]]
        body = {"entity": entity, "rollup": message.rollup, "start": int(starts[first]), "end": int(ends[first])}
        if message.late:
            body["late"] = True
        yield LiveMessage("rollup", entity, message.rollup, first, body, partial(columns.statistics, rows))
