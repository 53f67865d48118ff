"""When each series was first and last seen, kept beside the series: all rollups are too many rows to ask.

Rows of the table ``seen`` only ever widen what is known, so that it ends the same however often, by whom and in what
order they are written. Therefore nothing need be read before writing: a series that is not known here gets a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from schemas.rollup import Rollup
from store.base import Store

LAG_MS = 60_000  # a last time that is newer by less may wait
FEW = 256  # so many rows do not wait: a statement of 10 rows costs what one of 10,000 does


class Bounds(NamedTuple):
    """One row a series, rising by id."""

    ids: np.ndarray  # uint64[n]
    first_ms: np.ndarray  # int64[n]
    last_ms: np.ndarray  # int64[n]


class SeenWriter:
    """Writes bounds as they widen, and holds what it wrote: 24 bytes a series. Of one thread."""

    def __init__(self) -> None:
        self._known = Bounds(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))

    def write(self, store: Store, rollups: Sequence[Rollup]) -> None:
        """Write what is notably wider than before; raises SinkError, and then the same is due again.

        To be called before the rollups are written: what a stored row covers is not taken in again after a crash.
        """
        due = self.due(rollups)
        if len(due.ids):
            store.insert("seen", {"series_id": due.ids, "first_ms": due.first_ms, "last_ms": due.last_ms})
            self._known = _widest(*(np.concatenate(pair) for pair in zip(self._known, due, strict=True)))

    def due(self, rollups: Sequence[Rollup]) -> Bounds:
        """Return what is to be written of these rollups' series.

        First times at once, last times once they are ``LAG_MS`` newer. With one that is, all that are half as much go
        too, or series whose samples come at odd times would soon be written in turn, a statement each.
        """
        ids = np.concatenate([r.ids for r in rollups])
        first, last = np.concatenate([r.first_ms for r in rollups]), np.concatenate([r.last_ms for r in rollups])
        known = self._known
        if len(known.ids):
            at = np.minimum(np.searchsorted(known.ids, ids), len(known.ids) - 1)
            must = (known.ids[at] != ids) | (first < known.first_ms[at])
            newer_ms = last - known.last_ms[at]
            few = np.count_nonzero(must | (newer_ms > 0)) <= FEW
            if few:
                must |= newer_ms > 0
            elif (late := newer_ms >= LAG_MS).any():
                must |= late | (newer_ms >= LAG_MS // 2)
            chosen = np.flatnonzero(must)
            ids, first, last = ids[chosen], first[chosen], last[chosen]
        return _widest(ids, first, last)


def _widest(ids: np.ndarray, first_ms: np.ndarray, last_ms: np.ndarray) -> Bounds:
    """Return one row a series of those that may be several."""
    if not len(ids):
        return Bounds(ids, first_ms, last_ms)
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    begins = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    lows, highs = np.minimum.reduceat(first_ms[order], begins), np.maximum.reduceat(last_ms[order], begins)
    return Bounds(ids[begins], lows, highs)
