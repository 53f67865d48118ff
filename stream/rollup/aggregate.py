"""Rollups out of cells, and of late samples, many windows at once."""

from __future__ import annotations

import numpy as np

from schemas.rollup import Rollup
from stream.rollup import sketch
from stream.rollup.cells import Cells, cells_of, increase_of, ordered


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
    ids, times, values : uint64[n], int64[n] epoch ms, finite float64[n]; counters : bool[n], whether a sample's
        series is a counter.
    """
    order = np.lexsort((ids, starts))
    sorted_ids, sorted_starts = ids[order], starts[order]
    edge = (sorted_ids[1:] != sorted_ids[:-1]) | (sorted_starts[1:] != sorted_starts[:-1])
    heads = np.concatenate([[0], np.flatnonzero(edge) + 1])
    rows = np.empty(len(ids), np.int64)
    rows[order] = np.cumsum(np.concatenate([[False], edge]))
    assert len(heads) <= sketch.ROWS_MAX, "BUG: LATE_SAMPLES_MAX is lower"
    after = (times - starts).astype(np.int32)
    samples = ordered(rows, after, values)
    cells = cells_of(0, samples, increase_of(samples, counters[order][heads]))
    return rollup_of(name, size_ms, sorted_starts[heads], cells, sorted_ids[heads], version=version, late=late)


def rollup_of(
    name: str, size_ms: int, starts: np.ndarray, cells: Cells, ids: np.ndarray, *, version: int, late: bool
) -> Rollup:
    """Return cells as a rollup: int64[n] window starts, to which the cells' times are relative, and uint64[n] ids."""
    offsets, keys, counts = sketch.unpacked(cells.entries, cells.rows)
    p50, p95, p99 = sketch.several_quantiles(offsets, keys, counts, (0.5, 0.95, 0.99), cells.min, cells.max)
    return Rollup(
        rollup=name,
        start_ms=starts,
        end_ms=starts + size_ms,
        ids=ids,
        count=cells.count.astype(np.uint64),
        sum=cells.sum,
        min=cells.min,
        max=cells.max,
        sumsq=cells.sumsq,
        first=cells.first,
        last=cells.last,
        first_ms=starts + cells.first_ms,
        last_ms=starts + cells.last_ms,
        increase=cells.increase,
        p50=p50,
        p95=p95,
        p99=p99,
        sketch_offsets=offsets,
        sketch_keys=keys,
        sketch_counts=counts,
        version=version,
        late=late,
    )
