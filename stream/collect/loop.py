"""Puts a reading of this host on the log every interval."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np

from log.base import Log
from schemas.batch import encode_batch, make_batch
from schemas.series import Series, make_series, partition_of
from schemas.topics import SAMPLES
from stream.collect.host import HostCollector, entity_name


async def collect(log: Log, *, partitions: int, interval_ms: int, now_ms: Callable[[], int]) -> None:
    """Run until cancelled. A reading carries its definitions once a minute, and whenever a series is new."""
    collector, entity = HostCollector(), entity_name()
    partition = partition_of(entity, partitions)
    known: dict[tuple, Series] = {}
    announced_ms = 0
    while True:
        await asyncio.sleep((interval_ms - now_ms() % interval_ms) / 1000)
        at_ms = now_ms() // interval_ms * interval_ms
        if again := at_ms - announced_ms >= 60_000:
            announced_ms = at_ms
        series, new, values = [], [], []
        for metric, labels, kind, value in collector.read():
            key = (metric, *sorted(labels.items()))
            one = known.get(key)
            if one is None:
                one = known[key] = make_series(entity, metric, labels, kind)
                new.append(one)
            series.append(one.series_id)
            values.append(float(value))
        batch = make_batch(
            list(known.values()) if again else new,
            np.array(series, np.uint64),
            np.full(len(series), at_ms, np.int64),
            np.array(values, np.float64),
            sent_ms=now_ms(),
        )
        await log.append(SAMPLES, partition, encode_batch(batch))
