"""Rollups as rows of the table ``rollups``: what follows from the rest of a row is left out of it.

A window whose samples are all the same (``varies`` 0; above all one of a single sample) holds ``last`` and the sum,
where there is more than one; any other also low, high, head, squared deviations, quantile keys and sketch. The names
that are asked for (sum, min, max, first, p50, sketch_keys, …) are ALIAS columns over these, so readers need not know.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.buckets import keys_of
from schemas.rollup import Rollup
from store.arrow import pyarrow
from store.base import Columns

NUMBERS = (
    "count",
    "sum",
    "min",
    "max",
    "sumsq",
    "first",
    "last",
    "first_ms",
    "last_ms",
    "increase",
    "p50",
    "p95",
    "p99",
)
STORED = (
    "rollup, series_id, start_ms, size_s, count, varies, last, total, low, high, head, sumsq, first_after, last_after,"
    " increase, key50, key95, key99, keys, amounts, version"
)


def rollup_columns(rollups: Sequence[Rollup]) -> Columns:
    """Return the columns of ``STORED``, the rollups' rows one after another."""

    def every(name: str) -> np.ndarray:
        return np.concatenate([getattr(r, name) for r in rollups])

    start_ms, count, low, high = every("start_ms"), every("count"), every("min"), every("max")
    varies = low != high
    n, some = len(low), np.flatnonzero(varies)

    def spread(values: np.ndarray) -> np.ndarray:
        """Return the values of the rows that vary, zero in the others."""
        out = np.zeros(n, values.dtype)
        out[some] = values[some]
        return out

    def quantile_keys(name: str) -> np.ndarray:
        out = np.zeros(n, np.int16)
        out[some] = keys_of(every(name)[some])
        return out

    lengths = np.concatenate([np.diff(r.sketch_offsets) for r in rollups])
    offsets = pyarrow.array(np.concatenate([[0], np.cumsum(np.where(varies, lengths, 0))]).astype(np.int32))
    keys, amounts = every("sketch_keys"), every("sketch_counts")
    if len(some) < n:
        kept = np.repeat(varies, lengths)
        keys, amounts = keys[kept], amounts[kept]
    return {
        "rollup": pyarrow.DictionaryArray.from_arrays(
            np.repeat(np.arange(len(rollups), dtype=np.int32), [len(r) for r in rollups]), [r.rollup for r in rollups]
        ).cast(pyarrow.string()),
        "series_id": every("ids"),
        "start_ms": start_ms,
        "size_s": ((every("end_ms") - start_ms) // 1000).astype(np.uint32),
        "count": count,
        "varies": varies.astype(np.uint8),
        "last": every("last"),
        "total": np.where(count == 1, 0.0, every("sum")),
        "low": spread(low),
        "high": spread(high),
        "head": spread(every("first")),
        "sumsq": spread(every("sumsq")),  # what it is where nothing varies is rounding
        "first_after": (every("first_ms") - start_ms).astype(np.uint64),
        "last_after": (every("last_ms") - start_ms).astype(np.uint64),
        "increase": every("increase"),
        "key50": quantile_keys("p50"),
        "key95": quantile_keys("p95"),
        "key99": quantile_keys("p99"),
        "keys": pyarrow.ListArray.from_arrays(offsets, pyarrow.array(keys)),
        "amounts": pyarrow.ListArray.from_arrays(offsets, pyarrow.array(amounts)),
        "version": np.concatenate([np.full(len(r), r.version, np.int64) for r in rollups]),
    }
