"""The hub: follows the log and hands each message to everybody who wants it; the slow lose messages, nobody waits."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable

import msgspec

from api.live.cursor import Positions, encode_cursor
from api.live.message import Filter, LiveMessage, messages_of
from log.base import Log, Record
from schemas.batch import decode_batch, may_define
from schemas.series import Series
from schemas.topics import ALERTS, ROLLUPS, SAMPLES, VERDICTS

logger = logging.getLogger("foreshock.api")

LIVE_TOPICS = (SAMPLES, ROLLUPS, VERDICTS, ALERTS)
HEARD_MAX = 100_000
QUEUE_MESSAGES_MAX = 2000
QUEUE_CHARACTERS_MAX = 8_000_000


class Subscriber:
    """A bounded queue of encoded messages. When it is full the oldest half goes, and a gap says so."""

    def __init__(self, wanted: Filter) -> None:
        self.wanted = wanted
        self.ready = asyncio.Event()
        self._queue: deque[str] = deque()
        self._characters = 0
        self._missed = 0

    def put(self, text: str) -> None:
        self._queue.append(text)
        self._characters += len(text)
        if len(self._queue) > QUEUE_MESSAGES_MAX or self._characters > QUEUE_CHARACTERS_MAX:
            for _ in range((len(self._queue) + 1) // 2):
                self._characters -= len(self._queue.popleft())
                self._missed += 1
        self.ready.set()

    def take(self) -> tuple[int, list[str]]:
        """Return how many messages were lost since the last call, and those that wait."""
        self.ready.clear()
        missed, waiting = self._missed, list(self._queue)
        self._missed, self._characters = 0, 0
        self._queue.clear()
        return missed, waiting


class Hub:
    """``run`` it as a task; ``at`` is where it is on the log."""

    def __init__(self, log: Log, topics: dict[str, int], lookup: Callable[[int], Series | None]) -> None:
        """topics : name → partitions. lookup : series id → its definition, None for one never heard of."""
        self._log, self._topics, self._stored = log, topics, lookup
        self._heard: dict[int, Series] = {}  # definitions that went by and may not be stored yet
        self.at: Positions = {}
        self._filters: dict[tuple, Filter] = {}
        self._subscribers: dict[Filter, set[Subscriber]] = {}
        self.counters: Counter[str] = Counter()

    def _lookup(self, series_id: int) -> Series | None:
        return self._stored(series_id) or self._heard.get(series_id)

    def _hear(self, record: Record) -> None:
        if len(self._heard) > HEARD_MAX:
            self._heard = {i: s for i, s in self._heard.items() if self._stored(i) is None}
        self._heard.update((series.series_id, series) for series in decode_batch(record.value).series)

    async def open(self) -> None:
        for topic, partitions in self._topics.items():
            for partition in range(partitions):
                self.at[topic, partition] = (await self._log.offsets(topic, partition))[1]

    async def run(self) -> None:
        async for records in self._log.tail(dict(self.at)):
            for record in records:
                self._take(record)
            await asyncio.sleep(0)

    def _take(self, record: Record) -> None:
        self.at[record.topic, record.partition] = record.offset + 1
        for message in self.messages(record, self.at):
            for wanted, subscribers in self._subscribers.items():
                if wanted.wants(message) and (text := message.text(wanted)) is not None:
                    self.counters["live_messages"] += len(subscribers)
                    for subscriber in subscribers:
                        subscriber.put(text)

    def messages(self, record: Record, at: Positions) -> list[LiveMessage]:
        """Return a record's messages with the cursor behind it; an unreadable one is counted."""
        try:
            if record.topic == SAMPLES and may_define(record.value):
                self._hear(record)
            if not self._subscribers and at is self.at:
                return []
            return list(messages_of(record, encode_cursor(at), self._lookup))
        except (msgspec.MsgspecError, ValueError):
            self.counters["unreadable_records"] += 1
            return []

    def filter(self, key: tuple) -> Filter:
        if key not in self._filters:
            self._filters[key] = Filter(*key)
        return self._filters[key]

    def join(self, subscriber: Subscriber) -> None:
        self._subscribers.setdefault(subscriber.wanted, set()).add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Let a subscriber go, its filter too when nobody else wants the same."""
        those = self._subscribers.get(subscriber.wanted, set())
        those.discard(subscriber)
        if not those:
            self._subscribers.pop(subscriber.wanted, None)
            self._filters = {key: f for key, f in self._filters.items() if f is not subscriber.wanted}

    @property
    def subscriber_count(self) -> int:
        return sum(len(those) for those in self._subscribers.values())
