"""A slice: a span that windows are put together from."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType

import numpy as np

from stream.rollup.packed import Packed, packed
from stream.rollup.samples import Piece, merged, piece_of
from stream.window import index
from stream.window.index import block_rows, local_rows, span_of

FOLD_SAMPLES = 400_000  # a slice that holds so many raw samples, and FOLD_EACH a series, folds them before it closes
FOLD_EACH = 8


class Slice:
    """Samples of ``[start_ms, start_ms + step_ms)``: as they came, and folded, a piece a block of rows."""

    __slots__ = ("_pieces", "_raw", "_waiting", "counted", "offset", "sealed", "start_ms")

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self.offset = 2**62  # the lowest log offset in it
        self._pieces: dict[int, Piece | Packed] = {}
        self.counted = False  # its pieces are in a coarser slice
        self.sealed = False  # the watermark has passed it
        self._raw: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]] = []
        self._waiting = 0

    def add(
        self, rows: np.ndarray, times_ms: np.ndarray, values: np.ndarray, offset: int, rises: np.ndarray | None
    ) -> None:
        """Take samples in; ``offset`` is the lowest of theirs, ``rises`` as in ``piece_of``."""
        self._raw.append((rows, (times_ms - self.start_ms).astype(np.int32), values, rises))
        self._waiting += len(rows)
        self.offset = min(self.offset, offset)

    def full(self, series: int) -> bool:
        """Whether it should fold, where so many series are known."""
        return self._waiting > max(FOLD_SAMPLES, FOLD_EACH * series)

    def fold(self, counters: np.ndarray | None, *, bridge: bool) -> None:
        """Make pieces of what waits. ``bridge``: it follows, in time, what was folded before."""
        if not self._raw:
            return
        columns = list(zip(*self._raw, strict=True))
        rows, times_ms, values = (np.concatenate(c) if len(c) > 1 else c[0] for c in columns[:3])
        rises = None
        if any(one is not None for one in columns[3]):  # no series was a counter when the others came
            rises = np.concatenate([np.full(len(c[0]), np.nan) if c[3] is None else c[3] for c in self._raw])
        self._raw, self._waiting = [], 0
        for block, at in _by_block(rows):
            mine = None if counters is None else counters[span_of(block)]
            local = local_rows(rows[at])
            risen = None if rises is None else rises[at]
            self.take(block, [piece_of(self.start_ms, local, times_ms[at], values[at], mine, risen)], bridge=bridge)

    @property
    def blocks(self) -> list[int]:
        """The blocks that it has something of."""
        return list(self._pieces)

    def piece(self, block: int) -> Piece | None:
        """Return what it has of a block."""
        piece = self._pieces.get(block)
        return piece.piece() if isinstance(piece, Packed) else piece

    def pieces(self) -> Iterator[tuple[int, Piece]]:
        """Yield each block that it has something of, with that; it may be replaced meanwhile."""
        for block in self.blocks:
            if (piece := self.piece(block)) is not None:
                yield block, piece

    def put(self, block: int, piece: Piece) -> None:
        """Have this of a block instead."""
        self._pieces[block] = piece

    def pack(self, kind: type[Piece] | UnionType) -> None:
        """Have pieces of a kind take less room until they are looked at again."""
        for block, piece in self._pieces.items():
            if isinstance(piece, kind) and not isinstance(piece, Packed):
                self._pieces[block] = packed(piece)

    def take(self, block: int, pieces: list[Piece], *, bridge: bool = False, in_order: bool = False) -> None:
        """Take pieces of a block in."""
        old = self.piece(block)
        every = pieces if old is None else [old, *pieces]
        if len(every) > 1 or every[0].base_ms != self.start_ms:
            every = [merged(self.start_ms, every, bridge=bridge, in_order=in_order and old is None)]
        self._pieces[block] = every[0]

    def live_rows(self) -> Iterator[np.ndarray]:
        for rows, *_ in self._raw:
            yield rows.astype(np.int64)
        for block, piece in self.pieces():
            yield block_rows(block, piece.rows)

    def move(self, new_rows: np.ndarray) -> None:
        """Replace every row by ``new_rows[row]``, which is in the same block."""
        self._raw = [(new_rows[rows], *others) for rows, *others in self._raw]
        for block, piece in self.pieces():
            self.put(block, piece.moved(local_rows(new_rows[span_of(block)])))


def _by_block(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray | slice]]:
    """Yield (block, which samples are of it), in the order they came."""
    blocks = (rows // index.BLOCK_ROWS).astype(np.uint16)
    lowest, highest = int(blocks.min()), int(blocks.max())
    if lowest == highest:
        yield lowest, slice(None)
        return
    order = np.argsort(blocks, kind="stable")
    bounds = np.searchsorted(blocks[order], np.arange(lowest, highest + 2))
    for number, block in enumerate(range(lowest, highest + 1)):
        if bounds[number] < bounds[number + 1]:
            yield block, order[bounds[number] : bounds[number + 1]]
