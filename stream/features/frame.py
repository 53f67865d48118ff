"""A frame: one closed window of one rollup, as matrices of entities by metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from schemas.rollup import RollupMessage

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


def frames_from_message(message: RollupMessage) -> list[Frame]:
    """Return a frame a window, by rising start: entities and series keys in order of first appearance."""
    starts, ends = np.frombuffer(message.starts, "<i8"), np.frombuffer(message.ends, "<i8")
    rows = np.frombuffer(message.rows, "<i8")
    rate = np.frombuffer(message.columns["rate"], "<f8")
    counter = np.isfinite(rate)
    event = np.array([s.kind == "event" for s in message.series], bool)[rows]
    columns = {}
    for stat in STATS:
        values = np.frombuffer(message.columns[stat], "<f8")
        if stat in ("mean", "min", "max", "last", "p95"):
            values = np.where(event, np.frombuffer(message.count, "<u8"), np.where(counter, rate, values))
        elif stat == "stddev":
            values = np.where(counter, 0.0, values)
        columns[stat] = np.where(np.isfinite(values), values, np.nan)
    entity_number: dict[str, int] = {}
    metric_number: dict[str, int] = {}
    entity_of = np.array([entity_number.setdefault(s.entity, len(entity_number)) for s in message.series], np.intp)
    metric_of = np.array([metric_number.setdefault(s.key, len(metric_number)) for s in message.series], np.intp)
    entities, metrics = list(entity_number), list(metric_number)
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
