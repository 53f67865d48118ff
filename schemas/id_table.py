"""64-bit ids → small row numbers, many at a time."""

from __future__ import annotations

import numpy as np

from schemas.columns import grown

_EMPTY = np.uint64(2**64 - 1)  # ids have 63 bits
_LOAD_MAX = 0.5
_LOOK, _RUN_MIN, _TRIES = 2048, 128, 2  # ids compared at once; shorter runs do not pay; so many are tried


class IdTable:
    """An open-addressing hash table with linear probing. Ids are hashes themselves, so their low bits choose the slot.

    Who holds it chooses the rows. At most half full, it takes 16 to 28 bytes an id. Of one thread.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self, rows: int = 0) -> None:
        """Forget every id; rows : so many are expected."""
        self._ids = np.full(max(1024, rows) + 1, _EMPTY)  # by row; the last one is that of row -1, equal to no id
        self._count = 0
        self._resize(self._size_for(rows))

    def __len__(self) -> int:
        return self._count

    @property
    def ids(self) -> np.ndarray:
        """Return uint64, the id of each row; more rows than are in use."""
        return self._ids[:-1]

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Return int32[n], the row of each of uint64[n] ids, -1 where it is not known.

        Those that come in the order of their rows, as they do from a client that goes through its series always the
        same way, are compared with what is there and not looked up: memory is read in its order.
        """
        rows, at, tries = np.empty(len(ids), np.int32), 0, _TRIES if len(ids) >= _RUN_MIN else 0
        while at < len(ids) and tries > 0 and (first := self.find_one(int(ids[at]))) >= 0:
            some = ids[at : at + _LOOK]
            same = self._ids[first : first + len(some)] == some[: len(self._ids) - first]
            length = len(same) if same.all() else int(same.argmin())
            rows[at : at + length] = np.arange(first, first + length)
            tries -= length < _RUN_MIN
            at += length
        if at < len(ids):
            rows[at:] = self._looked_up(ids[at:])
        return rows

    def _looked_up(self, ids: np.ndarray) -> np.ndarray:
        slots = (ids & self._mask).view(np.int64)
        rows = self._rows[slots]
        missed = np.flatnonzero(self._ids[rows] != ids)
        if len(missed):
            rows[missed] = self._probe(ids[missed], slots[missed])
        return rows

    def find_one(self, one: int) -> int:
        """Return the row of an id, -1 where it is not known."""
        slots, mask, known = self._slots, int(self._mask), self._by_row
        slot = one & mask
        while (row := slots[slot]) >= 0 and known[row] != one:
            slot = (slot + 1) & mask
        return row

    def put(self, ids: np.ndarray, rows: np.ndarray) -> None:
        """Take in distinct ids that are not known, and their rows, which are in no use."""
        end = int(rows.max(initial=-1)) + 1
        if end >= len(self._ids):
            self._ids = grown(self._ids, end + 1, _EMPTY)
            self._by_row = self._ids.data
        self._ids[rows] = ids
        self._count += len(ids)
        if self._count > len(self._rows) * _LOAD_MAX:
            self._resize(self._size_for(self._count))
        else:
            self._insert(ids, rows)

    def _size_for(self, count: int) -> int:
        return 1 << int(np.ceil(np.log2(max(1024, count) / _LOAD_MAX * 1.25)))

    def _resize(self, size: int) -> None:
        self._mask = np.uint64(size - 1)
        self._rows = np.full(size, -1, np.int32)
        self._slots, self._by_row = self._rows.data, self._ids.data
        rows = np.flatnonzero(self._ids[:-1] != _EMPTY)
        self._insert(self._ids[rows], rows)

    def _probe(self, ids: np.ndarray, slots: np.ndarray) -> np.ndarray:
        rows = np.full(len(ids), -1, np.int32)
        pending, mask = np.arange(len(ids)), np.int64(self._mask)
        while len(pending):
            found = self._rows[slots[pending]]
            hit = self._ids[found] == ids[pending]
            rows[pending[hit]] = found[hit]
            pending = pending[~hit & (found >= 0)]
            slots[pending] = (slots[pending] + 1) & mask
        return rows

    def _insert(self, ids: np.ndarray, rows: np.ndarray) -> None:
        slots, mask = (ids & self._mask).view(np.int64), np.int64(self._mask)
        while len(rows):
            free = np.flatnonzero(self._rows[slots] < 0)
            _, first = np.unique(slots[free], return_index=True)  # of those that want one slot, one gets it
            placed = free[first]
            self._rows[slots[placed]] = rows[placed]
            left = np.ones(len(rows), bool)
            left[placed] = False
            rows, slots = rows[left], (slots[left] + 1) & mask


class IdSet:
    """Ids, many at a time."""

    def __init__(self) -> None:
        self._table = IdTable()

    def __len__(self) -> int:
        return len(self._table)

    @property
    def ids(self) -> np.ndarray:
        """Return uint64[n], every id."""
        return self._table.ids[: len(self._table)]

    def has(self, ids: np.ndarray) -> np.ndarray:
        """Return bool[n], whether each of uint64[n] ids is in it."""
        return self._table.find(ids) >= 0

    def add(self, ids: np.ndarray) -> None:
        """Take ids in, known or not, some of them perhaps several times."""
        new = np.unique(ids[~self.has(ids)])
        begin = len(self._table)
        self._table.put(new, np.arange(begin, begin + len(new)))
