"""What is let in: so many series, so many samples a second a token, so many bytes at once. The rest is told why."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from starlette.exceptions import HTTPException

from schemas.catalogue import Catalogue
from schemas.definitions import KnownIds
from schemas.series import Series, ids_of


@dataclass(frozen=True)
class Limits:
    """0 for ``samples_per_s``: as many as the machine takes."""

    series: int = 1_000_000
    series_per_entity: int = 10_000
    samples_per_s: int = 0  # of one token
    pending: int = 256 * 1024 * 1024  # bytes of bodies that are being read at once


class SeriesLimits:
    """Known series are let in for ever, those in the store from the start, over the limits or not; new ones while
    there is room.
    """

    def __init__(self, limits: Limits, stored: Catalogue) -> None:
        self._limits = limits
        self._known = KnownIds(stored)
        self._count = len(stored)
        self._per_entity = Counter(stored.entities())
        self.refused = 0

    def refusals(self, series: Sequence[Series]) -> dict[int, str]:
        """Return by row why samples of some series are refused; the others are known, or there is room for them."""
        taken, refused = set[int](), dict[int, str]()
        for row in np.flatnonzero(~self._known.has(ids_of(series))).tolist():
            one = series[row]
            if one.series_id in taken:
                continue
            why = self._refusal(one, self._count + len(taken))
            if why is None:
                taken.add(one.series_id)
                self._per_entity[one.entity] += 1
            else:
                self.refused += 1
                refused[row] = why
        self._known.add(np.fromiter(taken, np.uint64, len(taken)))
        self._count += len(taken)
        return refused

    def _refusal(self, series: Series, known: int) -> str | None:
        limits = self._limits
        if known >= limits.series:
            why = f"there are {known} already (limits.series)"
        elif self._per_entity[series.entity] >= limits.series_per_entity:
            why = f"its entity has {self._per_entity[series.entity]} already (limits.series_per_entity)"
        else:
            return None
        return f"cannot take new series {series.key[:100]!r} of {series.entity[:100]!r}: {why}; known ones go on"


class Admission:
    """The doors of one process."""

    def __init__(self, limits: Limits, stored: Catalogue, now_ms: Callable[[], int]) -> None:
        self._limits, self._now_ms = limits, now_ms
        self.series = SeriesLimits(limits, stored)
        self.pending = 0
        self.refused_busy = self.refused_rate = 0
        self.bad_samples = self.bad_requests = 0  # what could not be read or used
        self._rooms: dict[str, tuple[float, int]] = {}  # token → samples it may send now, as of ms
        self._turns = asyncio.Lock()

    async def turn(self) -> None:
        """Return when a body may be worked on: one an iteration of the event loop, in the order they came.

        Reading a body's samples takes milliseconds and does not await. Were all that are ready read in one iteration,
        whoever else has something to do there (a refusal, a page, a live push) would wait for them all, and again at
        each of their own steps.
        """
        async with self._turns:
            await asyncio.sleep(0)

    @contextmanager
    def body(self, length: int) -> Iterator[None]:
        """Hold room for a body while it is worked on; raises HTTPException 503 where there is none."""
        if self.pending and self.pending + length > self._limits.pending:
            self.refused_busy += 1
            held = f"{self.pending} bytes of others are being read (limits.pending)"
            raise HTTPException(503, f"cannot take this body now: {held}; send it again", {"Retry-After": "1"})
        self.pending += length
        try:
            yield
        finally:
            self.pending -= length

    def check_rate(self, token: str) -> None:
        """Raise HTTPException 429 where a token has sent more than its share."""
        if self._limits.samples_per_s and (room := self._room(token)) < 0:
            self.refused_rate += 1
            wait_s = max(1, round(-room / self._limits.samples_per_s + 0.5))
            allowed = f"{self._limits.samples_per_s} samples a second (limits.samples_per_s)"
            raise HTTPException(
                429, f"cannot take more now: {allowed}; again in {wait_s} s", {"Retry-After": str(wait_s)}
            )

    def spend(self, token: str, samples: int) -> None:
        """Count accepted samples."""
        if self._limits.samples_per_s:
            self._rooms[token] = (self._room(token) - samples, self._now_ms())

    def _room(self, token: str) -> float:
        most = float(self._limits.samples_per_s)
        room, at_ms = self._rooms.get(token, (most, self._now_ms()))
        return min(most, room + most * (self._now_ms() - at_ms) / 1000)
