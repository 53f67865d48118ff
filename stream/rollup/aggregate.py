"""The statistics of samples by window and series, all at once."""

from __future__ import annotations

import numpy as np

from schemas.rollup import Rollup
from stream.rollup import sketch


def aggregate(
    name: str,
    size_ms: int,
    starts: np.ndarray,
    ids: np.ndarray,
    times: np.ndarray,
    values: np.ndarray,
    *,
    counters: np.ndarray,
    version: int,
    late: bool,
) -> Rollup:
    """Return the rollup of samples in arrival order, n > 0 of them: one row a window and series, rising by both.

    starts : int64[n], the start of the window that each sample is taken for.
    ids, times, values : uint64[n], int64[n] epoch ms, finite float64[n].
    counters : bool[n], whether a sample's series is a counter; its increase sums rises between consecutive samples
        within the window, and counts a fall as a restart from zero (as Prometheus does).
    """
    order = np.lexsort((times, ids, starts))  # stable: equal times stay in arrival order
    ids, times, values, counters = ids[order], times[order], values[order], counters[order]
    starts = starts[order]
    heads = np.flatnonzero(np.concatenate([[True], (ids[1:] != ids[:-1]) | (starts[1:] != starts[:-1])]))
    tails = np.append(heads[1:], len(ids)) - 1
    count = np.diff(np.append(heads, len(ids)))
    total = np.add.reduceat(values, heads)
    low, high = np.minimum.reduceat(values, heads), np.maximum.reduceat(values, heads)
    row = np.repeat(np.arange(len(heads)), count)
    deviation = values - (total / count)[row]
    rise = np.diff(values, prepend=values[0])
    rise = np.where(rise < 0, values, rise)
    rise[heads] = 0.0
    increase = np.where(counters[heads], np.add.reduceat(rise, heads), np.nan)
    offsets, keys, counts = sketch.build(row, sketch.keys_of(values), np.ones(len(row)), len(heads))
    p50, p95, p99 = (sketch.quantiles(offsets, keys, counts, q, low, high) for q in (0.5, 0.95, 0.99))
    return Rollup(
        rollup=name,
        start_ms=starts[heads],
        end_ms=starts[heads] + size_ms,
        ids=ids[heads],
        count=count.astype(np.uint64),
        sum=total,
        min=low,
        max=high,
        sumsq=np.add.reduceat(deviation * deviation, heads),
        first=values[heads],
        last=values[tails],
        first_ms=times[heads],
        last_ms=times[tails],
        increase=increase,
        p50=p50,
        p95=p95,
        p99=p99,
        sketch_offsets=offsets,
        sketch_keys=keys,
        sketch_counts=counts,
        version=version,
        late=late,
    )
