"""Late samples that closed windows are owed, told from those that a stored row holds already."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from schemas.window_spec import WindowSpec
from stream.window.part import Part
from stream.window.rises import rises_of

Key = tuple[int, int]  # of a stored row: series id and start


class Correction(NamedTuple):
    """``part`` has a row a sample and window, ``starts`` (int64[n]) the window. With the stored rows it makes rows that
    hold all samples at log offsets up to ``version``.

    rises : float64[n], what samples of counters add to their windows, NaN for other series; None: no series is one.
    increase : by stored row, what it is now that late samples are before its first.
    """

    spec: WindowSpec
    part: Part
    starts: np.ndarray
    version: int
    rises: np.ndarray | None = None
    increase: dict[Key, float] = {}  # noqa: RUF012 - never changed

    def windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (uint64 ids, int64 starts) of the windows of the samples, each once."""
        heads, _ = self._windows()
        return self.part.ids[heads], self.starts[heads]

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (uint64 ids, int64 starts) of the stored rows it is made with, each once."""
        (ids, starts), more = self.windows(), sorted(self.neighbours())
        ids = np.append(ids, np.array([series_id for series_id, _ in more], np.uint64))
        return ids, np.append(starts, np.array([start for _, start in more], np.int64))

    def neighbours(self) -> set[Key]:
        """Return the stored rows of which nothing but the increase changes."""
        ids, starts = self.windows()
        return self.increase.keys() - set(zip(ids.tolist(), starts.tolist(), strict=True))

    def _windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return a sample of each window, and of each sample the number of its window; windows by start, then id."""
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
        return self._where(self._fresh(stored))

    def _where(self, mask: np.ndarray) -> Correction:
        rises = None if self.rises is None else self.rises[mask]
        return self._replace(part=self.part.where(mask), starts=self.starts[mask], rises=rises)

    def _fresh(self, stored: dict[str, Any]) -> np.ndarray:
        """Return bool[n], which samples ``stored`` rows do not hold."""
        heads, number = self._windows()
        columns = [np.asarray(stored[name]) for name in ("series_id", "start_ms", "version")]
        near = np.isin(columns[0], self.part.ids) & np.isin(columns[1], self.starts)  # there may be many more around
        columns = [column[near].tolist() for column in columns]
        held = {(series_id, start): version for series_id, start, version in zip(*columns, strict=True)}
        if not held:
            return np.ones(len(self.starts), bool)
        keys = zip(self.part.ids[heads].tolist(), self.starts[heads].tolist(), strict=True)
        versions = np.array([held.get(key, -1) for key in keys], np.int64)[number]
        return self.part.offsets > versions

    def risen(self, counters: np.ndarray, around: dict[str, Any]) -> Correction:
        """Return it ``beyond`` the rows around, with what its counters rise by, and those rows after them.

        counters : bool[n], which samples are of counters. around : columns of stream.window.rises.COLUMNS, and version,
            of the stored rows around those.
        """
        fresh = self._fresh(around)
        owed, counters = self._where(fresh), counters[fresh]
        found = rises_of(self.spec, owed.part.where(counters), owed.starts[counters], around)
        rises = np.full(len(counters), np.nan)
        rises[counters] = found.late
        ids, starts = (np.asarray(around[name])[found.rows].tolist() for name in ("series_id", "start_ms"))
        increase = dict(zip(zip(ids, starts, strict=True), found.increase.tolist(), strict=True))
        return owed._replace(rises=rises, increase=increase)

    def added(self) -> np.ndarray | None:
        """Return float64, what the samples add to the increase of each of ``windows``; None: no series is a counter."""
        heads, number = self._windows()
        return None if self.rises is None else np.bincount(number, self.rises, len(heads))
