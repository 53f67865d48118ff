"""A frame: one closed window of one rollup, as matrices of entities by metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from schemas.rollup import RollupMessage, series_of

STATS = ("mean", "min", "max", "last", "stddev", "p95", "rate")


@dataclass(slots=True)
class Frame:
    """One closed window ``[start_ms, end_ms)``. Each array of ``stats`` is float64[E, M]; NaN = missing.

    Of an event every level (mean, min, max, last, p95) is its count, of a counter its rate: how far it has counted
    says nothing.
    """

    rollup: str
    start_ms: int
    end_ms: int
    entities: list[str]
    metrics: list[str]
    stats: dict[str, np.ndarray] = field(default_factory=dict)
    version: int = 0
    late: bool = False

    @property
    def values(self) -> np.ndarray:
        return self.stats["mean"]


class _Places(NamedTuple):
    entities: list[str]
    metrics: list[str]
    entity_of: np.ndarray  # intp by series, index into ``entities``
    metric_of: np.ndarray
    event: np.ndarray  # bool by series


@lru_cache(8)
def _places(definitions: bytes) -> _Places:
    """Return where each series of a message goes; most messages of a partition name the same series."""
    entities: dict[str, int] = {}
    metrics: dict[str, int] = {}
    series = series_of(definitions)
    entity_of = np.array([entities.setdefault(s.entity, len(entities)) for s in series], np.intp)
    metric_of = np.array([metrics.setdefault(s.key, len(metrics)) for s in series], np.intp)
    event = np.array([s.kind == "event" for s in series], bool)
    return _Places(list(entities), list(metrics), entity_of, metric_of, event)


def frames_from_message(message: RollupMessage) -> list[Frame]:
    """Return a frame a window, by rising start: entities and series keys in order of first appearance."""
    starts, ends = np.frombuffer(message.starts, "<i8"), np.frombuffer(message.ends, "<i8")
    rows = np.frombuffer(message.rows, "<i8")
    rate = np.frombuffer(message.columns["rate"], "<f8")
    counter = np.isfinite(rate)
    places = _places(bytes(message.definitions))
    event = places.event[rows]
    columns = {}
    for stat in STATS:
        values = np.frombuffer(message.columns[stat], "<f8")
        if stat in ("mean", "min", "max", "last", "p95"):
            values = np.where(event, np.frombuffer(message.count, "<u8"), np.where(counter, rate, values))
        elif stat == "stddev":
            values = np.where(counter, 0.0, values)
        columns[stat] = np.where(np.isfinite(values), values, np.nan)
    entities, metrics, entity_of, metric_of, _ = places
    heads = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1)) if len(starts) else np.zeros(0, int)
    frames = []
    for head, tail in zip(heads.tolist(), [*heads[1:].tolist(), len(starts)], strict=True):
        part = slice(head, tail)
        there, row = np.unique(entity_of[rows[part]], return_inverse=True)
        shape = (len(there), len(metrics))
        stats = {}
        for stat in STATS:
            stats[stat] = np.full(shape, np.nan)
            stats[stat][row, metric_of[rows[part]]] = columns[stat][part]
        frames.append(
            Frame(
                message.rollup,
                int(starts[head]),
                int(ends[head]),
                [entities[i] for i in there.tolist()],
                metrics,
                stats,
                message.version,
                message.late,
            )
        )
    return frames
