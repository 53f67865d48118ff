"""A partition's worker on a log and a store in memory, under a seeded scheduler; a seed replays exactly.

It is killed and cancelled, its records are delivered twice or with gaps, the log and the store fail before or after
they did what was asked, and memory ends in the middle of its own work.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np

from log.base import Record
from schemas.batch import CLOSE_ALL, SampleBatch, encode_batch, make_batch
from schemas.catalogue import Catalogue
from schemas.errors import SinkError, SourceError
from schemas.series import Series
from schemas.topics import SAMPLES
from stream.agents import windowing
from stream.agents.windowing import PartitionWorker
from stream.settings import StreamSettings
from stream.window.counters import LOOK_BACK_MS
from tests.simulation.oracle import SPECS, Table, expected, stream

T = TypeVar("T")
EXPECTED = (asyncio.CancelledError, SinkError, SourceError, MemoryError)


class Inline(Executor):
    """Runs a call where it is submitted, so that no thread's timing matters."""

    def submit(self, call: Any, /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(call(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Faults:
    """Says, by the seed, whether a call fails, and whether before or after its effect."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self.probability = rng, 0.0

    def within(self, call: Callable[..., T]) -> Callable[..., T]:
        """Return the call, with memory that may not suffice, for it or for what is done next."""

        def tried(*args: Any, **kwargs: Any) -> T:
            if self._rng.random() < self.probability / 2:
                raise MemoryError("a fault of the simulation")
            out = call(*args, **kwargs)
            if self._rng.random() < self.probability / 2:
                raise MemoryError("a fault of the simulation")
            return out

        return tried

    async def at(self, error: type[Exception]) -> None:
        for _ in range(self._rng.randrange(3)):
            await asyncio.sleep(0)
        if self._rng.random() < self.probability:
            raise error("a fault of the simulation")


class MemoryLog:
    def __init__(self, faults: Faults) -> None:
        self.records: list[Record] = []
        self._faults = faults

    def put(self, value: bytes) -> None:
        self.records.append(Record(SAMPLES, 0, len(self.records), 0, None, value))

    async def append(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> int:
        await self._faults.at(SinkError)
        if topic == SAMPLES:
            self.put(value)
        return len(self.records) - 1

    async def offsets(self, topic: str, partition: int) -> tuple[int, int]:
        return 0, len(self.records)

    async def read(self, topic: str, partition: int, offset: int, *, records_max: int = 500) -> list[Record]:
        await self._faults.at(SourceError)
        return self.records[offset : offset + 3]


class MemoryRepository:
    """What PartitionWorker asks of store.repository.Repository."""

    def __init__(self, faults: Faults) -> None:
        self.series = Catalogue()
        self.table, self._faults = Table(), faults

    async def write(
        self, rollups: Any, series: Any, raw: Any, checkpoint: dict, touched: Any = None, requests: Any = ()
    ) -> None:
        await self._faults.at(SinkError)
        for rollup in rollups:
            self.table.write([rollup])
            await self._faults.at(SinkError)
        old = self.table.checkpoint
        if old is None or old["version"] <= checkpoint["version"]:
            self.table.checkpoint = dict(checkpoint)
        await self._faults.at(SinkError)
        self.series.add(series)

    async def refresh_series(self) -> None:
        """All series are written here."""

    async def checkpoint(self, topic: str, partition: int) -> dict | None:
        return self.table.checkpoint

    async def counter_tails(self, before_ms: int, since_ms: int) -> tuple[np.ndarray, ...]:
        assert since_ms == before_ms - LOOK_BACK_MS
        return self.table.tails(before_ms)

    async def rollup_rows(self, rollup: str, ids: np.ndarray, starts: np.ndarray) -> dict:
        await self._faults.at(SourceError)
        return self.table.read(rollup, ids, starts)

    async def rows_around(self, rollup: str, ids: np.ndarray, starts: np.ndarray, reach_ms: int) -> dict:
        await self._faults.at(SourceError)
        return self.table.around(rollup, ids, starts, reach_ms)

    async def versions(self, rollup: str, ids: np.ndarray, starts: np.ndarray) -> dict:
        await self._faults.at(SourceError)
        return self.table.read(rollup, ids, starts)

    async def requests(self, partition: int, before: int, at_most: int) -> list[int]:
        return []


def run(seed: int, value: Callable[[int], float] | None = None) -> tuple[Table, dict]:
    """Return the table that one seed leaves, and what plain Python says. ``value``: see ``oracle.stream``."""
    rng = random.Random(seed)
    with patch.object(windowing, "AT_ONCE", rng.choice([0, 4000])):
        return asyncio.run(_run(rng, value))


async def _run(rng: random.Random, value: Callable[[int], float] | None) -> tuple[Table, dict]:
    faults = Faults(rng)
    log, repository = MemoryLog(faults), MemoryRepository(faults)
    # Repeats are told by the requests seen since the resume offset, so there are none where the state is lost.
    records = list({digest: (digest, samples) for digest, samples in stream(rng, value)}.values())
    for digest, samples in records:
        ids, times, values = (np.array(column) for column in zip(*samples, strict=True))
        series = [
            Series(i, f"entity-{i // 2}", f"metric-{i}", {}, ("gauge", "counter")[i % 2]) for i in set(ids.tolist())
        ]
        log.put(encode_batch(make_batch(series, ids, times, values, requests=[(digest, len(samples))])))
    settings = StreamSettings(tuple(spec.name for spec in SPECS), 5000, 1, keep_samples=False)

    async def fresh() -> tuple[PartitionWorker, int]:
        worker = PartitionWorker(0, log, repository, settings, lambda: 0)  # type: ignore[arg-type]
        worker._thread = Inline()  # type: ignore[assignment]
        at = await worker.open()
        windows: Any = worker._windows
        for part, name in ((windows, "apply"), (windows, "_rollup"), (windows, "corrected"), (worker, "_columns")):
            setattr(part, name, faults.within(getattr(part, name)))
        return worker, at

    worker, at = await fresh()
    while at < len(log.records):
        faults.probability = rng.choice([0.0, 0.0, 0.05])
        begin = max(0, at + rng.choice([0, 0, 0, -2, 2]))  # delivered again, or with a gap
        fetch, reached, calls = log.records[begin : begin + rng.randrange(1, 6)], at, []
        if fetch and rng.random() < 0.7:
            calls, reached = [worker.process(fetch)], max(at, fetch[-1].offset + 1)
        if not calls or rng.random() < 0.3:
            calls.append(worker.tick())
        tasks = [asyncio.ensure_future(call) for call in calls]
        interrupted = rng.random() < 0.15
        if interrupted:
            for _ in range(rng.randrange(9)):
                await asyncio.sleep(0)
            rng.choice(tasks).cancel()
        said = [one for one in await asyncio.gather(*tasks, return_exceptions=True) if one is not None]
        unexpected = [one for one in said if not isinstance(one, EXPECTED)]
        assert not unexpected, unexpected
        at, interrupted = (at if said else reached), bool(interrupted or said)
        if interrupted or rng.random() < 0.05:  # it gives the partition up, if it comes to that; another takes over
            if rng.random() < 0.5:
                with contextlib.suppress(*EXPECTED):
                    await worker.close()
            worker, at = await fresh()
    faults.probability = 0.0
    log.put(encode_batch(SampleBatch([], b"", b"", b"", [], CLOSE_ALL)))
    await asyncio.gather(worker.process(log.records[-1:]), worker.tick())
    for _ in range(4):  # late samples wait until nothing more comes
        await worker.tick()
    saved = repository.table.checkpoint
    assert saved is not None and saved["version"] == len(log.records) - 1, f"{saved} of {len(log.records)}"
    return repository.table, expected(records)
