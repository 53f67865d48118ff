"""Samples → closed windows → log and store. One PartitionWorker a partition; the Faust agent only hands it records."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from time import monotonic
from typing import Any, TypeVar

import msgspec
import numpy as np

from log.base import Log, Record
from log.between import between
from schemas.batch import NO_ADVANCE, SampleBatch, decode_batch, encode_batch
from schemas.catalogue import Catalogue, columns_by
from schemas.errors import SinkError, SourceError
from schemas.names import Names
from schemas.rollup import Rollup
from schemas.topics import EVENTS_REJECTED, ROLLUPS, SAMPLES
from schemas.window_spec import in_memory, parse_rollup
from store.base import Columns
from store.longer import touched_columns
from store.raw import RawSamples, place
from store.repository import Repository
from stream.agents.unstored import Taken, Unstored
from stream.jobs.longer import touched_by
from stream.rollup.message import messages_of
from stream.settings import StreamSettings
from stream.window.correction import Correction
from stream.window.counters import LOOK_BACK_MS
from stream.window.levels import NEVER
from stream.window.partition import REQUESTS_REMEMBERED, PartitionWindows

T = TypeVar("T")

AT_ONCE = 4000  # samples, series or rows that are worked on in the event loop; more go to a thread
AT_ONCE_BYTES = 24 * AT_ONCE
SERIES_AT_ONCE = 20_000  # definitions that are written at once
# Rollups and raw samples that wait for the store, of all partitions of a process; so much of each at the least.
PENDING_BYTES_MAX, PENDING_BYTES_LEAST = 32 << 20, 1 << 20


class PartitionWorker:
    """The windows of one partition, with what is not yet in the store.

    Two locks: samples are taken in and windows closed under ``_lock``, which is never held while the store is waited
    for; corrections and writes to the store follow one another under ``_storing``. So nobody who waits for a window
    waits for the store, until too much waits for it: ``partitions`` share PENDING_BYTES_MAX.
    """

    def __init__(
        self,
        partition: int,
        log: Log,
        repository: Repository,
        settings: StreamSettings,
        now_ms: Callable[[], int],
        partitions: Callable[[], int] = lambda: 1,
    ) -> None:
        """partitions : returns how many this process has the windows of."""
        self.partition, self._log, self._repository, self._settings = partition, log, repository, settings
        self._now_ms, self._partitions = now_ms, partitions
        self.counters: Counter[str] = Counter()
        self.close_seconds = 0.0  # spent on windows that closed, until they were on the log
        self._unstored = Unstored()
        self._entities: dict[str, int] = {}
        self._closing: Iterator[Rollup] | None = None
        self._part: Rollup | None = None  # of the windows that close, what is not kept yet
        self._checkpoint: dict[str, Any] = {}  # the last that was written
        self._checkpoint_due = False  # rows were written that it does not know of
        self._owed: list[Correction] = []  # that still have to be made with what is stored
        self._owed_since = 0  # the lowest log offset of a sample in them
        self.offset = 0  # of the next record to take in
        self._room = asyncio.Event()
        self._closed = self._abandoned = False
        self._failure: Exception | None = None  # in the middle of a change of the windows
        self._recovered_until = -1  # samples up to this offset may be in stored rows already
        self._raw_until = -1  # raw samples up to this offset are stored
        self._lock, self._storing = asyncio.Lock(), asyncio.Lock()
        self._correcting: asyncio.Task | None = None
        self._last_record_ms = now_ms()
        self._windows: PartitionWindows | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"windows-{partition}")

    async def open(self) -> int:
        """Restore from the store's checkpoint; return the offset to read from."""
        saved = await self._repository.checkpoint(SAMPLES, self.partition)
        if saved:
            self._recovered_until = (await self._log.offsets(SAMPLES, self.partition))[1] - 1
        # Another worker wrote those of its partitions, and their definitions may not come by again.
        await self._repository.refresh_series()
        self._windows = PartitionWindows(
            [spec for spec in map(parse_rollup, self._settings.rollups) if in_memory(spec)],
            self._settings.lateness_ms,
            is_counter=self._is_counter,
            entity_of=self._entity_numbers,
        )
        never = {"resume_offset": 0, "floor_ms": NEVER, "watermark_ms": NEVER, "version": -1}
        self._checkpoint = {"topic": SAMPLES, "partition": self.partition} | (saved or never)
        if saved is None:
            return 0
        tails = await self._repository.counter_tails(floor_ms := saved["floor_ms"], floor_ms - LOOK_BACK_MS)
        self.offset, self._raw_until = saved["resume_offset"], saved["version"]
        requests = await self._repository.requests(self.partition, self.offset, REQUESTS_REMEMBERED)
        self._windows.restore(saved["watermark_ms"], floor_ms, tails, requests)
        return self.offset

    def _is_counter(self, ids: np.ndarray) -> np.ndarray:
        return np.any([known.are("counter", ids) for known in self._known], axis=0)

    def _entity_numbers(self, ids: np.ndarray) -> np.ndarray:
        unique, at = np.unique(ids, return_inverse=True)
        names = columns_by(self._known, unique)
        numbers = [self._entities.setdefault(entity, len(self._entities)) for entity in names.entities]
        return np.array(numbers, np.int64)[names.entity_of][at]

    def _columns(self, ids: np.ndarray) -> Names:
        """Return what series are called, of uint64[n] ids."""
        return columns_by(self._known, ids)

    @property
    def _known(self) -> tuple[Catalogue, ...]:
        """Every definition; in this order, for a series is in the store's catalogue before it leaves the others."""
        return *self._unstored.series, self._repository.series

    async def process(self, records: list[Record]) -> None:
        """Take a fetch of records in. An unreadable one is put aside and counted.

        While the store is away no more is taken in than this partition may hold: the log keeps the rest.
        """
        assert self._windows is not None, "BUG: not open"
        if self._failure is not None:
            raise self._failure
        while self._full and not self._closed:
            self.counters["waits_for_store"] += 1
            self._room.clear()
            await self._room.wait()
        if not self._closed:
            await self._process(records)

    @property
    def _full(self) -> bool:
        assert self._windows is not None, "BUG: not open"
        return self._unstored.bytes > self._pending_max or self._windows.late_full

    @property
    def _rollups_full(self) -> bool:
        # Of all that waits the rollups are a part: they are only counted out where all of it is too much.
        return self._unstored.bytes > self._pending_max and self._unstored.rollup_bytes > self._pending_max

    @property
    def _pending_max(self) -> int:
        return max(PENDING_BYTES_LEAST, PENDING_BYTES_MAX // max(1, self._partitions()))

    async def _process(self, records: list[Record]) -> None:
        assert self._windows is not None, "BUG: not open"
        while await self._close_part():
            pass  # left by a call that was cancelled
        async with self._lock:
            wanted = await self._next(records)
            self._closing = self._windows.drain()
            small = sum(len(record.value) for record in wanted) < AT_ONCE_BYTES
            unreadable = await self._whole(self._take_in, wanted, small=small)
            for aside in unreadable:
                await self._log.append(EVENTS_REJECTED, 0, msgspec.json.encode(aside))
        while await self._close_part():
            await asyncio.sleep(0)  # the others' turn: a history closes thousands of windows
            while self._rollups_full and not self._closed:
                self.counters["waits_for_store"] += 1
                self._room.clear()
                await self._room.wait()
        if self._windows.late_due and (self._correcting is None or self._correcting.done()):
            self._correcting = asyncio.create_task(self._correct_now())

    async def _correct_now(self) -> None:
        """Correct beside what is taken in meanwhile, which is held up only where no more late samples fit."""
        try:
            await self._correct()
            if self._windows is not None and self._windows.late_full:
                await self._correct(everything=True)
        except (SinkError, SourceError):
            self.counters["store_errors"] += 1  # the tick tries again, and says so
        self._room.set()

    def _take_in(self, records: list[Record]) -> list[dict[str, Any]]:
        """Apply records; return what to say of those that cannot be read."""
        assert self._windows is not None, "BUG: not open"
        unreadable = []
        for record in records:
            try:
                batch = decode_batch(record.value)
                added, numbers = self._windows.apply(record.offset, batch)
            except (msgspec.MsgspecError, ValueError) as error:
                self.counters["unreadable_records"] += 1
                unreadable.append({"topic": record.topic, "offset": record.offset, "error": str(error)})
                continue
            if batch.series:
                stored = self._repository.series
                self._unstored.define(one for one in batch.series if one.series_id not in stored)
            self.counters["samples"] += len(added.ids)
            if len(added.ids) and self._settings.keep_samples and record.offset > self._raw_until:
                places = place(record.offset, numbers)
                self._unstored.add_raw(RawSamples(added.ids, added.times, added.values, places))
            if batch.advance_ms == NO_ADVANCE:
                self._last_record_ms = self._now_ms()
        return unreadable

    async def _close_part(self) -> bool:
        """Keep a part of the windows that close; return whether there was one. Off the loop where it may take a while.

        A call that is cancelled, or fails, leaves its part to the next. Between parts others may write what is kept.
        """
        assert self._windows is not None, "BUG: not open"
        async with self._lock:
            if self._closing is None or self._failure is not None:
                return False
            began_s = monotonic()
            small = self._windows.waiting < AT_ONCE and self._windows.series < AT_ONCE
            if await self._whole(self._next_part, small=small) is None:
                self._closing = None
                return False
            assert self._part is not None
            await self._keep(self._part)
            self._part = None
            self.counters["closes"] += 1
            self.close_seconds += monotonic() - began_s
            return True

    def _next_part(self) -> Rollup | None:
        assert self._closing is not None, "BUG: nothing closes"
        if self._part is None:
            self._part = next(self._closing, None)
        return self._part

    async def _whole(self, call: Callable[..., T], *args: Any, small: bool) -> T:
        """Call what changes the windows, off the loop unless it is small. One that failed half way is not gone on with:
        what it left is no state that may be written.
        """
        try:
            return call(*args) if small else await self._off_loop(call, *args)
        except Exception as error:
            self._failure = error
            self.abandon()
            raise

    async def _off_loop(self, call: Callable[..., T], *args: Any) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, call, *args)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])  # the lock must be held while the thread works on
            if (error := future.exception()) is not None:
                raise error from None  # which says more than that nobody waits any more
            raise

    async def _next(self, records: list[Record]) -> list[Record]:
        """Return the records that follow on what was taken in: repeated ones left out, missing ones read."""
        assert self._windows is not None, "BUG: not open"
        out, at = list[Record](), self.offset
        while at < records[0].offset:
            missing = await between(self._log, SAMPLES, self.partition, at, records[0].offset)
            if not missing:
                break  # trimmed by retention
            self.counters["records_read_again"] += len(missing)
            out += missing
            at = missing[-1].offset + 1
        out += [record for record in records if record.offset >= at]
        self.offset = max(at, records[-1].offset + 1)
        return out

    async def _keep(self, rollup: Rollup) -> None:
        """Hand a rollup to whoever follows, and to the next write to the store."""
        small, named = len(rollup) < AT_ONCE, self._columns
        for message in messages_of(rollup, named) if small else await self._off_loop(messages_of, rollup, named):
            await self._log.append(ROLLUPS, self.partition, message)
        self.counters["late_rows" if rollup.late else "rows"] += len(rollup)
        self._unstored.add_rollup(rollup)

    async def _correct(self, *, everything: bool = False) -> None:
        """Correct closed windows by late samples. What was closed before must be stored first: it is merged into."""
        assert self._windows is not None, "BUG: not open"
        async with self._storing:
            await self._flush()
            while not self._owed and not self._abandoned:
                await self._close_part()  # what was left, or beside who closes
                async with self._lock:
                    if not self._abandoned and not self._unstored.rollups and self._closing is None:
                        self._owed_since = self._windows.checkpoint()[0]
                        self._owed = self._windows.close_late(everything=everything)
                        break
                await self._flush()  # windows closed in the meantime
            while self._owed and not self._abandoned:  # one stays here until it is made: the store may be away
                await self._make(self._owed[0])
                self._owed.pop(0)
            await self._flush()

    async def _make(self, owed: Correction) -> None:
        """Make a correction with what is stored, and keep what comes of it."""
        assert self._windows is not None, "BUG: not open"
        risen = await self._risen(owed)
        ids, starts = risen.rows()
        # Stored or not: who stored them may have ended before it told of it.
        touched = np.concatenate([owed.starts, starts])
        self._unstored.touched |= touched_by(self._settings.long_windows, owed.spec.name, touched)
        if not len(starts):
            return
        stored = await self._repository.rollup_rows(owed.spec.name, ids, starts)
        async with self._lock:
            for rollup in self._windows.corrected(risen, stored):
                await self._keep(rollup)

    async def _risen(self, owed: Correction) -> Correction:
        """Return the samples of a correction that are not stored, with what they, and stored rows, rise by."""
        assert self._windows is not None, "BUG: not open"
        fresh = owed
        if int(owed.part.offsets.min(initial=2**62)) <= self._recovered_until:
            # After a restart most samples are in stored rows: their versions alone are soon read.
            fresh = owed.beyond(await self._repository.versions(owed.spec.name, *owed.windows()))
        counters, ids, starts = self._windows.around(owed, fresh)
        if not len(ids):
            return fresh
        around = await self._repository.rows_around(owed.spec.name, ids, starts, owed.spec.size_ms + LOOK_BACK_MS)
        small = len(around["start_ms"]) < AT_ONCE and len(fresh.starts) < AT_ONCE
        return fresh.risen(counters, around) if small else await self._off_loop(fresh.risen, counters, around)

    async def tick(self) -> None:
        """Once a second: write what is pending, corrections too; advance the partition when it is idle."""
        assert self._windows is not None, "BUG: not open"
        await self._correct(everything=self._windows.late_full)
        self._room.set()
        now_ms = self._now_ms()
        if self._windows.open and now_ms - self._last_record_ms > self._settings.idle_ms:
            advance = SampleBatch([], b"", b"", b"", [], now_ms - self._settings.lateness_ms, now_ms)
            await self._log.append(SAMPLES, self.partition, encode_batch(advance))

    async def _flush(self) -> None:
        """Write what is pending. What windows give meanwhile waits for the next time."""
        assert self._windows is not None, "BUG: not open"
        async with self._lock:
            taken, checkpoint = self._take()
        if taken is None:
            return
        try:
            await self._write(taken, checkpoint)
        except BaseException:
            self._unstored.put_back(taken)
            raise
        self._unstored.stored(taken)
        if checkpoint is not self._checkpoint:
            self._checkpoint, self._checkpoint_due = checkpoint, False
            self._raw_until = max(self._raw_until, checkpoint["version"])
        self._room.set()

    async def _write(self, taken: Taken, checkpoint: dict[str, Any]) -> None:
        rollups, raw, series, requests, touched, _ = taken
        closed = (rollup for rollup in rollups if not rollup.late)
        longer = touched.union(*(touched_by(self._settings.long_windows, r.rollup, r.start_ms[:1]) for r in closed))

        def rows() -> Columns:
            return touched_columns(sorted(longer), self.partition, self._now_ms())

        every = chain.from_iterable(catalogue.every() for catalogue in series)
        while len(some := list(islice(every, SERIES_AT_ONCE))) == SERIES_AT_ONCE:
            await self._repository.write([], some, [], self._checkpoint)
        await self._repository.write(rollups, some, raw, checkpoint, rows if longer else None, requests)

    def _take(self) -> tuple[Taken | None, dict[str, Any]]:
        """Return what is to be written now, None for nothing, with the checkpoint that holds once it is."""
        assert self._windows is not None, "BUG: not open"
        if self._abandoned or not (self._unstored or self._checkpoint_due):
            return None, self._checkpoint
        if self._closing is not None:  # the last checkpoint stands until all are closed, and raw samples wait for it
            self._checkpoint_due = True
            return self._unstored.take_rollups() if self._unstored.rollups else None, self._checkpoint
        resume_offset, floor_ms, watermark_ms = self._windows.checkpoint()
        if self._owed:
            resume_offset = min(resume_offset, self._owed_since)
        checkpoint = {"topic": SAMPLES, "partition": self.partition, "resume_offset": resume_offset}
        checkpoint |= {"floor_ms": floor_ms, "watermark_ms": watermark_ms, "version": self._windows.last_offset}
        self._unstored.requests += self._windows.new_requests()
        return self._unstored.take(), checkpoint

    @property
    def needed_offset(self) -> int:
        """The lowest offset that is read again after a crash."""
        return self._checkpoint.get("resume_offset", 0)

    async def save(self) -> None:
        """Write what is pending."""
        await self._correct()

    async def close(self) -> None:
        """Write what is pending, and take nothing in any more."""
        self._closed = True
        try:
            await self.save()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of everything: the partition is another's, who reads it from the log."""
        self._closed = self._abandoned = True
        if self._correcting is not None:
            self._correcting.cancel()
        self._room.set()
        self._thread.shutdown(wait=False)

    @property
    def watermark_ms(self) -> int:
        return self._windows.watermark_ms if self._windows else -(2**62)
