"""Late samples that closed windows are owed, told from those that a stored row holds already."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from schemas.window_spec import WindowSpec
from stream.window.part import Part


class Correction(NamedTuple):
    """``part`` has a row a sample and window, ``starts`` (int64[n]) the window. With the stored rows it makes rows that
    hold all samples at log offsets up to ``version``.
    """

    spec: WindowSpec
    part: Part
    starts: np.ndarray
    version: int

    def windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (uint64 ids, int64 starts) of the windows, each once."""
        heads, _ = self._windows()
        return self.part.ids[heads], self.starts[heads]

    def _windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return a sample of each window, and of each sample the number of its window."""
        order = np.lexsort((self.part.ids, self.starts))
        ids, starts = self.part.ids[order], self.starts[order]
        edge = np.concatenate([[True], (ids[1:] != ids[:-1]) | (starts[1:] != starts[:-1])])[: len(order)]
        number = np.empty(len(order), np.int64)
        number[order] = np.cumsum(edge) - 1
        return order[edge], number

    def beyond(self, stored: dict[str, Any]) -> Correction:
        """Return it without the samples that stored rows hold: those at offsets up to the rows' versions.

        Whoever wrote a row, the last owner of the partition or one that only thinks it owns it still, the row says so.

        stored : columns series_id, start_ms, version of stored rows, in any order.
        """
        heads, number = self._windows()
        columns = (np.asarray(stored[name]).tolist() for name in ("series_id", "start_ms", "version"))
        held = {(series_id, start): version for series_id, start, version in zip(*columns, strict=True)}
        if not held:
            return self
        keys = zip(self.part.ids[heads].tolist(), self.starts[heads].tolist(), strict=True)
        versions = np.array([held.get(key, -1) for key in keys], np.int64)[number]
        fresh = self.part.offsets > versions
        return self._replace(part=self.part.where(fresh), starts=self.starts[fresh])
