"""Partial rollups: what the samples of one span amount to, series by series, and how spans add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.rollup import sketch


@dataclass(frozen=True, slots=True)
class Cells:
    """Columns of n series, rising by row. Times are ms after ``base_ms``, so that they need half the room.

    ``increase`` : NaN but for counters: the rises from sample to sample, a fall counted as a restart from zero (as
    Prometheus does). ``entries`` : the sketches, see ``stream.rollup.sketch``.
    """

    base_ms: int
    rows: np.ndarray  # int32[n]
    count: np.ndarray  # uint32[n]
    sum: np.ndarray  # float64[n] …
    min: np.ndarray
    max: np.ndarray
    sumsq: np.ndarray  # squared deviations from the mean, summed (Welford's M2)
    first: np.ndarray
    last: np.ndarray
    first_ms: np.ndarray  # int32[n]
    last_ms: np.ndarray
    increase: np.ndarray
    entries: np.ndarray  # int64[m], rising


def cells_of(
    base_ms: int, rows: np.ndarray, times_ms: np.ndarray, values: np.ndarray, counters: np.ndarray | None
) -> Cells:
    """Return the cells of samples in arrival order, n > 0 of them.

    rows, times_ms : int32[n], times after ``base_ms``; values : finite float64[n].
    counters : bool by row, which rows are counters; None: none is.
    """
    order = _order(rows)
    sorted_rows = rows[order]
    times = times_ms[order]
    heads = _heads(sorted_rows)
    back = np.flatnonzero(times[1:] < times[:-1]) + 1
    if len(back) and len(np.setdiff1d(back, heads, assume_unique=True)):
        order = np.lexsort((times_ms, rows))  # stable: equal times stay in arrival order
        times = times_ms[order]
    values = values[order]
    tails = np.append(heads[1:], len(rows)) - 1
    count = tails - heads + 1
    total = np.add.reduceat(values, heads)
    deviation = values - np.repeat(total / count, count)
    deviation *= deviation
    kept = sorted_rows[heads].astype(np.int32)
    increase = np.full(len(heads), np.nan)
    if counters is not None and (is_counter := counters[kept]).any():
        rise = np.diff(values, prepend=values[0])
        rise = np.where(rise < 0, values, rise)
        rise[heads] = 0.0
        increase[is_counter] = np.add.reduceat(rise, heads)[is_counter]
    return Cells(
        base_ms,
        kept,
        count.astype(np.uint32),
        total,
        np.minimum.reduceat(values, heads),
        np.maximum.reduceat(values, heads),
        np.add.reduceat(deviation, heads),
        values[heads],
        values[tails],
        times[heads],
        times[tails],
        increase,
        sketch.entries_of(sorted_rows, values),
    )


def combine(base_ms: int, blocks: Sequence[Cells], *, bridge: bool, ordered: bool) -> Cells:
    """Return the cells of several spans together. Deviations are combined by Chan, Golub, LeVeque (1979).

    bridge : the rise of a counter from one span's last sample to the next one's first is not in ``increase`` yet.
    ordered : the spans follow one another in time.
    """
    if len(blocks) == 1 and blocks[0].base_ms == base_ms:
        return blocks[0]

    def every(name: str) -> np.ndarray:
        return np.concatenate([getattr(block, name) for block in blocks])

    def shifted(name: str) -> np.ndarray:
        return np.concatenate([getattr(block, name) + np.int32(block.base_ms - base_ms) for block in blocks])

    rows, first_ms, last_ms = every("rows"), shifted("first_ms"), shifted("last_ms")
    order, sorted_rows = _interleaved(rows)
    heads = _heads(sorted_rows)
    tails = np.append(heads[1:], len(rows)) - 1
    opening, closing = order[heads], order[tails]
    if not ordered:
        opening = np.lexsort((first_ms, rows))[heads]
        closing = np.lexsort((last_ms, rows))[tails]
    count, total = every("count")[order].astype(np.float64), every("sum")[order]
    counts, totals = np.add.reduceat(count, heads), np.add.reduceat(total, heads)
    deviation = total / count - np.repeat(totals / counts, tails - heads + 1)
    first, last, increase = every("first"), every("last"), every("increase")[order]
    rises = np.add.reduceat(increase, heads)
    if bridge and not np.isnan(rises).all():
        rise = first[order] - np.roll(last[order], 1)
        rise = np.where(rise < 0, first[order], rise)
        rise[heads] = 0.0
        rises += np.add.reduceat(rise, heads)
    return Cells(
        base_ms,
        sorted_rows[heads].astype(np.int32),
        counts.astype(np.uint32),
        totals,
        np.minimum.reduceat(every("min")[order], heads),
        np.maximum.reduceat(every("max")[order], heads),
        np.add.reduceat(every("sumsq")[order] + count * deviation * deviation, heads),
        first[opening],
        last[closing],
        first_ms[opening],
        last_ms[closing],
        rises,
        sketch.merged([block.entries for block in blocks]),
    )


def _order(rows: np.ndarray) -> np.ndarray:
    """Return int64[n], the order by row, equal ones as they came.

    NumPy sorts 16-bit numbers by radix, several times faster than wider ones.
    """
    order = np.argsort((rows & 0xFFFF).astype(np.uint16), kind="stable")
    high = rows >> 16
    if high.any():
        order = order[np.argsort(high.astype(np.uint16)[order], kind="stable")]
    return order


def _interleaved(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (order, rows in that order), by row, equal ones as they came, of a few rising runs; int64[n] both.

    Row and position are one number, so that it is a merge of runs, which NumPy's stable sort finds.
    """
    packed = rows.astype(np.int64) << 32
    packed |= np.arange(len(rows))
    packed.sort(kind="stable")
    return packed & 0xFFFFFFFF, packed >> 32


def _heads(sorted_rows: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.flatnonzero(sorted_rows[1:] != sorted_rows[:-1]) + 1])
