"""A frame: one closed window of one rollup, as matrices of entities by metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from schemas.rollup import RollupMessage

STATS = ("mean", "min", "max", "last", "stddev", "p95", "rate")


@dataclass(slots=True)
class Frame:
    """One closed window ``[start_ms, end_ms)``. Each array of ``stats`` is float64[E, M]; NaN = missing.

    Of a counter every level (mean, min, max, last, p95) is its rate: how far it has counted says nothing.
    """

    rollup: str
    start_ms: int
    end_ms: int
    entities: list[str]
    metrics: list[str]
    stats: dict[str, np.ndarray] = field(default_factory=dict)
    version: int = 0

    @property
    def values(self) -> np.ndarray:
        return self.stats["mean"]


def frame_from_message(message: RollupMessage) -> Frame:
    """Return the frame of a rollup message: entities and series keys in order of first appearance."""
    entities: dict[str, int] = {}
    metrics: dict[str, int] = {}
    count = len(message.series)
    row, column = np.empty(count, np.intp), np.empty(count, np.intp)
    for i, series in enumerate(message.series):
        row[i] = entities.setdefault(series.entity, len(entities))
        column[i] = metrics.setdefault(series.key, len(metrics))
    rate = np.frombuffer(message.columns["rate"], "<f8")
    counter = np.isfinite(rate)
    stats = {}
    for stat in STATS:
        values = np.frombuffer(message.columns[stat], "<f8")
        if stat in ("mean", "min", "max", "last", "p95"):
            values = np.where(counter, rate, values)
        elif stat == "stddev":
            values = np.where(counter, 0.0, values)
        matrix = np.full((len(entities), len(metrics)), np.nan)
        matrix[row, column] = np.where(np.isfinite(values), values, np.nan)
        stats[stat] = matrix
    return Frame(
        message.rollup, message.start_ms, message.end_ms, list(entities), list(metrics), stats, message.version
    )
