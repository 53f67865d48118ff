"""Series by id: those that are in the store, and those that were met and are not stored yet."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from schemas.catalogue import Catalogue, named_by
from schemas.id_table import IdSet
from schemas.series import Series

# As many are held together, and let go once at most LOT_LEFT of them are not stored; LOTS_AT_ONCE lots are looked at.
LOT, LOT_LEFT, LOTS_AT_ONCE = 20_000, 1000, 4
_IDS_LOOKED_AT = 20_000


class Definitions:
    """What series are called. Who has met them adds them, and calls ``let_go`` now and then. Of one thread.

    stored : grows by itself; what is in it is in none of the others for long.
    """

    def __init__(self, stored: Catalogue) -> None:
        self._stored = stored
        self._met: list[Catalogue] = []

    @property
    def nbytes(self) -> int:
        """About how much memory those take that are not stored."""
        return sum(lot.nbytes for lot in self._met)

    def add(self, series: Iterable[Series]) -> None:
        """Take in series, some of them known perhaps."""
        if not self._met or len(self._met[-1]) >= LOT:
            self._met.append(Catalogue())
        self._met[-1].add(series)

    def named(self, ids: np.ndarray) -> list[Series | None]:
        """Return the series of each of uint64[n] ids, None where it is not known."""
        return named_by((self._stored, *reversed(self._met)), ids)

    def __getitem__(self, series_id: int) -> Series:
        (one,) = self.named(np.array([series_id], np.uint64))
        if one is None:
            raise KeyError(series_id)
        return one

    def let_go(self) -> None:
        """Forget those that are stored by now: of some lots, of others the next time."""
        looked_at, others = self._met[:LOTS_AT_ONCE], self._met[LOTS_AT_ONCE:]
        stays, left = list[Catalogue](), list[Series | None]()
        for lot in looked_at:
            ids = lot.ids[~self._stored.has(lot.ids)]
            if len(ids) > LOT_LEFT or len(ids) == len(lot):
                stays.append(lot)
            else:
                left += lot.named(ids)
        self._met = [*others[:-1], *stays, *others[-1:]]  # the last one is that which is added to
        if left:
            self.add(one for one in left if one is not None)


class KnownIds:
    """Ids of series that are in the store, and others: those are held until they are stored. Of one thread."""

    def __init__(self, stored: Catalogue) -> None:
        self._stored = stored
        self._others = IdSet()
        self._look_at = _IDS_LOOKED_AT

    def has(self, ids: np.ndarray) -> np.ndarray:
        """Return bool[n], whether each of uint64[n] ids is known."""
        known = self._stored.has(ids)
        others = np.flatnonzero(~known)
        known[others] = self._others.has(ids[others])
        return known

    def add(self, ids: np.ndarray) -> None:
        """Take ids in, known or not."""
        self._others.add(ids)
        if len(self._others) >= self._look_at:
            every, self._others = self._others.ids, IdSet()
            self._others.add(every[~self._stored.has(every)])
            self._look_at = max(_IDS_LOOKED_AT, 2 * len(self._others))
