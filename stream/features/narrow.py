"""Only those cells of entities by metrics that are series: a site whose entities have different metrics has few."""

from __future__ import annotations

from typing import Any

import numpy as np

_SHARE = 0.5  # of all metrics that an entity may have before going round the others costs more than it saves


class Narrow:
    """Takes of [n, metrics] the columns that are some entity's own, row by row, and puts them back.

    A row with fewer than others is filled up with columns of which nothing is known. Columns are in their order.

    >>> narrow = Narrow(np.array([4, 7]), np.array([[0, 1, 0, 0, 0], [0, 0, 0, 1, 0]], bool))
    >>> narrow.take(np.arange(10).reshape(2, 5)).tolist()
    [[1], [8]]
    >>> narrow.widened(np.array([[1], [8]]), 0).tolist()
    [[0, 1, 0, 0, 0], [0, 0, 0, 8, 0]]
    """

    def __init__(self, rows: np.ndarray, active: np.ndarray) -> None:
        """rows : intp[n], of the entities. active : bool[n, metrics], what is there, or was before."""
        n, self._metrics = active.shape
        most = max(1, int(active.sum(1).max(initial=0)))
        self.at: Any = rows  # where a field [entities, metrics] holds what was taken
        self._own: Any = None
        if most < _SHARE * self._metrics:
            columns = np.sort(np.argpartition(~active, most - 1, axis=1)[:, :most], axis=1)
            self.at = (rows[:, None], columns)
            self._own = (np.arange(n)[:, None], columns)

    def take(self, x: np.ndarray) -> np.ndarray:
        """Return [..., n, narrow] of [..., n, metrics]."""
        return x if self._own is None else x[(..., *self._own)]

    def widened(self, x: np.ndarray, fill: float) -> np.ndarray:
        """Return [n, metrics, ...] of [n, narrow, ...], ``fill`` elsewhere."""
        if self._own is None:
            return x
        out = np.full((len(x), self._metrics, *x.shape[2:]), fill, x.dtype)
        out[self._own] = x
        return out
