"""Counters' samples that came out of turn, until windows that open after them have closed.

Such a window counts the rise to its first sample from the last one that was known, which is before the straggler: what
rose until the straggler is in a window before it, which is corrected.
"""

from __future__ import annotations

import numpy as np

from schemas.rollup import Rollup
from stream.window.counters import LOOK_BACK_MS, entered, rose
from stream.window.part import Part, joined

STRAGGLERS_MAX = 100_000  # the newest


class Stragglers:
    """Kept while a window of up to ``longest_ms`` that begins within the look-back after them may be open."""

    def __init__(self, longest_ms: int) -> None:
        self._keep_ms = longest_ms + LOOK_BACK_MS
        self._part: Part | None = None

    def add(self, part: Part, watermark_ms: int) -> None:
        """Take samples in; forget those that no open window follows on."""
        every = part if self._part is None else joined([self._part, part])
        every = every.where(every.times > watermark_ms - self._keep_ms)
        if len(every.ids) > STRAGGLERS_MAX:
            every = every.where(np.argpartition(every.times, -STRAGGLERS_MAX)[-STRAGGLERS_MAX:])
        self._part = every if len(every.ids) else None

    def of(self, ids: np.ndarray) -> np.ndarray:
        """Return bool[n], which of uint64[n] series have any."""
        return np.zeros(len(ids), bool) if self._part is None else np.isin(ids, self._part.ids)

    def increase(self, closed: Rollup) -> np.ndarray:
        """Return the increase, float64[n], of a window that closes, all rows of which start at once."""
        if self._part is None or not len(closed):
            return closed.increase
        start_ms, times = int(closed.start_ms[0]), self._part.times
        before = self._part.where((times < start_ms) & (times >= start_ms - LOOK_BACK_MS))
        order = np.lexsort((before.times, before.ids))
        order = order[np.append(before.ids[order][1:] != before.ids[order][:-1], True)[: len(order)]]
        ids = before.ids[order]  # each once, with its newest
        if not len(rows := np.flatnonzero(np.isin(closed.ids, ids))):
            return closed.increase
        at = order[np.searchsorted(ids, closed.ids[rows])]
        near = before.times[at] >= closed.first_ms[rows] - LOOK_BACK_MS
        rows, at, increase = rows[near], at[near], closed.increase.copy()
        value, first = before.values[at], closed.first[rows]
        rise = rose(value, before.times[at], first, closed.first_ms[rows])
        more = entered(increase[rows], first, closed.last[rows]) - rise
        increase[rows] -= np.fmax(more, 0.0)
        return increase
