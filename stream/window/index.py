"""Series ids → rows, in blocks that windows are closed by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from schemas.id_table import IdTable

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
    """Rows come in blocks of BLOCK_ROWS, which windows are closed by.

    ``entity_of``, where given, returns the small entity numbers, int64[n], of uint64[n] ids: all series of an entity
    get rows of one block, unless they are more than fit. Grows with the ids it has seen until ``keep`` forgets some.
    """

    def __init__(self, entity_of: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
        self._entity_of = entity_of
        self._table = IdTable()
        self._used = [0]  # rows of each block
        self._open = 0  # the block for the next new entity
        self._block_of = np.zeros(0, np.int16)  # by entity number, -1: none yet
        self._new: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._table)

    @property
    def span(self) -> int:
        """One more than the highest row."""
        last = max((block for block, used in enumerate(self._used) if used), default=0)
        return last * BLOCK_ROWS + self._used[last]

    @property
    def ids(self) -> np.ndarray:
        """Return uint64[span], the id of each row; of a row that is not in use, none."""
        return self._table.ids[: self.span]

    def take_new(self) -> np.ndarray:
        """Return the rows that were made since the last call, int64."""
        new, self._new = self._new, []
        return np.concatenate(new) if new else np.zeros(0, np.int64)

    def rows_of(self, ids: np.ndarray) -> np.ndarray:
        """Return int32[n], the row of each of uint64[n] ids; new ones get rows in order of appearance."""
        rows = self._table.find(ids)
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
        self._table.put(ids, rows)
        self._new.append(rows)
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

    def keep(self, rows: np.ndarray) -> np.ndarray:
        """Forget all but some rows, rising; return int32[span], the new row of each old one, -1 where forgotten.

        Rows stay in their block, in their order.
        """
        moved = np.full(self.span, -1, np.int32)
        blocks = rows // BLOCK_ROWS
        starts = np.searchsorted(blocks, np.arange(len(self._used) + 1))
        new_rows = blocks * BLOCK_ROWS + np.arange(len(rows)) - starts[blocks]
        moved[rows] = new_rows
        ids = self.ids[rows]
        self._used, self._open, self._new = np.diff(starts).tolist(), 0, []
        self._table.clear(len(rows))
        self._table.put(ids, new_rows)
        return moved
