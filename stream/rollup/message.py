"""A rollup cut into messages, and these encoded."""

from __future__ import annotations

from hashlib import blake2b

import msgspec
import numpy as np

from schemas.catalogue import Named
from schemas.rollup import Rollup, encode_rollup, encode_series
from schemas.series import Series

MESSAGE_ROWS = 20_000
ROWS_MAX = 1 << 15  # of a message: as many as a block of windows that close, each of which may become a verdict
ROW_BYTES = 128  # without its series' definition
MESSAGE_BYTES_MAX = 16 << 20  # well below what a record of the log may have
DEFINITIONS_BYTES_MAX = 8 << 20  # lists of series definitions, encoded, kept for the windows to come


def _whole_windows(rollup: Rollup) -> list[slice]:
    """Return the rows of each message, of a rollup that rises by start: whole windows, some MESSAGE_ROWS at a time.

    A window's rows stay together, because the entities of one window are scored together.
    """
    if len(rollup) <= MESSAGE_ROWS:
        return [slice(0, len(rollup))]
    edges = np.flatnonzero(np.diff(rollup.start_ms)) + 1
    cuts, out = [*edges.tolist(), len(rollup)], []
    begin = 0
    for at, cut in enumerate(cuts):
        if at == len(cuts) - 1 or cuts[at + 1] - begin > MESSAGE_ROWS:
            out.append(slice(begin, cut))
            begin = cut
    return out


class Messages:
    """Encodes rollups. Most windows have the series of the window before: their definitions are encoded once."""

    def __init__(self, named: Named) -> None:
        self._known = named
        self._encoded: dict[bytes, msgspec.Raw] = {}
        self._size = 0

    def of(self, rollup: Rollup) -> list[bytes]:
        """Return the messages of a rollup, n > 0 rows: of what closes, a block of a window, one if that fits."""
        out = []
        for part in _whole_windows(rollup):
            out += self._fitting(rollup, np.arange(part.start, part.stop))
        return out

    def _fitting(self, rollup: Rollup, at: np.ndarray) -> list[bytes]:
        """Return the messages of some rows: one, or of half of the entities each, where that is too large for a record.

        Entities are cut by name, so that of other windows the same ones are together.
        """
        ids = rollup.ids[at]
        one_window = rollup.start_ms[at[0]] == rollup.start_ms[at[-1]]
        unique, rows = (ids, np.arange(len(ids))) if one_window else np.unique(ids, return_inverse=True)
        if len(at) <= ROWS_MAX:
            names = self._definitions(unique)
            if len(bytes(names)) + ROW_BYTES * len(at) <= MESSAGE_BYTES_MAX or len(at) == 1:
                whole = len(at) == len(rollup)
                return [encode_rollup(rollup, slice(None) if whole else at, rows, names)]
        entities = np.array([one.entity for one in self._named(unique)])[rows]
        there = np.unique(entities)
        if len(there) > 1:
            first = entities < there[len(there) // 2]
        else:  # more than fits of one entity
            first = np.arange(len(at)) < len(at) // 2
        return self._fitting(rollup, at[first]) + self._fitting(rollup, at[~first])

    def _definitions(self, ids: np.ndarray) -> msgspec.Raw:
        key = blake2b(ids.tobytes(), digest_size=16).digest()
        names = self._encoded.get(key)
        if names is None:
            names = encode_series(self._named(ids))
            size = len(bytes(names))
            if self._size + size > DEFINITIONS_BYTES_MAX:
                self._encoded.clear()
                self._size = 0
            self._encoded[key], self._size = names, self._size + size
        return names

    def _named(self, ids: np.ndarray) -> list[Series]:
        pairs = zip(ids.tolist(), self._known(ids), strict=True)
        return [one or Series(i, "", f"series-{i}", {}) for i, one in pairs]
