"""Samples → closed windows → the store. One PartitionWorker a partition; the Faust agent only hands it records."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import msgspec
import numpy as np

from log.base import Log, Record
from schemas.batch import NO_ADVANCE, SampleBatch, columns, decode_batch, encode_batch
from schemas.rollup import Rollup
from schemas.series import Series
from schemas.topics import EVENTS_REJECTED, SAMPLES
from store.repository import Repository
from stream.settings import StreamSettings
from stream.window.merge import merge
from stream.window.partition import PartitionWindows
from stream.window.spec import in_memory, parse_rollup


class PartitionWorker:
    """The windows of one partition, with what is not yet in the store."""

    def __init__(
        self, partition: int, log: Log, repository: Repository, settings: StreamSettings, now_ms: Callable[[], int]
    ) -> None:
        self.partition, self._log, self._repository, self._settings = partition, log, repository, settings
        self._now_ms = now_ms
        self.counters: Counter[str] = Counter()
        self._rollups: list[Rollup] = []
        self._raw: list[tuple[np.ndarray, ...]] = []
        self._unsaved: dict[int, Series] = {}
        self._counter_ids: set[int] = set()
        self._lock = asyncio.Lock()
        self._last_record_ms = now_ms()
        self._windows: PartitionWindows | None = None

    async def open(self) -> int:
        """Restore from the store's checkpoint; return the offset to read from."""
        saved = await self._repository.checkpoint(SAMPLES, self.partition)
        _, end = await self._log.offsets(SAMPLES, self.partition)
        self._counter_ids = {s.series_id for s in self._repository.series.values() if s.kind == "counter"}
        self._windows = PartitionWindows(
            [spec for spec in map(parse_rollup, self._settings.rollups) if in_memory(spec)],
            self._settings.lateness_ms,
            is_counter=self._is_counter,
            recovered_until=end - 1 if saved else -1,
            versions_of=self._repository.versions_now if saved else None,
        )
        if saved is None:
            return 0
        self._windows.restore(saved["watermark_ms"])
        return saved["resume_offset"]

    def _is_counter(self, ids: np.ndarray) -> np.ndarray:
        return np.isin(ids, np.fromiter(self._counter_ids, np.uint64, len(self._counter_ids)))

    async def process(self, records: list[Record]) -> None:
        """Take a fetch of records in. An unreadable one is put aside and counted."""
        assert self._windows is not None, "BUG: not open"
        async with self._lock:
            for record in records:
                try:
                    batch = decode_batch(record.value)
                    got = columns(batch)
                except (msgspec.MsgspecError, ValueError) as error:
                    self.counters["unreadable_records"] += 1
                    aside = {"topic": record.topic, "offset": record.offset, "error": str(error)}
                    await self._log.append(EVENTS_REJECTED, 0, msgspec.json.encode(aside))
                    continue
                for series in batch.series:
                    if series.series_id not in self._repository.series:
                        self._unsaved[series.series_id] = series
                    if series.kind == "counter":
                        self._counter_ids.add(series.series_id)
                self.counters["samples"] += self._windows.apply(record.offset, batch)
                if len(got.ids):
                    self._raw.append(got)
                if batch.advance_ms == NO_ADVANCE:
                    self._last_record_ms = self._now_ms()
            await self._keep(self._windows.drain())

    async def _keep(self, rollups: list[Rollup]) -> None:
        for rollup in rollups:
            self.counters["late_rows" if rollup.late else "rows"] += len(rollup)
            if rollup.late:
                await self._flush()  # the stored row must hold everything before it
                stored = await self._repository.rollup_rows(rollup.rollup, rollup.ids, rollup.start_ms)
                rollup = merge(rollup, stored)
            self._rollups.append(rollup)

    async def tick(self) -> None:
        """Once a second: write what is pending, corrections too; advance the partition when it is idle."""
        assert self._windows is not None, "BUG: not open"
        async with self._lock:
            await self._keep(self._windows.close_late())
            await self._flush()
        now_ms = self._now_ms()
        if self._windows.open_samples and now_ms - self._last_record_ms > self._settings.idle_ms:
            advance = SampleBatch([], b"", b"", b"", [], now_ms - self._settings.lateness_ms, now_ms)
            await self._log.append(SAMPLES, self.partition, encode_batch(advance))

    async def _flush(self) -> None:
        assert self._windows is not None, "BUG: not open"
        if not (self._rollups or self._raw or self._unsaved):
            return
        resume_offset, floor_ms, watermark_ms = self._windows.checkpoint()
        checkpoint = {"topic": SAMPLES, "partition": self.partition, "resume_offset": resume_offset}
        checkpoint |= {"floor_ms": floor_ms, "watermark_ms": watermark_ms, "version": self._windows.last_offset}
        await self._repository.write(self._rollups, list(self._unsaved.values()), self._raw, checkpoint)
        self._rollups, self._raw, self._unsaved = [], [], {}
