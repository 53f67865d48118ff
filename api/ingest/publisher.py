"""Puts parsed samples on the log; a request is acknowledged once its records are durable."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np

from api.ingest.parsed import Parsed
from log.base import Log
from schemas.batch import encode_batch, make_batch
from schemas.series import Series, partition_of
from schemas.topics import SAMPLES


class Publisher:
    """Definitions go along until a record that held them was acknowledged."""

    def __init__(self, log: Log, partitions: int, now_ms: Callable[[], int]) -> None:
        self._log, self._partitions, self._now_ms = log, partitions, now_ms
        self._announced: set[int] = set()

    async def publish(self, parsed: Parsed, digest: int) -> None:
        """Append one record a partition; ``digest`` 0: never a repeat. Raises SinkError."""
        by_partition: dict[int, list[int]] = defaultdict(list)
        for row, series in enumerate(parsed.series):
            by_partition[partition_of(series.entity, self._partitions)].append(row)
        for partition, rows in by_partition.items():
            new: dict[int, Series] = {
                s.series_id: s for s in (parsed.series[r] for r in rows) if s.series_id not in self._announced
            }
            batch = make_batch(
                list(new.values()),
                np.array([parsed.series[r].series_id for r in rows], np.uint64),
                np.array([parsed.times[r] for r in rows], np.int64),
                np.array([parsed.values[r] for r in rows], np.float64),
                requests=[(digest, len(rows))],
                sent_ms=self._now_ms(),
            )
            await self._log.append(SAMPLES, partition, encode_batch(batch))
            self._announced.update(new)
