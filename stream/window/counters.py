"""Counters rise between windows too: each one's last sample is kept until the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stream.rollup.cells import Cells

# Prometheus' look-back: a counter that was silent for longer starts anew.
LOOK_BACK_MS = 300_000
_NEVER = -(2**62)


class CounterTails:
    """By row: whether the series is a counter, and its last sealed sample; 17 bytes a series."""

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

    def add(self, counters: np.ndarray) -> None:
        """Append rows."""
        self._counters = np.concatenate([self._counters, counters])
        self._any = self._any or bool(counters.any())

    def restore(self, rows: np.ndarray, values: np.ndarray, times_ms: np.ndarray) -> None:
        """Set last samples."""
        self._grow()
        self._values[rows], self._times_ms[rows] = values, times_ms

    def bridge(self, cells: Cells) -> Cells:
        """Return the next cells in time with each counter's rise from its sample before them; remember its last."""
        if not self._any:
            return cells
        self._grow()
        at = np.flatnonzero(self._counters[cells.rows])
        rows = cells.rows[at]
        first, first_ms = cells.first[at], cells.first_ms[at].astype(np.int64) + cells.base_ms
        rise = first - self._values[rows]
        rise = np.where(rise < 0, first, rise)
        known = (self._times_ms[rows] <= first_ms) & (self._times_ms[rows] >= first_ms - LOOK_BACK_MS)
        increase = cells.increase.copy()
        increase[at] += np.where(known, rise, 0.0)
        last_ms = cells.last_ms[at].astype(np.int64) + cells.base_ms
        newer = last_ms >= self._times_ms[rows]
        self._values[rows[newer]], self._times_ms[rows[newer]] = cells.last[at][newer], last_ms[newer]
        return replace(cells, increase=increase)

    def keep(self, rows: np.ndarray) -> None:
        """Forget all but some rows."""
        self._grow()
        self._counters, self._values = self._counters[rows], self._values[rows]
        self._times_ms = self._times_ms[rows]
        self._any = bool(self._counters.any())

    def _grow(self) -> None:
        missing = len(self._counters) - len(self._values)
        if missing:
            self._values = np.concatenate([self._values, np.zeros(missing)])
            self._times_ms = np.concatenate([self._times_ms, np.full(missing, _NEVER)])
