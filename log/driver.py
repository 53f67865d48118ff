"""The embedded log as a Faust transport: one worker a folder, so it owns every partition.

Where a partition is read from is asked of ``app.foreshock_positions(topic, partition)`` if the app has it (a coroutine;
None means the group's committed offset): the checkpoint in the store knows better than the broker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

from faust.transport import base
from faust.types import TP
from faust.types.tuples import FutureMessage, RecordMetadata

from log.base import Record
from log.embedded import EmbeddedLog
from log.fetch import Fetch, FetchConsumer, fetch_message

_LINGER_S = 0.03  # a few records are worth waiting for more: a fetch costs far more than a record in it
_LINGERED_RECORDS = 32


class Consumer(FetchConsumer, base.Consumer):
    """Reads the log by position; a message is a Fetch, its offset the last record's."""

    transport: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._log: EmbeddedLog = self.transport.log
        self._positions: dict[TP, int] = {}
        self._rebalance: asyncio.Task | None = None
        self._event = self._log.waiter()

    @property
    def _group(self) -> str:
        return self.app.conf.id

    async def on_stop(self) -> None:
        await super().on_stop()
        self._log.forget(self._event)

    async def create_topic(self, topic: str, partitions: int, replication: int, **_: Any) -> None:
        self._log.create_topic(topic, partitions)

    async def subscribe(self, topics: Iterable[str]) -> None:
        # Inside subscribe the rebalance would wait for itself.
        self._rebalance = asyncio.create_task(self._assign(set(topics)))

    async def _assign(self, topics: set[str]) -> None:
        existing = self._log.topics()
        assigned = {TP(t, p) for t in topics & existing.keys() for p in range(existing[t])}
        self.app.on_rebalance_start()
        await self.on_partitions_revoked(set(self._positions))
        self._positions = dict.fromkeys(assigned, 0)
        assignor: Any = self.app.assignor
        assignor._assignment.actives = {t: list(range(existing[t])) for t in topics & existing.keys()}
        self.app.consumer_generation_id += 1
        await self.on_partitions_assigned(assigned, self.app.consumer_generation_id)
        self._event.set()

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    def assignment(self) -> set[TP]:
        return set(self._positions)

    def topic_partitions(self, topic: str) -> int | None:
        return self._log.topics().get(topic)

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        return partition if partition is not None else 0

    async def seek_to_committed(self) -> Mapping[TP, int]:
        ask = getattr(self.app, "foreshock_positions", None)
        for tp in self._positions:
            position = await ask(tp.topic, tp.partition) if ask else None
            if position is None:
                position = self._log.committed(self._group, tp.topic, tp.partition) or 0
            self._positions[tp] = position
        return dict(self._positions)

    async def _seek(self, partition: TP, offset: int) -> None:
        self._positions[partition] = offset

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        for tp, offset in partitions.items():
            self._positions[tp] = offset
            # One below: a fetch's offset is its last record's, never less than where it began.
            self._read_offset[tp] = offset - 1 if offset > 0 else None

    async def position(self, tp: TP) -> int | None:
        return self._positions.get(tp)

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        return {tp: self._log.offsets_now(tp.topic, tp.partition)[0] for tp in partitions}

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        return {tp: self.highwater(tp) for tp in partitions}

    def highwater(self, tp: TP) -> int:
        return self._log.offsets_now(tp.topic, tp.partition)[1]

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        for tp, offset in offsets.items():
            self._log.commit(self._group, tp.topic, tp.partition, offset)
        return True

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> dict[TP, list[Record]]:
        wanted = self._positions.keys() if active_partitions is None else active_partitions & self._positions.keys()
        end, lingered = monotonic() + timeout, False
        while True:
            self._event.clear()
            waiting = sum(max(0, self.highwater(tp) - at) for tp, at in self._positions.items() if tp in wanted)
            if 0 < waiting < _LINGERED_RECORDS and not lingered:
                lingered = True
                await asyncio.sleep(_LINGER_S)
                continue
            if waiting or self.should_stop or monotonic() >= end:
                return self._fetched(list(wanted))
            try:
                await asyncio.wait_for(self._event.wait(), max(0.001, end - monotonic()))
            except TimeoutError:
                return {}

    def _fetched(self, wanted: list[TP]) -> dict[TP, list[Any]]:
        out: dict[TP, list[Any]] = {}
        for tp in wanted:
            if tp not in self._positions:  # revoked meanwhile
                continue
            if records := self._log.read_now(tp.topic, tp.partition, self._positions[tp]):
                self._positions[tp] = records[-1].offset + 1
                out[tp] = [Fetch(records)]
        return out

    def _to_message(self, tp: TP, record: Any) -> Any:
        return fetch_message(self.app, tp, record)


class Producer(base.Producer):
    """Appends at once; a returned offset is durable."""

    transport: Any

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,
    ) -> Any:
        done: asyncio.Future = asyncio.get_running_loop().create_future()
        offset = self.transport.log.append_now(topic, partition or 0, value or b"", key)
        tp = TP(topic, partition or 0)
        done.set_result(RecordMetadata(topic, tp.partition, tp, offset, timestamp, 0))
        return done

    async def send_and_wait(self, *args: Any, **kwargs: Any) -> Any:
        return await (await self.send(*args, **kwargs))

    def send_soon(self, fut: FutureMessage) -> None:
        self.buffer.put(fut)

    async def flush(self) -> None:
        return None

    async def create_topic(self, topic: str, partitions: int, replication: int, **_: Any) -> None:
        self.transport.log.create_topic(topic, partitions)

    def key_partition(self, topic: str, key: bytes | None) -> TP:
        return TP(topic, 0)

    def supports_headers(self) -> bool:
        return False


class Transport(base.Transport):
    """``embedded:///DIR``."""

    Consumer = Consumer
    Producer = Producer
    default_port = 0
    driver_version = "foreshock-embedded"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.log = EmbeddedLog.shared(self.url[0].path)
        self.log.open()
