"""Series ids → small row numbers, a million at a time."""

from __future__ import annotations

import numpy as np

_EMPTY = np.uint64(2**64 - 1)  # ids have 63 bits
_LOAD_MAX = 0.35


class SeriesIndex:
    """An open-addressing hash table with linear probing. Ids are hashes themselves, so their low bits choose the slot.

    Grows with the ids it has seen, 40 to 60 bytes each, until ``keep`` forgets some.
    """

    def __init__(self) -> None:
        self._ids = np.zeros(1024, np.uint64)
        self._count = 0
        self._rehash(4096)

    def __len__(self) -> int:
        return self._count

    @property
    def ids(self) -> np.ndarray:
        """Return uint64[len], the id of each row."""
        return self._ids[: self._count]

    def rows_of(self, ids: np.ndarray) -> np.ndarray:
        """Return int32[n], the row of each of uint64[n] ids; new ones get the next rows, in order of appearance."""
        slots = ids & self._mask
        found = self._keys[slots]
        rows = self._rows[slots]
        missed = np.flatnonzero(found != ids)
        if len(missed):
            rows[missed] = self._probe(ids[missed], slots[missed])
        return rows

    def _probe(self, ids: np.ndarray, slots: np.ndarray) -> np.ndarray:
        rows = np.full(len(ids), -1, np.int32)
        pending = np.arange(len(ids))
        while len(pending):
            found = self._keys[slots[pending]]
            hit = found == ids[pending]
            rows[pending[hit]] = self._rows[slots[pending[hit]]]
            pending = pending[~hit & (found != _EMPTY)]
            slots[pending] = (slots[pending] + np.uint64(1)) & self._mask
        new = np.flatnonzero(rows < 0)
        if len(new):
            unique, first, inverse = np.unique(ids[new], return_index=True, return_inverse=True)
            rank = np.empty(len(unique), np.int64)
            rank[np.argsort(first)] = np.arange(len(unique))
            rows[new] = (self._count + rank)[inverse]
            self._append(unique[np.argsort(first)])
        return rows

    def _append(self, ids: np.ndarray) -> None:
        end = self._count + len(ids)
        if end > len(self._ids):
            grown = np.zeros(max(end, len(self._ids) * 3 // 2), np.uint64)
            grown[: self._count] = self.ids
            self._ids = grown
        self._ids[self._count : end] = ids
        begin, self._count = self._count, end
        if end > len(self._keys) * _LOAD_MAX:
            self._rehash(1 << int(np.ceil(np.log2(end / _LOAD_MAX * 1.5))))
        else:
            self._insert(ids, np.arange(begin, end, dtype=np.int32))

    def _rehash(self, size: int) -> None:
        self._mask = np.uint64(size - 1)
        self._keys = np.full(size, _EMPTY, np.uint64)
        self._rows = np.zeros(size, np.int32)
        self._insert(self.ids, np.arange(self._count, dtype=np.int32))

    def _insert(self, ids: np.ndarray, rows: np.ndarray) -> None:
        """Place distinct ids that are not in the table."""
        slots = ids & self._mask
        while len(ids):
            free = np.flatnonzero(self._keys[slots] == _EMPTY)
            _, first = np.unique(slots[free], return_index=True)  # of those that want one slot, one gets it
            placed = free[first]
            self._keys[slots[placed]], self._rows[slots[placed]] = ids[placed], rows[placed]
            left = np.ones(len(ids), bool)
            left[placed] = False
            ids, rows, slots = ids[left], rows[left], (slots[left] + np.uint64(1)) & self._mask

    def keep(self, rows: np.ndarray) -> np.ndarray:
        """Forget all but some rows, rising; return int32[len], the new row of each old one, -1 where forgotten."""
        moved = np.full(self._count, -1, np.int32)
        moved[rows] = np.arange(len(rows), dtype=np.int32)
        self._ids = self.ids[rows].copy()
        self._count = len(rows)
        self._rehash(1 << int(np.ceil(np.log2(max(1024, len(rows)) / _LOAD_MAX * 1.5))))
        return moved
