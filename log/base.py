"""What the rest of the program knows of the log: append durably, read from an offset, wait for more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes


class Log(Protocol):
    """Two engines: the embedded log (log.embedded.EmbeddedLog) and Kafka (log.kafka.KafkaLog)."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def create_topics(self, topics: Mapping[str, int]) -> None:
        """Make the topics that do not exist, name → partitions."""

    async def append(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> int:
        """Return the record's offset once it is durable; raises SinkError."""

    async def read(self, topic: str, partition: int, offset: int, *, records_max: int = 500) -> list[Record]:
        """Return records from ``offset`` on, at once; empty at the end. An offset before the begin starts there."""

    async def offsets(self, topic: str, partition: int) -> tuple[int, int]:
        """Return (begin, end): the oldest offset kept and the next to be written."""

    async def drop_old(self, needed: Mapping[tuple[str, int], int], *, before_ms: int, bytes_max: int) -> int:
        """Remove what is older, or too much, and that nobody needs (log.retention); return how many records.

        needed : (topic, partition) → the lowest offset that is still needed; what is not named is kept whole. A broker
        does this by itself, so Kafka's returns 0.
        """

    def tail(self, positions: Mapping[tuple[str, int], int]) -> AsyncIterator[list[Record]]:
        """Yield lists of records of any of the partitions as they come, from the given offsets on, for ever."""
