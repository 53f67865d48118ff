"""Which series the label bytes of a client stand for, and where on the tape they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.catalogue import Catalogue
from schemas.columns import grown
from schemas.definitions import Definitions
from schemas.id_table import IdTable
from schemas.series import Series, ids_of

_KNOWN_BYTES = 50  # of one, besides its definition
_HASH = (1 << 63) - 1
_LET_GO_EVERY = 16  # times that it settles


class KnownLabels:
    """Label bytes are told apart by 63 bits of SipHash under a key of this process: with a million of them the chance
    of any collision is under 1e-6, as that of series ids is.
    """

    def __init__(self, stored: Catalogue) -> None:
        """stored : definitions, which are not held twice."""
        self.series = Definitions(stored)  # of every one that was added
        self._table = IdTable()
        self._ids = np.zeros(1024, np.uint64)  # by row: the series
        self._entries = np.full(1024, -1, np.int32)  # by row: where on the tape they are
        self._waiting: dict[bytes, Series] = {}  # to be taken in, many at a time
        self._settled = 0

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return self.series.nbytes + _KNOWN_BYTES * len(self._table)

    def add(self, labels: bytes, series: Series) -> None:
        """Note whose labels these are. ``find`` knows it once it is settled."""
        self._waiting[labels] = series

    def settle(self) -> None:
        """Take in what was added."""
        self._settled += 1
        if self._settled % _LET_GO_EVERY == 0:
            self.series.let_go()
        if not self._waiting:
            return
        by_hash = dict(zip(_hashes(list(self._waiting)).tolist(), self._waiting.values(), strict=True))
        hashes = np.fromiter(by_hash, np.uint64, len(by_hash))
        new = np.flatnonzero(self._table.find(hashes) < 0)
        begin = len(self._table)
        end = begin + len(new)
        self._ids, self._entries = grown(self._ids, end, 0), grown(self._entries, end, -1)
        self._ids[begin:end] = ids_of(by_hash.values())[new]
        self.series.add(self._waiting.values())
        self._table.put(hashes[new], np.arange(begin, end))
        self._waiting.clear()

    def get(self, labels: bytes) -> Series | None:
        """Return the series of label bytes, None where it is not known."""
        row = self._row(labels)
        return self._waiting.get(labels) if row < 0 else self.series[int(self._ids[row])]

    def entry(self, labels: bytes) -> int:
        """Return where on the tape they are, -1 for nowhere."""
        row = self._row(labels)
        return -1 if row < 0 else int(self._entries[row])

    def _row(self, labels: bytes) -> int:
        return self._table.find_one(hash(labels) & _HASH)

    def find(self, labels: Sequence[bytes]) -> np.ndarray:
        """Return the row of each, int32[n], -1 where it is not known."""
        return self._table.find(_hashes(labels))

    def ids(self, rows: np.ndarray) -> np.ndarray:
        """Return the ids of the series at some rows, uint64[n]."""
        return self._ids[rows]

    def set_entries(self, rows: np.ndarray, first: int) -> None:
        """Note where on the tape those at some rows are: the first there, the others behind it. 0: it begins anew."""
        if first == 0:
            self._entries.fill(-1)
        self._entries[rows] = np.arange(first, first + len(rows))


def _hashes(labels: Sequence[bytes]) -> np.ndarray:
    """Return uint64[n], 63 bits each."""
    return np.fromiter(map(hash, labels), np.int64, len(labels)).view(np.uint64) & np.uint64(_HASH)
