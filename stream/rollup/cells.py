"""Partial rollups: what the samples of one span amount to, series by series, and how spans add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from stream.rollup import sketch


class Ordered(NamedTuple):
    """Samples by series, those of one series by time."""

    rows: np.ndarray  # [k], rising: the series
    heads: np.ndarray  # int64[k], where each one's samples begin
    times_ms: np.ndarray  # [n]
    values: np.ndarray  # float64[n]


class Edges(NamedTuple):
    """The first and last samples of spans, times in ms after some base."""

    first: np.ndarray
    first_ms: np.ndarray
    last: np.ndarray
    last_ms: np.ndarray


@dataclass(frozen=True, slots=True)
class Cells:
    """Columns of n series, rising by row. Times are ms after ``base_ms``, so that they need half the room.

    ``increase`` : NaN but for counters: the rises from sample to sample, a fall counted as a restart from zero (as
    Prometheus does). ``entries`` : the sketches, see ``stream.rollup.sketch``.
    """

    base_ms: int
    rows: np.ndarray  # uint16 or int32[n]
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

    def cells(self) -> Cells:
        return self

    def edges(self, base_ms: int) -> Edges:
        """Return the first and last sample of each series, their times after ``base_ms``."""
        first_ms, last_ms = (ms.astype(np.int64) + (self.base_ms - base_ms) for ms in (self.first_ms, self.last_ms))
        return Edges(self.first, first_ms, self.last, last_ms)

    def moved(self, new_rows: np.ndarray) -> Cells:
        """Return the same with each row replaced by ``new_rows[row]``, which rises with it."""
        return replace(self, rows=new_rows[self.rows], entries=sketch.moved(self.entries, new_rows))

    def rebased(self, base_ms: int) -> Cells:
        if base_ms == self.base_ms:
            return self
        by = np.int32(self.base_ms - base_ms)
        return replace(self, base_ms=base_ms, first_ms=self.first_ms + by, last_ms=self.last_ms + by)


def ordered(rows: np.ndarray, times_ms: np.ndarray, values: np.ndarray) -> Ordered:
    """Return samples in order, n > 0 of them that come in order of arrival; so do, then, those of equal times."""
    order = order_of(rows)
    sorted_rows, times = rows[order], times_ms[order]
    heads = heads_of(sorted_rows)
    back = np.flatnonzero(times[1:] < times[:-1]) + 1
    if len(back) and len(np.setdiff1d(back, heads, assume_unique=True)):
        order = np.lexsort((times_ms, rows))  # stable: equal times stay in arrival order
        times = times_ms[order]
    return Ordered(sorted_rows[heads], heads, times, values[order])


def increase_of(samples: Ordered, counters: np.ndarray | None) -> np.ndarray | None:
    """Return the rise of each counter, NaN for other series; None where none is a counter.

    counters : bool by row; None: no series is a counter.
    """
    if counters is None or not (is_counter := counters[samples.rows]).any():
        return None
    values, heads = samples.values, samples.heads
    rise = up(np.roll(values, 1), values)
    rise[heads] = 0.0
    return np.where(is_counter, np.add.reduceat(rise, heads), np.nan)


def cells_of(base_ms: int, samples: Ordered, increase: np.ndarray | None) -> Cells:
    """Return the cells of samples whose times are after ``base_ms``."""
    kept, heads, times, values = samples
    tails = np.append(heads[1:], len(values)) - 1
    count = tails - heads + 1
    if len(values) == len(heads):  # one sample each: nothing to add up
        low = high = total = values
        squares = np.zeros(len(values))
    else:
        total = np.add.reduceat(values, heads)
        low, high = np.minimum.reduceat(values, heads), np.maximum.reduceat(values, heads)
        deviation = values - np.repeat(total / count, count)
        deviation *= deviation
        squares = np.add.reduceat(deviation, heads)
    return Cells(
        base_ms,
        kept,
        count.astype(np.uint32),
        total,
        low,
        high,
        squares,
        values[heads],
        values[tails],
        times[heads].astype(np.int32),
        times[tails].astype(np.int32),
        np.full(len(heads), np.nan) if increase is None else increase,
        sketch.entries_of(kept, count, values, low, high),
    )


def combine(base_ms: int, blocks: Sequence[Cells], *, bridge: bool, in_order: bool) -> Cells:
    """Return the cells of several spans together. Deviations are combined by Chan, Golub, LeVeque (1979).

    bridge : the rise of a counter from one span's last sample to the next one's first is not in ``increase`` yet.
    in_order : the spans follow one another in time.
    """
    if len(blocks) == 1:
        return blocks[0].rebased(base_ms)

    def every(name: str) -> np.ndarray:
        return np.concatenate([getattr(block, name) for block in blocks])

    def shifted(name: str) -> np.ndarray:
        return np.concatenate([getattr(block, name) + np.int32(block.base_ms - base_ms) for block in blocks])

    rows, first_ms, last_ms = every("rows"), shifted("first_ms"), shifted("last_ms")
    order = order_of(rows)
    sorted_rows = rows[order]
    heads = heads_of(sorted_rows)
    tails = np.append(heads[1:], len(rows)) - 1
    opening, closing = order[heads], order[tails]
    if not in_order:
        opening = np.lexsort((first_ms, rows))[heads]
        closing = np.lexsort((last_ms, rows))[tails]
    count, total = every("count")[order].astype(np.float64), every("sum")[order]
    counts, totals = np.add.reduceat(count, heads), np.add.reduceat(total, heads)
    deviation = total / count - np.repeat(totals / counts, tails - heads + 1)
    deviation *= deviation
    deviation *= count
    deviation += every("sumsq")[order]
    first, last, kept = every("first"), every("last"), sorted_rows[heads]
    between = Edges(first[order], first_ms[order], last[order], last_ms[order]) if bridge else None
    low = np.minimum.reduceat(every("min")[order], heads)
    high = np.maximum.reduceat(every("max")[order], heads)
    return Cells(
        base_ms,
        kept,
        counts.astype(np.uint32),
        totals,
        low,
        high,
        np.add.reduceat(deviation, heads),
        first[opening],
        last[closing],
        first_ms[opening],
        last_ms[closing],
        rises(every("increase")[order], heads, between),
        sketch.merged([block.entries for block in blocks], kept, low, high),
    )


def rises(increase: np.ndarray, heads: np.ndarray, edges: Edges | None) -> np.ndarray:
    """Return the increase of each series over several spans, float64[heads]; the spans' columns are by series.

    edges : theirs; where given, what it rose by from one span's last sample to the next one's first is added. Of a span
        that begins before the last sample of those before it only what reaches beyond them counts.
    """
    if np.isnan(increase).all():
        return np.full(len(heads), np.nan)
    if edges is not None:
        tail, head = _most_before(heads, edges.last_ms), _most_before(heads, -edges.first_ms)
        first, first_ms, last, last_ms = edges
        ends = np.where(last_ms > last_ms[tail], up(last[tail], last), 0.0)
        begins = np.where(first_ms < first_ms[head], up(first, first[head]), 0.0)
        rise = np.where(first_ms < last_ms[tail], ends + begins - increase, up(last[tail], first))
        rise[heads] = 0.0
        increase = increase + rise
    return np.add.reduceat(increase, heads)


def up(before: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return what counters rose by, float64[n]: a fall is a restart from zero."""
    return np.where(value < before, value, value - before)


def _most_before(heads: np.ndarray, ms: np.ndarray) -> np.ndarray:
    """Return int64[n], for each span which of its series' before it has the most; for the first of all, any."""
    order = np.arange(len(ms))
    group = np.zeros(len(ms), np.int64)
    group[heads] = 1
    rank = (np.cumsum(group) << 40) + ms  # times are ms within a slice: they rise by series first
    newest = np.maximum.accumulate(np.where(rank >= np.maximum.accumulate(rank), order, 0))
    return np.concatenate([[0], newest[:-1]])


def order_of(rows: np.ndarray) -> np.ndarray:
    """Return int64[n], the order by row, equal ones as they came.

    NumPy sorts 16-bit numbers by radix, several times faster than wider ones.
    """
    if rows.dtype == np.uint16:
        return np.argsort(rows, kind="stable")
    order = np.argsort((rows & 0xFFFF).astype(np.uint16), kind="stable")
    high = rows >> 16
    if high.any():
        order = order[np.argsort(high.astype(np.uint16)[order], kind="stable")]
    return order


def heads_of(sorted_rows: np.ndarray) -> np.ndarray:
    """Return int64, where each run of equal rows begins."""
    return np.concatenate([[0], np.flatnonzero(sorted_rows[1:] != sorted_rows[:-1]) + 1])
