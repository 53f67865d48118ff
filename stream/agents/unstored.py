"""What a partition's worker holds that the store has not. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from schemas.catalogue import Catalogue
from schemas.rollup import Rollup
from schemas.series import Series
from store.raw import RawSamples

SERIES_FEW = 10_000

Touched = set[tuple[str, int, int]]


class Taken(NamedTuple):
    """What one write to the store takes, and how many bytes that are."""

    rollups: list[Rollup]
    raw: list[RawSamples]  # the write takes off what it has written
    series: list[Catalogue]
    requests: list[tuple[int, int]]
    touched: Touched
    bytes: int


class Unstored:
    """Rollups, raw samples and what goes with them. What is taken counts, and is known, until it is ``stored``.

    rollups, raw : to be written, in order. requests : (log offset, digest) of each.
    touched : longer windows of the rollups that were corrected, not told yet. bytes : of rollups and raw samples.
    """

    def __init__(self) -> None:
        self.rollups: list[Rollup] = []
        self.raw: list[RawSamples] = []
        self._series, self._taken_series = Catalogue(), list[Catalogue]()
        self.requests: list[tuple[int, int]] = []
        self.touched: Touched = set()
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self.rollups or self.raw or self._series or self._taken_series or self.touched)

    @property
    def rollup_bytes(self) -> int:
        return sum(rollup.nbytes for rollup in self.rollups)

    def add_rollup(self, rollup: Rollup) -> None:
        self.rollups.append(rollup)
        self.bytes += rollup.nbytes

    def add_raw(self, raw: RawSamples) -> None:
        self.raw.append(raw)
        self.bytes += raw.nbytes

    def define(self, series: Iterable[Series]) -> None:
        self._series.add(series)

    @property
    def series(self) -> tuple[Catalogue, ...]:
        """The definitions."""
        return *self._taken_series, self._series

    def _take_series(self) -> list[Catalogue]:
        if self._series:
            self._taken_series.append(self._series)
            self._series = Catalogue()
        return list(self._taken_series)

    def take(self) -> Taken:
        """Return all of it."""
        taken = Taken(self.rollups, self.raw, self._take_series(), self.requests, self.touched, self.bytes)
        self.rollups, self.raw, self.requests, self.touched = [], [], [], set()
        return taken

    def take_rollups(self) -> Taken:
        """Return the rollups and the definitions, which may be stored before the rest."""
        taken = Taken(self.rollups, [], self._take_series(), [], set(), self.rollup_bytes)
        self.rollups = []
        return taken

    def put_back(self, taken: Taken) -> None:
        """Hold again, before everything else, what could not be written.

        In the same list of raw samples: a write that goes on, though nobody waits for it any more, takes off what it
        wrote.
        """
        self.rollups = taken.rollups + self.rollups
        taken.raw.extend(self.raw)
        self.raw = taken.raw
        self.requests = taken.requests + self.requests
        self.touched |= taken.touched
        # The few of a moment join those that come now: while the store is away there are few lists, not one a second.
        for one in self._taken_series:
            if len(one) < SERIES_FEW:
                self._series.add(one.every())
        self._taken_series = [one for one in self._taken_series if len(one) >= SERIES_FEW]

    def stored(self, taken: Taken) -> None:
        self.bytes -= taken.bytes
        self._taken_series = [one for one in self._taken_series if not any(one is other for other in taken.series)]
