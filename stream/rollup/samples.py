"""The samples of a sparse span, kept as they are until a window is put together: cells would need more room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stream.rollup.cells import (
    Cells,
    Edges,
    Ordered,
    cells_of,
    combine,
    heads_of,
    increase_of,
    order_of,
    ordered,
    rises,
)

SPARSE_MAX = 8  # samples a series on average, up to which they are smaller than cells


@dataclass(frozen=True, slots=True)
class Samples:
    """By series, those of one series by time: 3 bytes a series and 10 a sample, in numbers as narrow as they may be.

    ``increase`` : as in Cells; None where no series is a counter.
    """

    base_ms: int
    rows: np.ndarray  # uint16[k], rising
    count: np.ndarray  # unsigned[k], samples of each
    times_ms: np.ndarray  # unsigned[n], after base_ms
    values: np.ndarray  # float64[n]
    increase: np.ndarray | None  # float64[k]

    def _heads(self) -> np.ndarray:
        ends = np.cumsum(self.count, dtype=np.int64)
        return ends - self.count

    def cells(self) -> Cells:
        samples = Ordered(self.rows, self._heads(), self.times_ms, self.values)
        return cells_of(self.base_ms, samples, self.increase)

    def edges(self, base_ms: int) -> Edges:
        """Return the first and last sample of each series, their times after ``base_ms``."""
        heads = self._heads()
        tails = heads + self.count - 1
        times = self.times_ms.astype(np.int64) + (self.base_ms - base_ms)
        return Edges(self.values[heads], times[heads], self.values[tails], times[tails])

    def moved(self, new_rows: np.ndarray) -> Samples:
        """Return the same with each row replaced by ``new_rows[row]``, which rises with it."""
        return replace(self, rows=new_rows[self.rows])


Piece = Samples | Cells


def piece_of(
    base_ms: int,
    rows: np.ndarray,
    times_ms: np.ndarray,
    values: np.ndarray,
    counters: np.ndarray | None,
    rises: np.ndarray | None = None,
) -> Piece:
    """Return samples in arrival order, n > 0 of them, in the form that takes least room.

    rows : uint16[n]; times_ms : int32[n], after ``base_ms``; values : finite float64[n].
    counters : bool by row, which rows are counters; None: none is.
    rises : float64[n], what each sample of a counter rose by, NaN for other series; None: from one to the next.
    """
    samples = ordered(rows, times_ms, values)
    if rises is None:
        increase = increase_of(samples, counters)
    else:
        increase = np.bincount(rows, rises)[samples.rows]
    if len(values) <= SPARSE_MAX * len(samples.rows):
        return _kept(base_ms, samples, increase)
    return cells_of(base_ms, samples, increase)


def merged(base_ms: int, pieces: Sequence[Piece], *, bridge: bool, in_order: bool) -> Piece:
    """Return what several spans amount to together, as ``combine`` does, in the form that takes least room."""
    sparse = [piece for piece in pieces if isinstance(piece, Samples)]
    if len(sparse) < len(pieces) or sum(len(p.values) for p in sparse) > SPARSE_MAX * max(len(p.rows) for p in sparse):
        return combine(base_ms, [piece.cells() for piece in pieces], bridge=bridge, in_order=in_order)
    rows = np.concatenate([np.repeat(piece.rows, piece.count) for piece in sparse])
    times = np.concatenate([piece.times_ms.astype(np.int32) + (piece.base_ms - base_ms) for piece in sparse])
    values = np.concatenate([piece.values for piece in sparse])
    order = order_of(rows) if in_order else np.lexsort((times, rows))
    sorted_rows = rows[order]
    heads = heads_of(sorted_rows)
    together = Ordered(sorted_rows[heads], heads, times[order], values[order])
    return _kept(base_ms, together, _increase(sparse, bridge=bridge))


def _increase(pieces: list[Samples], *, bridge: bool) -> np.ndarray | None:
    if all(piece.increase is None for piece in pieces):
        return None
    none = [np.full(len(p.rows), np.nan) if p.increase is None else p.increase for p in pieces]
    rows, increase = np.concatenate([piece.rows for piece in pieces]), np.concatenate(none)
    order = order_of(rows)
    edges = None
    if bridge:
        every = [piece.edges(pieces[0].base_ms) for piece in pieces]
        edges = Edges(*(np.concatenate(column)[order] for column in zip(*every, strict=True)))
    return rises(increase[order], heads_of(rows[order]), edges)


def _kept(base_ms: int, samples: Ordered, increase: np.ndarray | None) -> Samples:
    count = np.diff(np.append(samples.heads, len(samples.values)))
    return Samples(base_ms, samples.rows, _narrow(count), _narrow(samples.times_ms), samples.values, increase)


def _narrow(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(np.min_scalar_type(int(numbers.max())))
