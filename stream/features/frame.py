"""A frame: one closed window of one rollup, as matrices of entities by metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from schemas.rollup import RollupMessage
from schemas.series import Series


@dataclass(slots=True)
class Frame:
    """One closed window ``[start_ms, end_ms)``. Each array of ``stats`` is float64[E, M]; NaN = missing.

    Of an event the mean is its count, of a counter its rate: how far it has counted says nothing.
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
    """Return a frame a window, by rising start: entities and series keys in order of first appearance.

    Of the statistics the mean alone, which is all that the models read.
    """
    starts, ends = np.frombuffer(message.starts, "<i8"), np.frombuffer(message.ends, "<i8")
    rows = np.frombuffer(message.rows, "<i8")
    names = message.names
    mean, rate = (np.frombuffer(message.columns[stat], "<f8") for stat in ("mean", "rate"))
    values = _level(mean, rate, np.frombuffer(message.count, "<u8"), names.are("event")[rows])
    heads = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1)) if len(starts) else np.zeros(0, int)
    frames = []
    for head, tail in zip(heads.tolist(), [*heads[1:].tolist(), len(starts)], strict=True):
        part = slice(head, tail)
        there, row = np.unique(names.entity_of[rows[part]], return_inverse=True)
        mean = np.full((len(there), len(names.keys)), np.nan)
        mean[row, names.key_of[rows[part]]] = values[part]
        frames.append(
            Frame(
                message.rollup,
                int(starts[head]),
                int(ends[head]),
                [names.entities[i] for i in there.tolist()],
                names.keys,
                {"mean": mean},
                message.version,
                message.late,
            )
        )
    return frames


def _level(mean: np.ndarray, rate: np.ndarray, count: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Return float64[n], what ``Frame`` calls the mean; rate : NaN where it is no counter; event : bool[n]."""
    values = np.where(event, count, np.where(np.isfinite(rate), rate, mean))
    return np.where(np.isfinite(values), values, np.nan)


def frames_from_rows(rollup: str, rows: Mapping[str, np.ndarray], series: Mapping[int, Series]) -> list[Frame]:
    """Return a frame a window, by rising start, of stored rows; those of series that are not given are left out.

    rows : series_id, start_ms, size_s, count, sum, increase, of each series and window one. Entities and metrics by
        name; of the statistics the mean alone, which is all that the models read.
    """
    ids = rows["series_id"].tolist()
    kept = np.array([i for i, one in enumerate(ids) if one in series], np.intp)
    if not len(kept):
        return []
    there = {one: series[one] for one in {ids[i] for i in kept.tolist()}}
    entities = sorted({one.entity for one in there.values()})
    metrics = sorted({one.key for one in there.values()})
    row_of, column_of = {e: i for i, e in enumerate(entities)}, {m: i for i, m in enumerate(metrics)}
    place = np.array([[row_of[(s := there[ids[i]]).entity], column_of[s.key]] for i in kept.tolist()], np.intp)
    event = np.array([there[ids[i]].kind == "event" for i in kept.tolist()], bool)
    count, total, size_s = (np.asarray(rows[name], float)[kept] for name in ("count", "sum", "size_s"))
    rate = np.asarray(rows["increase"], float)[kept] / size_s
    values = _level(total / count, rate, count, event)
    start_ms, size_ms = np.asarray(rows["start_ms"])[kept], size_s * 1000
    frames = []
    for start in np.unique(start_ms).tolist():
        at = np.flatnonzero(start_ms == start)
        mean = np.full((len(entities), len(metrics)), np.nan)
        mean[place[at, 0], place[at, 1]] = values[at]
        some = np.unique(place[at, 0])
        names = [entities[i] for i in some.tolist()]
        frames.append(Frame(rollup, start, start + int(size_ms[at[0]]), names, metrics, {"mean": mean[some]}))
    return frames
