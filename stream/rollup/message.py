"""A rollup cut into messages, and these encoded."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

import msgspec
import numpy as np

from schemas.rollup import Rollup, encode_rollup, encode_series
from schemas.series import Series

MESSAGE_ROWS = 20_000
DEFINITIONS_BYTES_MAX = 8 << 20  # lists of series definitions, encoded, kept for the windows to come


def whole_windows(rollup: Rollup) -> list[slice]:
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

    def __init__(self, series: Callable[[int], Series | None]) -> None:
        self._series = series
        self._encoded: dict[bytes, msgspec.Raw] = {}
        self._size = 0

    def of(self, rollup: Rollup) -> list[bytes]:
        """Return the messages of a rollup, n > 0 rows: of a window that closes, its part is one message."""
        if not rollup.late:
            return [encode_rollup(rollup, slice(None), np.arange(len(rollup)), self._definitions(rollup.ids))]
        unique, rows = np.unique(rollup.ids, return_inverse=True)
        names = self._definitions(unique)
        return [encode_rollup(rollup, part, rows[part], names) for part in whole_windows(rollup)]

    def _definitions(self, ids: np.ndarray) -> msgspec.Raw:
        key = blake2b(ids.tobytes(), digest_size=16).digest()
        names = self._encoded.get(key)
        if names is None:
            names = encode_series([self._series(i) or Series(i, "", f"series-{i}", {}) for i in ids.tolist()])
            size = len(bytes(names))
            if self._size + size > DEFINITIONS_BYTES_MAX:
                self._encoded.clear()
                self._size = 0
            self._encoded[key], self._size = names, self._size + size
        return names
