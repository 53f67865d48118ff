"""The user's own topic: one JSON sample or event a message becomes batches, a fetch at a time."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from hashlib import blake2b

import msgspec
import numpy as np

from log.base import Log, Record
from schemas.batch import encode_batch, make_batch
from schemas.errors import DataError
from schemas.series import Series, ids_of, partition_of
from schemas.topics import EVENTS_JSON, EVENTS_REJECTED, SAMPLES
from store.repository import Repository

# Returns (series, epoch ms, value) of a message, as of the time in ms that the broker had it; raises DataError.
Read = Callable[[bytes, int], tuple[Series, int, float]]

ANNOUNCED_MAX = 1_000_000
SHOWN_BYTES = 1000


class PartitionTranslator:
    """One partition of ``events.json``. A message is named by its offset: read again after a crash, it counts once."""

    def __init__(
        self,
        partition: int,
        log: Log,
        repository: Repository,
        read: Read,
        partitions: int,
        now_ms: Callable[[], int],
    ) -> None:
        self.partition, self._log, self._repository, self._read = partition, log, repository, read
        self._partitions, self._now_ms = partitions, now_ms
        self.counters: Counter[str] = Counter()
        self._announced: set[int] = set()
        self.offset = self._written_offset = 0
        self._lock = asyncio.Lock()

    async def open(self) -> int:
        """Return the offset to read from."""
        saved = await self._repository.checkpoint(EVENTS_JSON, self.partition)
        self.offset = self._written_offset = saved["resume_offset"] if saved else 0
        return self.offset

    @property
    def needed_offset(self) -> int:
        """The lowest offset that is read again after a crash."""
        return self._written_offset

    async def process(self, records: list[Record]) -> None:
        async with self._lock:
            columns: dict[int, list[tuple[Series, int, float, int]]] = defaultdict(list)
            for record in records:
                if record.offset < self.offset:
                    continue
                try:
                    series, at_ms, value = self._read(record.value or b"", record.timestamp_ms or self._now_ms())
                except DataError as error:
                    await self._reject(record, str(error))
                    continue
                columns[partition_of(series.entity, self._partitions)].append((series, at_ms, value, record.offset))
            for number, rows in columns.items():
                await self._append(number, rows)
                self.counters["user_events"] += len(rows)
            self.offset = max(self.offset, records[-1].offset + 1)

    async def _append(self, number: int, rows: list[tuple[Series, int, float, int]]) -> None:
        if len(self._announced) > ANNOUNCED_MAX:
            self._announced.clear()
        every, times, values, offsets = zip(*rows, strict=True)
        ids = ids_of(every)
        new = {s.series_id: s for s in every if s.series_id not in self._announced}
        requests = [(self._digest(offset), 1) for offset in offsets]
        batch = make_batch(
            list(new.values()), ids, np.array(times), np.array(values), requests=requests, sent_ms=self._now_ms()
        )
        await self._log.append(SAMPLES, number, encode_batch(batch))
        self._announced.update(new)

    def _digest(self, offset: int) -> int:
        name = self.partition.to_bytes(4, "little") + offset.to_bytes(8, "little")
        return int.from_bytes(blake2b(name, digest_size=8, person=b"events.json").digest(), "little") >> 1

    async def _reject(self, record: Record, error: str) -> None:
        self.counters["rejected_user_events"] += 1
        shown = (record.value or b"")[:SHOWN_BYTES].decode("utf-8", "replace")
        aside = {"topic": record.topic, "partition": record.partition, "offset": record.offset, "error": error}
        await self._log.append(EVENTS_REJECTED, 0, msgspec.json.encode(aside | {"value": shown}))

    async def tick(self) -> None:
        """Write down how far it is."""
        async with self._lock:
            if self.offset > self._written_offset:
                checkpoint = {"topic": EVENTS_JSON, "partition": self.partition, "resume_offset": self.offset}
                checkpoint |= {"floor_ms": 0, "watermark_ms": 0, "version": self.offset}
                await self._repository.write([], [], [], checkpoint)
                self._written_offset = self.offset

    async def save(self) -> None:
        await self.tick()

    async def close(self) -> None:
        await self.save()

    def abandon(self) -> None:
        """Let go: the partition is another's; what it translates again is told by its digests."""
