"""The hub: follows the log, encodes each message once, and offers it to everybody who wants it; nobody waits."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from api.live.channel import Channel, Entry, Member
from api.live.cursor import Positions, encode_cursor
from api.live.frames import text_frame
from api.live.history import History
from api.live.message import Filter, LiveMessage, kind_of
from log.base import Log, Record
from schemas.batch import decode_batch, may_define
from schemas.catalogue import Catalogue
from schemas.definitions import Definitions
from schemas.series import Series
from schemas.topics import ALERTS, ROLLUPS, SAMPLES, VERDICTS

logger = logging.getLogger("foreshock.api")

LIVE_TOPICS = (SAMPLES, ROLLUPS, VERDICTS, ALERTS)
HEARD_RECORDS = 16  # after so many, definitions are looked at that may be stored by now
HEARD_BACK = 10_000  # records, where a hub begins
# All channels together hold at most about this for subscribers that are behind; one alone at most CHANNEL_BYTES_MAX.
KEPT_BYTES_MAX = 256 << 20
CHANNEL_BYTES_MAX, CHANNEL_BYTES_MIN = 32 << 20, 128 << 10
WRITES_AT_ONCE = 200  # between two turns of everybody else
TAKEN_BYTES_AT_ONCE = 128 << 10
# With thousands of subscribers writing takes a while: pausing as long again, up to a limit, gathers several messages
# for one write, and leaves the loop to the others. With few it is nothing.
REST_SHARE, REST_S_MAX = 1.0, 0.15


class Hub:
    """``run`` it as a task; ``at`` is where it is on the log."""

    def __init__(
        self,
        log: Log,
        topics: dict[str, int],
        stored: Catalogue,
        now_s: Callable[[], float],
    ) -> None:
        """topics : name → partitions. stored : definitions. now_s : a clock that only rises."""
        self._log, self._topics, self._now_s = log, topics, now_s
        self._heard = Definitions(stored)
        self._heard_records = 0
        self.at: Positions = {}
        self.history = History(log, self._known, now_s)
        self._channels: dict[tuple, Channel] = {}
        # A page shows one entity: thousands of such channels are found by its name, the others are asked.
        self._named: dict[str, dict[Channel, None]] = {}
        self._patterned: dict[Channel, None] = {}
        self._news = asyncio.Event()
        self._writes = 0  # since others had their turn
        self._counted = Counter(live_undefined_samples=0)

    def _known(self, ids: np.ndarray) -> list[Series | None]:
        """Return the series of uint64[n] ids; one that nobody defined is None and counted."""
        named = self._heard.named(ids)
        self._counted["live_undefined_samples"] += sum(one is None for one in named)
        return named

    async def open(self, stored_until: Mapping[int, int]) -> None:
        """Begin at the end of the log, with the definitions of series that are on it and not stored.

        stored_until : by partition of the samples the log offset up to which definitions are in the store; none: no
            checkpoint says so. Of HEARD_BACK records at most they are looked for.
        """
        for topic, partitions in self._topics.items():
            for partition in range(partitions):
                end = (await self._log.offsets(topic, partition))[1]
                if topic == SAMPLES:
                    await self._hear_between(partition, stored_until.get(partition, -1) + 1, end)
                self.at[topic, partition] = (end, 0)

    async def _hear_between(self, partition: int, begin: int, end: int) -> None:
        at = max(begin, end - HEARD_BACK)
        while at < end and (records := await self._log.read(SAMPLES, partition, at)):
            for record in records:
                self._hear(record)
            at = records[-1].offset + 1
            await asyncio.sleep(0)

    async def run(self) -> None:
        delivering = asyncio.create_task(self._deliver())
        following = asyncio.create_task(self._follow())
        try:
            await asyncio.wait({delivering, following}, return_when=asyncio.FIRST_COMPLETED)
            for task in (delivering, following):
                if task.done():
                    task.result()
        finally:
            for task in (delivering, following):
                task.cancel()
            await asyncio.gather(delivering, following, return_exceptions=True)

    # -- from the log

    async def _follow(self) -> None:
        async for records in self._log.tail({key: offset for key, (offset, _) in self.at.items()}):
            for record in records:
                await self._take(record)
            await asyncio.sleep(0)

    async def _take(self, record: Record) -> None:
        key = (record.topic, record.partition)
        if (record.topic != SAMPLES or self._hear(record)) and self._wanted(record):
            self.history.remember(record)
            messages = self.history.messages(record)
            size = 0
            for number, message in enumerate(messages):
                more = number + 1 < len(messages)
                self.at[key] = (record.offset, messages[number + 1].row) if more else (record.offset + 1, 0)
                size += self._add(message)
                if size > TAKEN_BYTES_AT_ONCE:
                    size = 0
                    self._news.set()
                    await asyncio.sleep(0)
            self._news.set()
        self.at[key] = (record.offset + 1, 0)

    def _wanted(self, record: Record) -> bool:
        if not self._channels:
            return False
        try:
            kind = kind_of(record)
        except msgspec.MsgspecError:
            return True  # it is counted where it is read
        return any(channel.wanted.wants_type(*kind) for channel in self._channels.values())

    def _hear(self, record: Record) -> bool:
        """Note the definitions in a record of samples; return whether it could be read."""
        self._heard_records += 1
        if self._heard_records >= HEARD_RECORDS:
            self._heard_records = 0
            self._heard.let_go()
        if not may_define(record.value):
            return True
        try:
            series = decode_batch(record.value).series
        except (msgspec.MsgspecError, ValueError):
            self._counted["live_unreadable_records"] += 1
            return False
        self._heard.add(series)
        return True

    def _add(self, message: LiveMessage) -> int:
        """Put a message into every channel that wants it, the same bytes into all that show the same metrics."""
        cursor, entries, size = "", dict[tuple[str, ...], Entry | None](), 0
        for channel in (*self._named.get(message.entity, ()), *self._patterned):
            if not channel.members or not channel.wanted.wants(message):
                continue
            metrics = message.metrics_of(channel.wanted)
            if metrics not in entries:
                cursor = cursor or encode_cursor(self.at)
                text = message.text(metrics, cursor)
                if text is None:
                    entries[metrics] = None
                else:
                    frame = text_frame(text)
                    entries[metrics] = Entry(frame, cursor, message.type, message.entity, self._now_s())
                    self._counted["live_encoded"] += 1
                    size += len(frame)
            if (entry := entries[metrics]) is not None:
                channel.add(entry)
        return size

    # -- to the subscribers

    async def _deliver(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            began_s = self._now_s()
            room = max(CHANNEL_BYTES_MIN, min(CHANNEL_BYTES_MAX, KEPT_BYTES_MAX // max(1, len(self._channels))))
            for channel in list(self._channels.values()):
                if channel.waiting:
                    await self._flush(channel)
                    channel.trim(self._now_s(), room)
            await asyncio.sleep(min(REST_S_MAX, REST_SHARE * (self._now_s() - began_s)))

    async def _flush(self, channel: Channel) -> None:
        members = list(channel.members)
        for start, end, data in channel.pieces():
            for first in range(0, len(members), WRITES_AT_ONCE):
                some = members[first : first + WRITES_AT_ONCE]
                channel.offer(some, start, end, data)
                self._writes += len(some)
                if self._writes >= WRITES_AT_ONCE:
                    self._writes = 0
                    await asyncio.sleep(0)

    # -- subscriptions

    def channel(self, key: tuple) -> Channel:
        """Return the channel of a subscription, made when nobody has it yet; give it back with ``release``."""
        if key not in self._channels:
            self._channels[key] = made = Channel(Filter(*key), encode_cursor(self.at))
            for those in self._places(made):
                those[made] = None
        channel = self._channels[key]
        channel.users += 1
        return channel

    def release(self, key: tuple, member: Member | None) -> None:
        channel = self._channels[key]
        if member is not None:
            channel.leave(member)
        channel.users -= 1
        if not channel.users:
            del self._channels[key]
            for those in self._places(channel):
                those.pop(channel, None)
            for entity in channel.wanted.named:
                if not self._named[entity]:
                    del self._named[entity]
            self._count(channel)

    def _places(self, channel: Channel) -> list[dict[Channel, None]]:
        """Return where a channel is looked up."""
        if not channel.wanted.named:
            return [self._patterned]
        return [self._named.setdefault(entity, {}) for entity in channel.wanted.named]

    def _count(self, channel: Channel) -> None:
        self._counted["live_messages"] += channel.delivered
        self._counted["live_gaps"] += channel.gaps
        self._counted["live_missed"] += channel.missed
        channel.delivered = channel.gaps = channel.missed = 0

    @property
    def counters(self) -> dict[str, int]:
        for channel in self._channels.values():
            self._count(channel)
        unreadable = self._counted["live_unreadable_records"] + self.history.unreadable
        return {**self._counted, "live_unreadable_records": unreadable, "live_pieces": self.history.pieces_made}
