"""Counters rise between windows too: each one's last sample is kept until the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from schemas.columns import grown
from stream.rollup.cells import heads_of, up
from stream.rollup.samples import Piece
from stream.window.index import block_rows
from stream.window.part import Part

# Prometheus' look-back: a counter that was silent for longer starts anew.
LOOK_BACK_MS = 300_000
_NEVER = -(2**62)


def rose(before: np.ndarray, before_ms: np.ndarray, value: np.ndarray, value_ms: np.ndarray) -> np.ndarray:
    """Return what counters rose by from each sample to a later one, float64[n]; 0 beyond the look-back."""
    return np.where((before_ms <= value_ms) & (before_ms >= value_ms - LOOK_BACK_MS), up(before, value), 0.0)


def entered(increase: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return how much of windows' increase is from the sample before them to their first, float64[n].

    NaN where that is not known: counted from less than zero, or back from the last, the counter restarted within.
    """
    had, little = increase - (last - first), rounding(last)
    return np.where((last >= first) & (had >= -little) & (had <= first + little), had, np.nan)


def rounding(values: np.ndarray) -> np.ndarray:
    """Return how much of values may be rounding."""
    return 1e-9 * np.abs(values)


class CounterTails:
    """By row: whether the series is a counter, and its last sealed sample; 1 byte a row, 17 where some are counters."""

    def __init__(self) -> None:
        self._counters = np.zeros(0, bool)
        self._values = np.zeros(0)
        self._times_ms = np.zeros(0, np.int64)
        self._any = False
        self.kept = 0  # rows that were in use when it was last looked

    @property
    def counters(self) -> np.ndarray | None:
        """Return bool by row; None where no series is a counter."""
        return self._counters if self._any else None

    def add(self, rows: np.ndarray, counters: np.ndarray, span: int) -> None:
        """Take new rows in; all rows are below ``span``."""
        self._counters = grown(self._counters, span, False)
        self._counters[rows] = counters
        self._any = self._any or bool(counters.any())

    def restore(self, rows: np.ndarray, values: np.ndarray, times_ms: np.ndarray) -> None:
        """Set last samples."""
        self._grow()
        self._values[rows], self._times_ms[rows] = values, times_ms

    def bridge(self, block: int, piece: Piece) -> Piece:
        """Return a block's next piece in time with each counter's rise from its sample before; remember its last."""
        if not self._any or piece.increase is None:
            return piece
        self._grow()
        every = block_rows(block, piece.rows)
        at = np.flatnonzero(self._counters[every])
        rows = every[at]
        first, first_ms, last, last_ms = (edge[at] for edge in piece.edges(0))
        increase = piece.increase.copy()
        increase[at] += rose(self._values[rows], self._times_ms[rows], first, first_ms)
        newer = last_ms >= self._times_ms[rows]
        self._values[rows[newer]], self._times_ms[rows[newer]] = last[newer], last_ms[newer]
        return replace(piece, increase=increase)

    def late(self, rows: np.ndarray, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """Return float64[n], what samples rose by whose slices were sealed before they came, NaN but for counters, and
        bool[n], which of them are out of turn: older than their counter's last sample. Remember the last ones.

        What is out of turn adds nothing: the rise to the sample after it was counted from the one before it.
        """
        self._grow()
        counters = self._counters[rows]
        rises, behind = np.where(counters, 0.0, np.nan), part.times < self._times_ms[rows]
        at = np.flatnonzero(counters & ~behind)
        if len(at):
            at = at[np.lexsort((part.times[at], rows[at]))]
            mine, times, values = rows[at], part.times[at], part.values[at]
            heads = heads_of(mine)
            before, before_ms = np.roll(values, 1), np.roll(times, 1)
            before[heads], before_ms[heads] = self._values[mine[heads]], self._times_ms[mine[heads]]
            rises[at] = rose(before, before_ms, values, times)
            tails = np.append(heads[1:], len(at)) - 1
            self._values[mine[tails]], self._times_ms[mine[tails]] = values[tails], times[tails]
        return rises, counters & behind

    def keep(self, rows: np.ndarray, moved: np.ndarray, span: int) -> None:
        """Forget all but some rows, which are ``moved[row]`` from now on, below ``span``."""
        counters, self._counters = self._counters[rows], np.zeros(0, bool)
        if self._any:
            self._values, self._times_ms = self._last_of(rows, moved, span)
        self.add(moved[rows], counters, span)
        self._any = bool(self._counters.any())

    def _last_of(self, rows: np.ndarray, moved: np.ndarray, span: int) -> tuple[np.ndarray, np.ndarray]:
        values, times_ms = np.zeros(span), np.full(span, _NEVER)
        known = rows[rows < len(self._values)]
        values[moved[known]], times_ms[moved[known]] = self._values[known], self._times_ms[known]
        return values, times_ms

    def _grow(self) -> None:
        self._values = grown(self._values, len(self._counters), 0.0)
        self._times_ms = grown(self._times_ms, len(self._counters), _NEVER)
