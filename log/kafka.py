"""The log on a Kafka broker, for everything that is not an agent: appending, tailing, reading back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from log.base import Record
from log.kafka_options import KafkaOptions
from log.kafka_topics import BATCH_BYTES, FETCH_BYTES, RECORD_BYTES_MAX, prepare
from schemas.errors import SinkError, SourceError

READ_TIMEOUT_S = 10
ADMIN_ATTEMPTS, ADMIN_RETRY_S = 10, 1.0


class KafkaLog:
    """A log.base.Log on ``kafka://host:port,host:port``."""

    def __init__(self, url: str, options: KafkaOptions | None = None) -> None:
        self._servers = url.removeprefix("kafka://")
        self._options = options or KafkaOptions()
        self._producer: AIOKafkaProducer | None = None
        self._reader: AIOKafkaConsumer | None = None
        self._reading = asyncio.Lock()

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=500,
            **self._options.client(),
        )

    async def start(self) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            max_request_size=RECORD_BYTES_MAX,
            max_batch_size=BATCH_BYTES,
            compression_type="zstd",
            **self._options.client(),
        )
        self._reader = self._consumer()
        try:
            await self._producer.start()
            await self._reader.start()
        except KafkaError as error:
            await self.stop()
            raise SourceError(f"cannot reach broker kafka://{self._servers}: {error}") from error

    async def stop(self) -> None:
        for part in (self._producer, self._reader):
            if part is not None:
                with contextlib.suppress(KafkaError):
                    await part.stop()
        self._producer = self._reader = None

    async def drop_old(self, needed: Mapping[tuple[str, int], int], *, before_ms: int, bytes_max: int) -> int:
        return 0  # the topics' own retention does it

    async def create_topics(self, topics: Mapping[str, int]) -> None:
        """Make the topics that do not exist, and check those that do (log.kafka_topics); raises SinkError."""
        for left in reversed(range(ADMIN_ATTEMPTS)):
            admin = AIOKafkaAdminClient(bootstrap_servers=self._servers, **self._options.client())
            try:
                await admin.start()
                await prepare(admin, topics, self._options)
                return
            except KafkaError as error:
                if not left:
                    raise SinkError(f"cannot create topics at kafka://{self._servers}: {error}") from error
            finally:
                await admin.close()
            await asyncio.sleep(ADMIN_RETRY_S)  # one broker of several may be away

    async def append(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> int:
        assert self._producer is not None, "BUG: the log is not started"
        try:
            return (await self._producer.send_and_wait(topic, value, key, partition)).offset
        except KafkaError as error:
            raise SinkError(f"cannot append to {topic}: {type(error).__name__} {error}") from error

    async def offsets(self, topic: str, partition: int) -> tuple[int, int]:
        assert self._reader is not None, "BUG: the log is not started"
        tp = TopicPartition(topic, partition)
        try:
            begin = (await self._reader.beginning_offsets([tp]))[tp]
            return begin, (await self._reader.end_offsets([tp]))[tp]
        except KafkaError as error:
            raise SourceError(f"cannot read offsets of {topic}: {error}") from error

    async def read(self, topic: str, partition: int, offset: int, *, records_max: int = 500) -> list[Record]:
        assert self._reader is not None, "BUG: the log is not started"
        begin, end = await self.offsets(topic, partition)
        offset = max(offset, begin)
        if offset >= end:
            return []
        tp = TopicPartition(topic, partition)
        async with self._reading:
            self._reader.assign([tp])
            self._reader.seek(tp, offset)
            try:
                found = await self._reader.getmany(tp, timeout_ms=READ_TIMEOUT_S * 1000, max_records=records_max)
            except KafkaError as error:
                raise SourceError(f"cannot read {topic} from offset {offset}: {error}") from error
        if not found.get(tp):
            raise SourceError(f"cannot read {topic} from offset {offset}: no answer within {READ_TIMEOUT_S} s")
        return [record_of(one) for one in found[tp]]

    async def tail(self, positions: Mapping[tuple[str, int], int]) -> AsyncIterator[list[Record]]:
        consumer = self._consumer()
        await consumer.start()
        try:
            consumer.assign([TopicPartition(*key) for key in positions])
            for key, offset in positions.items():
                consumer.seek(TopicPartition(*key), offset)
            while True:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    if records:
                        yield [record_of(one) for one in records]
        finally:
            await consumer.stop()


def record_of(one: Any) -> Record:
    """Return an aiokafka record as ours."""
    return Record(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value or b"")
