"""Series ids → small row numbers, a million at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_EMPTY = np.uint64(2**64 - 1)  # ids have 63 bits
_LOAD_MAX = 0.25
BLOCK_ROWS = 1 << 15
# A block takes no new entity from here on: what is left is for more series of those it has.
ENTITIES_UNTIL = BLOCK_ROWS * 5 // 8


def block_rows(block: int, local: np.ndarray) -> np.ndarray:
    """Return int64[n], the rows of numbers within a block."""
    return local.astype(np.int64) + block * BLOCK_ROWS


def local_rows(rows: np.ndarray) -> np.ndarray:
    """Return uint16[n], the rows' numbers within their blocks."""
    return (rows % BLOCK_ROWS).astype(np.uint16)


def span_of(block: int) -> slice:
    """Return where a block is in a column by row."""
    return slice(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS)


class SeriesIndex:
    """An open-addressing hash table with linear probing. Ids are hashes themselves, so their low bits choose the slot.

    Rows come in blocks of BLOCK_ROWS, which windows are closed by. ``entity_of``, where given, returns the small entity
    numbers, int64[n], of uint64[n] ids: all series of an entity get rows of one block, unless they are more than fit.
    Grows with the ids it has seen, 25 to 50 bytes each, until ``keep`` forgets some.
    """

    def __init__(self, entity_of: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
        self._entity_of = entity_of
        self._ids = np.full(1025, _EMPTY)  # by row; the last one is that of row -1, equal to no id
        self._used = [0]  # rows of each block
        self._open = 0  # the block for the next new entity
        self._block_of = np.zeros(0, np.int16)  # by entity number, -1: none yet
        self._new: list[np.ndarray] = []
        self._rehash(4096)

    def __len__(self) -> int:
        return sum(self._used)

    @property
    def span(self) -> int:
        """One more than the highest row."""
        last = max((block for block, used in enumerate(self._used) if used), default=0)
        return last * BLOCK_ROWS + self._used[last]

    @property
    def ids(self) -> np.ndarray:
        """Return uint64[span], the id of each row; of a row that is not in use, none."""
        return self._ids[: self.span]

    def take_new(self) -> np.ndarray:
        """Return the rows that were made since the last call, int64."""
        new, self._new = self._new, []
        return np.concatenate(new) if new else np.zeros(0, np.int64)

    def rows_of(self, ids: np.ndarray) -> np.ndarray:
        """Return int32[n], the row of each of uint64[n] ids; new ones get rows in order of appearance."""
        slots = (ids & self._mask).view(np.int64)
        rows = self._rows[slots]
        missed = np.flatnonzero(self._ids[rows] != ids)
        if len(missed):
            rows[missed] = self._probe(ids[missed], slots[missed])
        return rows

    def _probe(self, ids: np.ndarray, slots: np.ndarray) -> np.ndarray:
        rows = np.full(len(ids), -1, np.int32)
        pending, mask = np.arange(len(ids)), np.int64(self._mask)
        while len(pending):
            found = self._rows[slots[pending]]
            hit = self._ids[found] == ids[pending]
            rows[pending[hit]] = found[hit]
            pending = pending[~hit & (found >= 0)]
            slots[pending] = (slots[pending] + 1) & mask
        new = np.flatnonzero(rows < 0)
        if len(new):
            unique, first, inverse = np.unique(ids[new], return_index=True, return_inverse=True)
            order = np.argsort(first)
            made = np.empty(len(unique), np.int64)
            made[order] = self._append(unique[order])
            rows[new] = made[inverse]
        return rows

    def _append(self, ids: np.ndarray) -> np.ndarray:
        rows = self._allocate(ids)
        end = int(rows.max()) + 1
        if end >= len(self._ids):
            grown = np.full(max(end + 1, len(self._ids) * 5 // 4), _EMPTY)
            grown[: len(self._ids)] = self._ids
            self._ids = grown
        self._ids[rows] = ids
        self._new.append(rows)
        count = len(self)
        if count > len(self._rows) * _LOAD_MAX:
            self._rehash(_table_size(count))
        else:
            self._insert(ids, rows)
        return rows

    def _allocate(self, ids: np.ndarray) -> np.ndarray:
        """Return a free row for each new id, int64[n]."""
        rows = np.full(len(ids), -1, np.int64)
        pending = np.arange(len(ids))
        entities = None if self._entity_of is None else np.asarray(self._entity_of(ids), np.int64)
        while len(pending):
            if entities is None:
                blocks = np.full(len(pending), self._roomy(BLOCK_ROWS))
            else:
                blocks = self._blocks_of(entities[pending])
            for block in np.unique(blocks).tolist():
                mine = pending[blocks == block][: BLOCK_ROWS - self._used[block]]
                rows[mine] = block * BLOCK_ROWS + self._used[block] + np.arange(len(mine))
                self._used[block] += len(mine)
            pending = np.flatnonzero(rows < 0)
            if entities is not None and len(pending):
                self._block_of[entities[pending]] = -1  # their block is full: they go on in another
        return rows

    def _roomy(self, until: int, planned: list[int] | None = None) -> int:
        """Return the first block with fewer rows than that."""
        used = self._used if planned is None else planned
        while used[self._open] >= until:
            self._open += 1
            if self._open == len(self._used):
                self._used.append(0)
                if planned is not None:
                    planned.append(0)
        return self._open

    def _blocks_of(self, entities: np.ndarray) -> np.ndarray:
        highest = int(entities.max())
        if highest >= len(self._block_of):
            more = np.full(max(highest + 1 - len(self._block_of), len(self._block_of) // 4), -1, np.int16)
            self._block_of = np.concatenate([self._block_of, more])
        homeless = entities[self._block_of[entities] < 0]
        unique, first, counts = np.unique(homeless, return_index=True, return_counts=True)
        order = np.argsort(first)
        planned = list(self._used)
        for entity, count in zip(unique[order].tolist(), counts[order].tolist(), strict=True):
            block = self._roomy(ENTITIES_UNTIL, planned)
            self._block_of[entity] = block
            planned[block] += count
        return self._block_of[entities].astype(np.int64)

    def _rehash(self, size: int) -> None:
        self._mask = np.uint64(size - 1)
        self._rows = np.full(size, -1, np.int32)
        rows = np.flatnonzero(self._ids[:-1] != _EMPTY)
        self._insert(self._ids[rows], rows)

    def _insert(self, ids: np.ndarray, rows: np.ndarray) -> None:
        """Place distinct ids that are not in the table."""
        slots, mask = (ids & self._mask).view(np.int64), np.int64(self._mask)
        while len(rows):
            free = np.flatnonzero(self._rows[slots] < 0)
            _, first = np.unique(slots[free], return_index=True)  # of those that want one slot, one gets it
            placed = free[first]
            self._rows[slots[placed]] = rows[placed]
            left = np.ones(len(rows), bool)
            left[placed] = False
            rows, slots = rows[left], (slots[left] + 1) & mask

    def keep(self, rows: np.ndarray) -> np.ndarray:
        """Forget all but some rows, rising; return int32[span], the new row of each old one, -1 where forgotten.

        Rows stay in their block, in their order.
        """
        moved = np.full(self.span, -1, np.int32)
        blocks = rows // BLOCK_ROWS
        starts = np.searchsorted(blocks, np.arange(len(self._used) + 1))
        new_rows = blocks * BLOCK_ROWS + np.arange(len(rows)) - starts[blocks]
        moved[rows] = new_rows
        ids = self._ids[rows]
        self._used, self._open, self._new = np.diff(starts).tolist(), 0, []
        self._ids = np.full(max(1024, self.span) + 1, _EMPTY)
        self._ids[new_rows] = ids
        self._rehash(_table_size(len(rows)))
        return moved


def _table_size(count: int) -> int:
    return 1 << int(np.ceil(np.log2(max(1024, count) / _LOAD_MAX * 1.25)))
