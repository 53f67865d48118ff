"""A correction and the stored rows it belongs to become one rollup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from schemas.rollup import FLOATS, Rollup
from schemas.window_spec import WindowSpec
from stream.rollup import sketch


def with_increase(
    stored: dict[str, Any], increase: dict[tuple[int, int], float], neighbours: set[tuple[int, int]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return stored rows with some of them risen by something else, and the ``neighbours`` among these.

    stored : as in ``merge``. increase : by series and start, which neighbours are too.
    """
    if not increase:
        return stored, {}
    columns = (np.asarray(stored[name]).tolist() for name in ("series_id", "start_ms"))
    keys = list(zip(*columns, strict=True))
    risen = [increase.get(key, old) for key, old in zip(keys, np.asarray(stored["increase"]).tolist(), strict=True)]
    others = [row for row, key in enumerate(keys) if key in neighbours]
    stored = stored | {"increase": np.array(risen)}
    return stored, {name: [column[row] for row in others] for name, column in stored.items()}


def rollups_of(spec: WindowSpec, stored: dict[str, Any]) -> Iterator[Rollup]:
    """Yield stored rows as rollups, those of one version together; columns as in ``merge``, or none."""
    versions = np.asarray(stored.get("version", []), np.int64)
    for version in np.unique(versions).tolist():
        rows = np.flatnonzero(versions == version)
        one = {name: [column[row] for row in rows] for name, column in stored.items()}
        starts = np.array(one["start_ms"], np.int64)
        keys, counts = one["sketch_keys"], one["sketch_counts"]
        yield Rollup(
            rollup=spec.name,
            start_ms=starts,
            end_ms=starts + spec.size_ms,
            ids=np.array(one["series_id"], np.uint64),
            count=np.array(one["count"], np.uint64),
            first_ms=np.array(one["first_ms"], np.int64),
            last_ms=np.array(one["last_ms"], np.int64),
            sketch_offsets=np.cumsum([0, *map(len, keys)]),
            sketch_keys=np.concatenate(keys).astype(np.int16),
            sketch_counts=np.concatenate(counts).astype(np.uint32),
            version=version,
            late=True,
            **{name: np.array(one[name], np.float64) for name in FLOATS},
        )


def merge(late: Rollup, stored: dict[str, Any]) -> Rollup:
    """Return ``late`` with the stored rows of its series and windows added; rows without one stay as they are.

    stored : columns of the table ``rollups`` (series_id, start_ms, count, sum, …, sketch_keys and sketch_counts as
        lists), at most one row a series and window. Mean and deviation are combined by Chan, Golub, LeVeque (1979).
    """
    keys_of = zip(np.asarray(stored["series_id"]).tolist(), np.asarray(stored["start_ms"]).tolist(), strict=True)
    row_of = {key: row for row, key in enumerate(keys_of)}
    wanted = zip(late.ids.tolist(), late.start_ms.tolist(), strict=True)
    rows = np.array([row_of.get(key, -1) for key in wanted], np.int64)
    has = rows >= 0
    pick = rows[has]

    def old(name: str, otherwise: float) -> np.ndarray:
        out = np.full(len(rows), otherwise)
        out[has] = np.asarray(stored[name])[pick]
        return out

    def old_ms(name: str, otherwise: int) -> np.ndarray:
        out = np.full(len(rows), otherwise, np.int64)
        out[has] = np.asarray(stored[name])[pick]
        return out

    count_a, count_b = old("count", 0.0), late.count.astype(np.float64)
    total = count_a + count_b
    delta = late.sum / count_b - np.divide(old("sum", 0.0), count_a, out=late.sum / count_b, where=count_a > 0)
    first_ms, last_ms = old_ms("first_ms", 2**62), old_ms("last_ms", -(2**62))
    low, high = np.minimum(old("min", np.inf), late.min), np.maximum(old("max", -np.inf), late.max)
    lengths = np.diff(late.sketch_offsets)
    entry_rows = [np.repeat(np.arange(len(rows)), lengths)]
    keys, counts = [late.sketch_keys], [late.sketch_counts]
    for row, source in zip(np.flatnonzero(has), pick, strict=True):
        keys.append(np.asarray(stored["sketch_keys"][source], np.int16))
        counts.append(np.asarray(stored["sketch_counts"][source], np.uint32))
        entry_rows.append(np.full(len(keys[-1]), row))
    offsets, all_keys, all_counts = sketch.build(
        np.concatenate(entry_rows), np.concatenate(keys), np.concatenate(counts), len(rows)
    )
    p50, p95, p99 = (sketch.quantiles(offsets, all_keys, all_counts, q, low, high) for q in (0.5, 0.95, 0.99))
    return Rollup(
        rollup=late.rollup,
        start_ms=late.start_ms,
        end_ms=late.end_ms,
        ids=late.ids,
        count=total.astype(np.uint64),
        sum=old("sum", 0.0) + late.sum,
        min=low,
        max=high,
        sumsq=old("sumsq", 0.0) + late.sumsq + delta * delta * count_a * count_b / total,
        first=np.where(first_ms <= late.first_ms, old("first", 0.0), late.first),
        last=np.where(last_ms > late.last_ms, old("last", 0.0), late.last),
        first_ms=np.minimum(first_ms, late.first_ms),
        last_ms=np.maximum(last_ms, late.last_ms),
        increase=old("increase", 0.0) + late.increase,
        p50=p50,
        p95=p95,
        p99=p99,
        sketch_offsets=offsets,
        sketch_keys=all_keys,
        sketch_counts=all_counts,
        version=late.version,
        late=True,
    )
