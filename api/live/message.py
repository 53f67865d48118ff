"""Live messages: what a record of the log becomes on a websocket, encoded once however many listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import numpy as np

from log.base import Record
from schemas.batch import columns, decode_batch
from schemas.errors import DataError
from schemas.rollup import decode_rollup
from schemas.series import Series
from schemas.topics import ALERTS, ROLLUPS, SAMPLES, VERDICTS
from schemas.verdict import decode_verdicts

TYPES = ("samples", "rollup", "verdict", "alert")
PATTERNS_MAX = 200
_STATS = ("sum", "min", "max", "mean", "stddev", "p50", "p95", "p99", "last", "rate")


class Filter:
    """What a subscriber wants; subscribers that want the same share one."""

    def __init__(self, entities: tuple[str, ...], metrics: tuple[str, ...], rollups: tuple[str, ...], types: tuple):
        self.metrics, self._entities, self._rollups, self._types = metrics, entities, rollups, types
        self._wanted: dict[str, bool] = {}

    def wants(self, message: LiveMessage) -> bool:
        if message.type not in self._types:
            return False
        if message.rollup and "*" not in self._rollups and message.rollup not in self._rollups:
            return False
        wanted = self._wanted.get(message.entity)
        if wanted is None:
            if len(self._wanted) > 100_000:
                self._wanted.clear()
            wanted = self._wanted[message.entity] = _fits(message.entity, self._entities)
        return wanted

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
    return any(text == p or fnmatchcase(text, p.replace("[", "[[]")) for p in patterns)


class LiveMessage:
    """``body`` without its metrics, and the metrics by key: a list of points, or statistics."""

    __slots__ = ("_encoded", "body", "entity", "parts", "rollup", "type")

    def __init__(self, type_: str, entity: str, rollup: str, body: dict[str, Any], parts: list[tuple[str, Any]] | None):
        self.type, self.entity, self.rollup, self.body, self.parts = type_, entity, rollup, body, parts
        self._encoded: dict[tuple[str, ...], str | None] = {}

    def text(self, wanted: Filter) -> str | None:
        """Return the message for a subscriber, None where nothing of it is wanted."""
        key = ("*",) if wanted.all_metrics or self.parts is None else wanted.metrics
        if key not in self._encoded:
            self._encoded[key] = self._encode(key)
        return self._encoded[key]

    def _encode(self, metrics: tuple[str, ...]) -> str | None:
        body = {"type": self.type, **self.body}
        if self.parts is not None:
            parts = self.parts
            if metrics != ("*",):
                parts = [p for p in parts if _fits(p[0], metrics) or _fits(p[0].partition("{")[0], metrics)]
            if not parts:
                return None
            if self.type == "rollup":
                body["metrics"] = dict(parts)
            else:
                body["points"] = [[key, *point] for key, point in parts]
        return msgspec.json.encode(body).decode()


def messages_of(record: Record, cursor: str, lookup: Callable[[int], Series | None]) -> Iterator[LiveMessage]:
    """Yield what a record says; raises msgspec.MsgspecError or ValueError on one that is not ours."""
    if record.topic == SAMPLES:
        yield from _samples(record, cursor, lookup)
    elif record.topic == ROLLUPS:
        yield from _rollups(record, cursor)
    elif record.topic == VERDICTS:
        for verdict in decode_verdicts(record.value):
            body = {"cursor": cursor, **msgspec.to_builtins(verdict)}
            yield LiveMessage("verdict", verdict.entity, verdict.rollup, body, None)
    elif record.topic == ALERTS:
        alert = msgspec.json.decode(record.value)
        yield LiveMessage("alert", alert.get("entity", ""), "", {"cursor": cursor, **alert}, None)


def _samples(record: Record, cursor: str, lookup: Callable[[int], Series | None]) -> Iterator[LiveMessage]:
    batch = decode_batch(record.value)
    got = columns(batch)
    own = {series.series_id: series for series in batch.series}
    by_entity: dict[str, list[tuple[str, Any]]] = {}
    for series_id, at_ms, value in zip(got.ids.tolist(), got.times.tolist(), got.values.tolist(), strict=True):
        series = own.get(series_id) or lookup(series_id)
        if series is not None:
            by_entity.setdefault(series.entity, []).append((series.key, (at_ms, value)))
    for entity, points in by_entity.items():
        yield LiveMessage("samples", entity, "", {"cursor": cursor, "entity": entity}, points)


def _rollups(record: Record, cursor: str) -> Iterator[LiveMessage]:
    message = decode_rollup(record.value)
    starts, ends = np.frombuffer(message.starts, "<i8").tolist(), np.frombuffer(message.ends, "<i8").tolist()
    rows = np.frombuffer(message.rows, "<i8").tolist()
    count = np.frombuffer(message.count, "<u8").tolist()
    stats = [np.frombuffer(message.columns[stat], "<f8").tolist() for stat in _STATS]
    found: dict[tuple[int, str], list[tuple[str, Any]]] = {}
    ends_of: dict[int, int] = {}
    for i, (start, row) in enumerate(zip(starts, rows, strict=True)):
        series = message.series[row]
        values = {"count": count[i]}
        for stat, column in zip(_STATS, stats, strict=True):
            if column[i] == column[i]:  # NaN: the rate of what is no counter
                values[stat] = column[i]
        found.setdefault((start, series.entity), []).append((series.key, values))
        ends_of[start] = ends[i]
    for (start, entity), parts in found.items():
        body = {"cursor": cursor, "entity": entity, "rollup": message.rollup, "start": start, "end": ends_of[start]}
        if message.late:
            body["late"] = True
        yield LiveMessage("rollup", entity, message.rollup, body, parts)
