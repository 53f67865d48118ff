"""Rollups → verdicts. One PartitionScorer a partition; the Faust agent only hands it records.

Models run in a thread of their own. A snapshot holds the state of a model and the offset of the first rollup that it
has not seen: after a crash that rollup is next, so nothing is learned twice or skipped, and the verdicts between the
snapshot and the crash are made again with the same ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import cramjam
import msgspec

from log.base import Log, Record
from schemas.incident import Feedback, Incident, Pin
from schemas.rollup import RollupMessage, decode_rollup
from schemas.topics import INCIDENTS, VERDICTS
from schemas.verdict import Verdict, encode_verdicts
from schemas.window_spec import parse_rollup
from store.models import ModelTables
from store.repository import Repository
from store.verdicts import VerdictTable
from stream.agents.snapshot import read_snapshot
from stream.features.frame import frames_from_message
from stream.models.base import pack
from stream.models.contest import words
from stream.models.engine import Engine
from stream.models.entry import Entry, pack_entries
from stream.models.stored import StoredWindows
from stream.settings import StreamSettings
from stream.window.calendar import DAY_MS

T = TypeVar("T")
logger = logging.getLogger("foreshock.models")

ENTRIES_A_ROW, BYTES_A_ROW = 500, 16 << 20
UNSAVED_MAX = 20_000  # verdicts


class _Abandoned(Exception):
    """The partition went to another worker in the middle of something: nothing more may be done for it."""


class PartitionScorer:
    def __init__(
        self, partition: int, log: Log, repository: Repository, settings: StreamSettings, now_ms: Callable[[], int]
    ) -> None:
        self.partition, self._log, self._settings, self._now_ms = partition, log, settings, now_ms
        self._models, self._verdicts = ModelTables(repository.thread), VerdictTable(repository.thread)
        self.counters: Counter[str] = Counter()
        self.engines: dict[str, Engine] = {}
        self._seen: dict[str, int] = {}  # rollup → offset of the next message it has not seen
        self._stored: dict[str, StoredWindows] = {}
        self._unsaved: list[Verdict] = []
        self._thread = ThreadPoolExecutor(1, f"models-{partition}")
        self._lock = asyncio.Lock()
        self._snapshot_ms = self._cards_ms = now_ms()
        self._version_days: dict[str, int] = {}  # of the last version that is kept beside those of other days
        self._needed: dict[str, int] = {}  # as ``_seen``, of what is stored
        self._incidents_offset = 0
        self._changed: set[str] = set()  # rollups whose models did something since their last snapshot
        self._stale_cards: set[str] = set()
        self.offset = 0  # of the next record to take in
        self._room = asyncio.Event()
        self._closed = self._abandoned = False
        self._logged_ms: dict[tuple[str, str, str], int] = {}  # until when changes of champion were logged

    async def open(self) -> int:
        """Restore every model from its snapshot; return the offset of the topic ``rollups`` to read from."""
        saved = {state.rollup: state for state in await self._models.states(self.partition)}
        kept = await self._models.last_versions(self.partition)
        self._version_days = {name: at_ms // DAY_MS for name, at_ms in kept.items()}
        for name in self._settings.model_rollups:
            spec = parse_rollup(name)
            engine = Engine(name, spec.size_ms, spec.hop_ms, self._settings.engine, self._settings.periods)
            self._seen[name] = 0
            self._stored[name] = StoredWindows()
            if name in saved:
                self._seen[name] = saved[name].resume_offset
                snapshot = await read_snapshot(self._models, self.partition, saved[name])
                if snapshot is None:
                    logger.warning("models of %s begin anew: their snapshot is of an earlier release", name)
                else:
                    self._stored[name] = snapshot.stored
                    engine.restore(snapshot.state, snapshot.entries)
            self.engines[name] = engine
        await self._take_incidents()
        self._needed = {name: offset for name, offset in self._seen.items() if offset > 0}
        self.offset = min(self._seen.values(), default=0)
        return self.offset

    async def _take_incidents(self) -> None:
        """Read what is new on the topic ``incidents``; what an engine knows already changes nothing."""
        while records := await self._log.read(INCIDENTS, 0, self._incidents_offset):
            for record in records:
                self._incidents_offset = record.offset + 1
                try:
                    said = msgspec.json.decode(record.value, type=Incident | Feedback | Pin)
                except msgspec.MsgspecError:
                    self.counters["unreadable_records"] += 1
                    continue
                for engine in self.engines.values():
                    if isinstance(said, Incident):
                        engine.incident(said)
                    elif isinstance(said, Pin):
                        engine.pin(said)
                        self._stale_cards.add(engine.rollup)
                    else:
                        engine.feedback(said)

    async def _in_thread(self, call: Callable[..., T], *args: Any) -> T:
        self._ours()
        result = await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)
        self._ours()
        return result

    def _ours(self) -> None:
        """Raise _Abandoned where the partition is another's: before what is written, and after what took its time."""
        if self._abandoned:
            raise _Abandoned

    async def process(self, records: list[Record]) -> None:
        """Score a fetch of records; no more than UNSAVED_MAX verdicts wait for a store that is away."""
        while len(self._unsaved) > UNSAVED_MAX and not self._closed:
            self.counters["waits_for_store"] += 1
            self._room.clear()
            await self._room.wait()
        if not self._closed:
            with contextlib.suppress(_Abandoned):
                await self._process(records)

    async def _process(self, records: list[Record]) -> None:
        async with self._lock:
            try:
                await self._take(records)
            except BaseException:
                self.abandon()  # a model may know a rollup whose verdicts nobody got: it must not be saved
                raise

    async def _take(self, records: list[Record]) -> None:
        await self._take_incidents()
        for record in records:
            message = decode_rollup(record.value)
            engine = self.engines.get(message.rollup)
            if engine is None or record.offset < self._seen[message.rollup]:
                continue
            verdicts, encoded = await self._in_thread(_score, engine, message, record.offset)
            self._seen[message.rollup] = record.offset + 1
            self._changed.add(message.rollup)
            self._stale_cards.add(message.rollup)
            if verdicts:
                self.counters["verdicts"] += len(verdicts)
                self.counters["flags"] += sum(v.flag for v in verdicts)
                self.counters["verdicts_unlike_calendar"] += sum(bool(v.looks_like) for v in verdicts)
                await self._log.append(VERDICTS, self.partition, encoded)
                self._unsaved += verdicts
            self._log_changes(engine)
        self.offset = records[-1].offset + 1

    def _log_changes(self, engine: Engine) -> None:
        """Say which model answers from now on, and why."""
        for group, bank in engine.ring.banks.of_group.items():
            for period, contest in bank.contests.items():
                place = (engine.rollup, group, period)
                for change in contest.changes:
                    if change["at"] > self._logged_ms.get(place, 0):
                        self._logged_ms[place] = change["at"]
                        logger.info("model of %s: %s", "/".join(filter(None, place)), words(change))

    async def tick(self) -> None:
        """Once a second: write verdicts; learn anew when labels changed; now and then a snapshot."""
        with contextlib.suppress(_Abandoned):
            await self._tick()

    async def _tick(self) -> None:
        async with self._lock:
            self._ours()
            await self._take_incidents()
            for name, engine in self.engines.items():
                if await self._in_thread(engine.refresh):
                    self.counters["relearned"] += 1
                    self._changed.add(name)
                    self._stale_cards.add(name)
            await self._write_verdicts()
            now_ms = self._now_ms()
            if now_ms - self._cards_ms >= self._settings.cards_interval_ms:
                self._cards_ms = now_ms
                await self._save_cards()
            if now_ms - self._snapshot_ms >= self._settings.snapshot_interval_ms:
                self._snapshot_ms = now_ms
                await self._snapshot()

    async def _write_verdicts(self) -> None:
        if self._unsaved:
            verdicts, self._unsaved = self._unsaved, []
            try:
                await self._verdicts.write(verdicts)
            except BaseException:  # a tick that is cancelled too: a snapshot would stand for what was never written
                self._unsaved = verdicts + self._unsaved
                raise
        self._room.set()

    async def _save_cards(self) -> None:
        cards: list[dict[str, Any]] = []
        for name in sorted(self._stale_cards):
            cards += await self._in_thread(self.engines[name].model_cards)
        if cards:
            self._ours()
            await self._models.save_cards(self.partition, self._now_ms(), cards)
        self._stale_cards.clear()  # not before they are written; nothing is scored meanwhile

    async def _snapshot(self) -> None:
        """Write verdicts before the snapshot that stands for them, its windows before the state that names them."""
        for name in sorted(self._changed):
            engine, stored = self.engines[name], self._stored[name]
            first = stored.next_for(engine.ring.rewritten, self._now_ms())
            entries = [entry for entry in engine.ring.entries if entry.number >= first]
            for part in _pieces(entries):
                body = bytes(cramjam.zstd.compress(pack(pack_entries(part))))
                now_ms = self._now_ms()
                self._ours()
                await self._models.save_windows(self.partition, name, stored.lineage, part[0].number, now_ms, body)
            kept = engine.ring.entries[0].number if engine.ring.entries else engine.ring.next_number
            stored.saved(kept, engine.ring.next_number)
            body = bytes(cramjam.zstd.compress(pack(engine.state() | stored.state())))
            self._ours()
            now_ms = self._now_ms()
            await self._models.save_state(self.partition, name, self._seen[name], now_ms, body)
            if now_ms // DAY_MS != self._version_days.get(name):
                self._ours()
                await self._models.keep_version(self.partition, name, self._seen[name], now_ms, body)
                self._version_days[name] = now_ms // DAY_MS
        self._needed = {name: self._seen[name] for name in self._seen if self._seen[name] > 0}
        self._changed.clear()

    @property
    def needed_offset(self) -> int:
        """The lowest offset that is read again after a crash; models that never had a window need none."""
        return min(self._needed.values(), default=0)

    async def save(self) -> None:
        """Write everything."""
        await self.tick()
        with contextlib.suppress(_Abandoned):
            async with self._lock:
                self._ours()
                await self._write_verdicts()  # of what was scored since: the snapshot stands for it
                await self._save_cards()
                await self._snapshot()

    async def close(self) -> None:
        """Write everything, and take nothing in any more."""
        self._closed = True
        try:
            await self.save()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of everything: the partition is another's, who has the models as they were last written."""
        self._closed = self._abandoned = True
        self._room.set()
        self._thread.shutdown(wait=False)


def _pieces(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Cut entries where a row of the store is full."""
    part: list[Entry] = []
    size = 0
    for entry in entries:
        if part and (len(part) == ENTRIES_A_ROW or size + entry.size > BYTES_A_ROW):
            yield part
            part, size = [], 0
        part.append(entry)
        size += entry.size
    if part:
        yield part


def _score(engine: Engine, message: RollupMessage, offset: int) -> tuple[list[Verdict], bytes]:
    """Return the verdicts of a record of rollups, and the record that they become."""
    out: list[Verdict] = []
    for frame in frames_from_message(message):
        lane = "" if not frame.late else frame.entities[0]
        out += engine.step(frame, lane=lane, version=offset)
    return out, encode_verdicts(out)
