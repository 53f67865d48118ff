"""Puts parsed samples on the log; a request is acknowledged once its records are durable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from api.ingest.admission import SeriesLimits
from api.ingest.parsed import Parsed
from log.base import Log
from schemas.batch import encode_batch, make_batch
from schemas.catalogue import Catalogue
from schemas.definitions import KnownIds
from schemas.series import Series, partition_of
from schemas.topics import SAMPLES

_LIST_MAX = 5000  # ids in a list of them that is kept
_LISTED_BYTES_MAX, _PART_BYTES = 32 << 20, 300  # of all lists; of each part of one, besides its ids and rows


class Publisher:
    """Definitions go along until a record that held them was acknowledged, or they are in the store."""

    def __init__(
        self, log: Log, partitions: int, limits: SeriesLimits, stored: Catalogue, now_ms: Callable[[], int]
    ) -> None:
        self._log, self._partitions, self._limits, self._now_ms = log, partitions, limits, now_ms
        self._announced = KnownIds(stored)
        self._lists: dict[bytes, list[tuple[int, np.ndarray | slice]]] = {}  # ids, all announced → how they are split
        self._listed_bytes = 0

    async def publish(self, parsed: Parsed, digest: int) -> Parsed:
        """Append one record a partition; return what was taken: new series over the limits are refused by name.

        digest : 0 for what is never a repeat. Raises SinkError.
        """
        ids, unknown = parsed.series_ids(), []
        parts = self._lists.get(ids.tobytes())
        if parts is None:
            unknown = np.flatnonzero(~self._announced.has(ids)).tolist()
            if unknown:
                parsed = parsed._replace(series=list(parsed.series))  # each is made once
                parsed, ids, unknown = self._admitted(parsed, ids, unknown)
            parts = self._split(parsed.series)
            if not unknown and len(ids) <= _LIST_MAX:
                self._remember(ids.tobytes(), parts)
        times, values = np.asarray(parsed.times, np.int64), np.asarray(parsed.values, np.float64)
        for number, mine in parts:
            new = {}
            if unknown:
                here = set(range(len(ids))[mine] if isinstance(mine, slice) else mine.tolist())
                new = {parsed.series[row].series_id: parsed.series[row] for row in unknown if row in here}
            columns = (ids[mine], times[mine], values[mine])
            requests = [(digest, len(columns[0]))]
            batch = make_batch(list(new.values()), *columns, requests=requests, sent_ms=self._now_ms())
            await self._log.append(SAMPLES, number, encode_batch(batch))
            if new:
                self._announced.add(np.fromiter(new, np.uint64, len(new)))
        return parsed

    def _remember(self, ids: bytes, parts: list[tuple[int, np.ndarray | slice]]) -> None:
        size = 2 * len(ids) + _PART_BYTES * (1 + len(parts))
        self._listed_bytes += size
        if self._listed_bytes > _LISTED_BYTES_MAX:
            self._lists.clear()
            self._listed_bytes = size
        self._lists[ids] = parts

    def _split(self, series: Sequence[Series]) -> list[tuple[int, np.ndarray | slice]]:
        """Return (partition, its rows) of each partition that gets any."""
        if self._partitions == 1:
            return [(0, slice(None))] if series else []
        owner = np.array([partition_of(one.entity, self._partitions) for one in series], np.int64)
        return [(number, np.flatnonzero(owner == number)) for number in np.unique(owner).tolist()]

    def _admitted(self, parsed: Parsed, ids: np.ndarray, unknown: list[int]) -> tuple[Parsed, np.ndarray, list[int]]:
        """Leave out the samples of new series that there is no room for."""
        refusals = self._limits.refusals([parsed.series[row] for row in unknown])
        refused = {unknown[at]: why for at, why in refusals.items()}
        if not refused:
            return parsed, ids, unknown
        kept = [row for row in range(len(ids)) if row not in refused]
        position = {row: at for at, row in enumerate(kept)}
        errors = [{"index": row, "error": why} for row, why in refused.items()]
        left = parsed._replace(
            series=[parsed.series[row] for row in kept],
            ids=None if parsed.ids is None else ids[kept],
            times=np.asarray(parsed.times)[kept],
            values=np.asarray(parsed.values)[kept],
            rejected=parsed.rejected + errors,
        )
        return left, ids[kept], [position[row] for row in unknown if row not in refused]
