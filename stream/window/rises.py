"""What counters rose by among late samples and the windows around them that are stored.

The samples of a series are a chain: each rises from the one before it. Of a stored row the first and the last sample
are known, and what it rose by; a late sample between those two adds nothing to it. What follows counts from the late
sample, and no stored row from one before the last that is stored now.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from schemas.window_spec import WindowSpec
from stream.window.counters import LOOK_BACK_MS, entered, rose, rounding
from stream.window.part import Part

# Columns of the stored rows that a chain is made of.
COLUMNS = ("series_id", "start_ms", "first", "first_ms", "last", "last_ms", "increase")


class Rises(NamedTuple):
    """late : float64[n], what each late sample adds to its window.
    rows, increase : int64[k], stored rows whose increase changes, and float64[k], to what.
    """

    late: np.ndarray
    rows: np.ndarray
    increase: np.ndarray


class _Chain(NamedTuple):
    """Late samples and stored rows, the windows of one series that follow one another without a gap or an overlap by
    time; a hopping definition has several such rows of windows.
    """

    at: np.ndarray  # int64[n], which late sample, or stored row
    late: np.ndarray  # bool[n]
    chained: np.ndarray  # bool[n], whether it is of the same chain as the one before
    first: np.ndarray
    first_ms: np.ndarray
    last: np.ndarray
    last_ms: np.ndarray

    def where(self, kept: np.ndarray) -> _Chain:
        """Return some of it."""
        begins = np.cumsum(~self.chained)[kept]
        chained = np.append(False, begins[1:] == begins[:-1])[: len(begins)]
        return _Chain(*(column[kept] for column in self))._replace(chained=chained)

    def stored_before(self) -> np.ndarray:
        """Return int64[n], which of the chain's stored rows before it is the last; -1: there is none."""
        order = np.arange(len(self.at))
        begin = np.maximum.accumulate(np.where(self.chained, 0, order))
        known = np.maximum.accumulate(np.where(self.late, -1, order))
        before = np.append(-1, known[:-1])[: len(order)]
        return np.where(before >= begin, before, -1)


def rises_of(spec: WindowSpec, part: Part, starts: np.ndarray, stored: dict[str, Any]) -> Rises:
    """Return what late samples of counters, and stored rows after them, rose by.

    part, starts : as in Correction, samples that no stored row holds. stored : COLUMNS of all rows of their series that
        are within LOOK_BACK_MS and a window's size of them.
    """
    kept = np.flatnonzero(~np.isnan(np.asarray(stored["increase"], float)))
    chain = _chain(spec, part, starts, {name: np.asarray(stored[name])[kept] for name in COLUMNS})
    before = chain.stored_before()
    within = chain.late & (before >= 0) & (chain.last_ms[before] > chain.first_ms)
    late = np.zeros(len(starts))
    chain = chain.where(~within)
    rise = rose(np.roll(chain.last, 1), np.roll(chain.last_ms, 1), chain.first, chain.first_ms)
    rise[~chain.chained] = 0.0
    late[chain.at[chain.late]] = rise[chain.late]

    after = np.flatnonzero(~chain.late & chain.chained)
    after = after[chain.first_ms[after] - chain.last_ms[after - 1] <= LOOK_BACK_MS]
    rows = kept[chain.at[after]]
    increase = np.asarray(stored["increase"], float)[rows]
    more = _entry(chain, after, rise[after], increase)
    changed = np.abs(more) > rounding(chain.last[after])
    return Rises(late, rows[changed], (increase + more)[changed])


def _entry(chain: _Chain, after: np.ndarray, rise: np.ndarray, increase: np.ndarray) -> np.ndarray:
    """Return by how much the increase of stored rows changes, that are ``rise`` above what is before them now."""
    first, last, before = chain.first[after], chain.last[after], chain.stored_before()[after]
    was = rose(chain.last[before], chain.last_ms[before], first, chain.first_ms[after])  # from the stored row before
    alone = (before < 0) | (chain.last_ms[before] < chain.first_ms[after] - LOOK_BACK_MS)
    was = np.where(alone, 0.0, was)
    had = entered(increase, first, last)
    known = np.fmin(rise - had, 0.0)  # less, where it was counted from an older one; never more, from a newer one
    unknown = np.isnan(had) | (alone & (np.abs(had) <= rounding(last)))
    return np.where(unknown, np.where(chain.late[after - 1], rise - was, 0.0), known)


def _chain(spec: WindowSpec, part: Part, starts: np.ndarray, stored: dict[str, np.ndarray]) -> _Chain:
    n, k = len(starts), len(stored["series_id"])

    def both(name: str, of_late: np.ndarray) -> np.ndarray:
        return np.concatenate([stored[name].astype(of_late.dtype), of_late])

    ids, every = both("series_id", part.ids), both("start_ms", starts)
    first_ms, late = both("first_ms", part.times), np.arange(k + n) >= k
    lane = every % spec.size_ms
    order = np.lexsort((late, first_ms, lane, ids))
    ids, lane = ids[order], lane[order]
    return _Chain(
        np.concatenate([np.arange(k), np.arange(n)])[order],
        late[order],
        np.append(False, (ids[1:] == ids[:-1]) & (lane[1:] == lane[:-1]))[: k + n],
        both("first", part.values)[order],
        first_ms[order],
        both("last", part.values)[order],
        both("last_ms", part.times)[order],
    )
