"""The statistics of samples that lie in one window, all series at once."""

from __future__ import annotations

import numpy as np

from schemas.rollup import Rollup
from stream.rollup import sketch


def aggregate(
    name: str,
    start_ms: int,
    end_ms: int,
    ids: np.ndarray,
    times: np.ndarray,
    values: np.ndarray,
    *,
    counters: np.ndarray,
    version: int,
    late: bool,
) -> Rollup:
    """Return the rollup of samples in arrival order, n > 0 of them, one row a series by rising id.

    ids, times, values : uint64[n], int64[n] epoch ms, finite float64[n].
    counters : bool[n], whether a sample's series is a counter; its increase sums rises between consecutive samples
        within the window, and counts a fall as a restart from zero (as Prometheus does).
    """
    order = np.lexsort((times, ids))  # stable: equal times stay in arrival order
    ids, times, values, counters = ids[order], times[order], values[order], counters[order]
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    ends = np.append(starts[1:], len(ids)) - 1
    count = np.diff(np.append(starts, len(ids)))
    total = np.add.reduceat(values, starts)
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    row = np.repeat(np.arange(len(starts)), count)
    deviation = values - (total / count)[row]
    rise = np.diff(values, prepend=values[0])
    rise = np.where(rise < 0, values, rise)
    rise[starts] = 0.0
    increase = np.where(counters[starts], np.add.reduceat(rise, starts), np.nan)
    offsets, keys, counts = sketch.build(row, sketch.keys_of(values), np.ones(len(row)), len(starts))
    p50, p95, p99 = (sketch.quantiles(offsets, keys, counts, q, low, high) for q in (0.5, 0.95, 0.99))
    return Rollup(
        rollup=name,
        start_ms=start_ms,
        end_ms=end_ms,
        ids=ids[starts],
        count=count.astype(np.uint64),
        sum=total,
        min=low,
        max=high,
        sumsq=np.add.reduceat(deviation * deviation, starts),
        first=values[starts],
        last=values[ends],
        first_ms=times[starts],
        last_ms=times[ends],
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
