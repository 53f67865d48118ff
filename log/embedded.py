"""The embedded log: append-only segment files with a checksum a record, SQLite for topics and group offsets.

A record is durable against kill -9 once ``append`` returned (it was written to the kernel), and against power loss as
well with ``fsync=True``. A record torn by a crash is cut off when the log is opened; it had not been acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import struct
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from itertools import islice
from pathlib import Path
from typing import ClassVar

from log.base import Record
from log.lock import lock
from log.retention import Filled, Place, unneeded
from schemas.errors import SinkError, SourceError

# length of key and value, CRC-32 of what follows it, epoch ms, key length (-1: no key)
_HEADER = struct.Struct("<IIqi")
_AFTER_CRC = struct.Struct("<qi")
SEGMENT_BYTES = 64 * 1024 * 1024
RECORD_BYTES_MAX = 64 * 1024 * 1024
_INDEX_EVERY = 64
RECENT_BYTES, RECENT_RECORDS = 2 << 20, 256  # of a partition: who follows the log reads them without the file


class _Segment:
    """One file; ``marks[i]`` is the file position of record ``base + i * _INDEX_EVERY``."""

    def __init__(self, path: Path, base: int) -> None:
        self.path, self.base, self.count, self.size = path, base, 0, 0
        self.marks: list[int] = []

    def note(self, position: int, size: int) -> None:
        if self.count % _INDEX_EVERY == 0:
            self.marks.append(position)
        self.count += 1
        self.size = position + size


class _Partition:
    """The segments of one topic partition, oldest first; the last one is written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.segments = [_Segment(p, int(p.stem)) for p in sorted(folder.glob("*.log"))]
        self._file: int | None = None
        self._recent: deque[tuple[int, int, bytes | None, bytes]] = deque()  # offset, epoch ms, key, value
        self._recent_bytes = 0
        for index, segment in enumerate(self.segments):
            self._scan(segment, last=index == len(self.segments) - 1)
        if not self.segments:
            self._roll(0)
        else:
            self._file = os.open(self.segments[-1].path, os.O_RDWR | os.O_APPEND)

    @property
    def begin(self) -> int:
        return self.segments[0].base

    @property
    def end(self) -> int:
        return self.segments[-1].base + self.segments[-1].count

    def _roll(self, base: int) -> None:
        if self._file is not None:
            os.close(self._file)
        segment = _Segment(self.folder / f"{base:020d}.log", base)
        self._file = os.open(segment.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self.segments.append(segment)

    def _scan(self, segment: _Segment, *, last: bool) -> None:
        """Index a segment; cut a torn tail off the last one."""
        data = segment.path.read_bytes()
        position = 0
        while size := _whole_record(data, position):
            segment.note(position, size)
            position += size
        if position != len(data):
            if not last:
                raise SourceError(f"cannot read {segment.path}: damaged at byte {position}; restore it from a copy")
            os.truncate(segment.path, position)

    def append(self, at_ms: int, key: bytes | None, value: bytes, *, fsync: bool) -> int:
        body = (key or b"") + value
        after = _AFTER_CRC.pack(at_ms, -1 if key is None else len(key))
        crc = zlib.crc32(body, zlib.crc32(after))
        data = struct.pack("<II", len(body), crc) + after + body
        if self.segments[-1].size + len(data) > SEGMENT_BYTES and self.segments[-1].count:
            self._roll(self.end)
        segment, position = self.segments[-1], self.segments[-1].size
        assert self._file is not None
        try:
            written = os.write(self._file, data)
            if written != len(data):
                raise OSError(f"wrote {written} of {len(data)} bytes")
            if fsync:
                os.fdatasync(self._file)
        except OSError as error:
            os.ftruncate(self._file, position)
            raise SinkError(f"cannot append to {segment.path}: {error}; is the disk full?") from error
        segment.note(position, len(data))
        self._remember((self.end - 1, at_ms, key, value))
        return self.end - 1

    def _remember(self, record: tuple[int, int, bytes | None, bytes]) -> None:
        self._recent.append(record)
        self._recent_bytes += len(record[3])
        while self._recent and (self._recent_bytes > RECENT_BYTES or len(self._recent) > RECENT_RECORDS):
            self._recent_bytes -= len(self._recent.popleft()[3])

    def read(self, topic: str, number: int, offset: int, records_max: int, bytes_max: int) -> list[Record]:
        offset = max(offset, self.begin)
        out: list[Record] = []
        if self._recent and offset >= self._recent[0][0]:
            for at, at_ms, key, value in islice(self._recent, offset - self._recent[0][0], None):
                if len(out) >= records_max or bytes_max <= 0:
                    break
                out.append(Record(topic, number, at, at_ms, key, value))
                bytes_max -= len(key or b"") + len(value)
            return out
        for segment in self.segments:
            if offset >= segment.base + segment.count or len(out) >= records_max or bytes_max <= 0:
                continue
            index = (offset - segment.base) // _INDEX_EVERY
            current, start = segment.base + index * _INDEX_EVERY, segment.marks[index]
            with segment.path.open("rb") as file:
                file.seek(start)
                while current < segment.base + segment.count and len(out) < records_max and bytes_max > 0:
                    length, _, at_ms, key_length = _HEADER.unpack(file.read(_HEADER.size))
                    if current < offset:
                        file.seek(length, os.SEEK_CUR)
                    else:
                        body = file.read(length)
                        key = None if key_length < 0 else body[:key_length]
                        value = body if key_length < 0 else body[key_length:]
                        out.append(Record(topic, number, current, at_ms, key, value))
                        bytes_max -= length
                    current += 1
            offset = current
        return out

    def filled(self, place: Place) -> list[Filled]:
        """Return the segments that are not written to any more, oldest first."""
        return [
            Filled(place, one.base, one.base + one.count, one.size, int(one.path.stat().st_mtime * 1000))
            for one in self.segments[:-1]
        ]

    def trim(self, before: int) -> int:
        """Remove whole segments whose records are all below an offset; return how many records those were."""
        removed = 0
        while len(self.segments) > 1 and self.segments[1].base <= before:
            gone = self.segments.pop(0)
            gone.path.unlink()
            removed += gone.count
        return removed

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _whole_record(data: bytes, position: int) -> int:
    """Return the size of the whole, undamaged record at ``position``, 0 where there is none."""
    if len(data) - position < _HEADER.size:
        return 0
    length, crc, _, key_length = _HEADER.unpack_from(data, position)
    end = position + _HEADER.size + length
    if end > len(data) or length > RECORD_BYTES_MAX or key_length > length:
        return 0
    return end - position if zlib.crc32(memoryview(data)[position + 8 : end]) == crc else 0


class EmbeddedLog:
    """A log.base.Log in one folder; one process a folder. All calls from one thread, the event loop's."""

    _shared: ClassVar[dict[str, EmbeddedLog]] = {}

    def __init__(self, folder: str, *, fsync: bool = False) -> None:
        self.folder, self._fsync = Path(folder), fsync
        self._partitions: dict[str, list[_Partition]] = {}
        self._waiters: set[asyncio.Event] = set()
        self._lock_file: int | None = None
        self._database: sqlite3.Connection | None = None

    @classmethod
    def shared(cls, folder: str) -> EmbeddedLog:
        """Return this process's one log of a folder, so that the Faust driver and the rest write through the same."""
        return cls._shared.setdefault(str(Path(folder).resolve()), cls(folder))

    def open(self) -> None:
        """Lock the folder, read its index; does nothing when open. Raises DataFolderInUse."""
        if self._database is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock_file = lock(self.folder)
        self._database = sqlite3.connect(self.folder / "meta.sqlite", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS topics (name TEXT PRIMARY KEY, partitions INTEGER)")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS offsets (grp TEXT, topic TEXT, partition INTEGER, offset INTEGER,"
            " PRIMARY KEY (grp, topic, partition))"
        )
        for name, count in self._database.execute("SELECT name, partitions FROM topics").fetchall():
            self._open_topic(name, count)

    def close(self) -> None:
        for partitions in self._partitions.values():
            for partition in partitions:
                partition.close()
        self._partitions.clear()
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None
        self._shared.pop(str(self.folder.resolve()), None)

    async def start(self) -> None:
        self.open()

    async def stop(self) -> None:
        self.close()

    def _open_topic(self, name: str, count: int) -> None:
        # Topic names are ours, but a name is still never a path.
        safe = "".join(c if c.isalnum() or c in "._-" else f"%{ord(c):x}" for c in name).lstrip(".")
        self._partitions[name] = [_Partition(self.folder / safe / str(number)) for number in range(count)]

    async def create_topics(self, topics: Mapping[str, int]) -> None:
        for name, count in topics.items():
            self.create_topic(name, count)

    def create_topic(self, name: str, count: int) -> None:
        """Make a topic; an existing one keeps its partitions."""
        assert self._database is not None, "BUG: the log is not open"
        if name not in self._partitions:
            self._database.execute("INSERT INTO topics VALUES (?, ?)", (name, count))
            self._open_topic(name, count)

    def topics(self) -> dict[str, int]:
        return {name: len(partitions) for name, partitions in self._partitions.items()}

    def _partition(self, topic: str, partition: int) -> _Partition:
        try:
            return self._partitions[topic][partition]
        except (KeyError, IndexError) as error:
            raise SourceError(f"cannot find topic {topic!r} partition {partition} in {self.folder}") from error

    def append_now(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> int:
        """Return the new record's offset; it is durable. Raises SinkError."""
        if len(value) + len(key or b"") > RECORD_BYTES_MAX:
            raise SinkError(f"cannot append {len(value)} bytes to {topic}: a record has at most {RECORD_BYTES_MAX}")
        offset = self._partition(topic, partition).append(time.time_ns() // 1_000_000, key, value, fsync=self._fsync)
        for waiter in self._waiters:
            waiter.set()
        return offset

    async def append(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> int:
        return self.append_now(topic, partition, value, key)

    def read_now(
        self, topic: str, partition: int, offset: int, *, records_max: int = 500, bytes_max: int = 16 << 20
    ) -> list[Record]:
        return self._partition(topic, partition).read(topic, partition, offset, records_max, bytes_max)

    async def read(self, topic: str, partition: int, offset: int, *, records_max: int = 500) -> list[Record]:
        return self.read_now(topic, partition, offset, records_max=records_max)

    def offsets_now(self, topic: str, partition: int) -> tuple[int, int]:
        found = self._partition(topic, partition)
        return found.begin, found.end

    async def offsets(self, topic: str, partition: int) -> tuple[int, int]:
        return self.offsets_now(topic, partition)

    def waiter(self) -> asyncio.Event:
        """Return an event that every append sets; give it back with ``forget``."""
        event = asyncio.Event()
        self._waiters.add(event)
        return event

    def forget(self, event: asyncio.Event) -> None:
        self._waiters.discard(event)

    async def tail(self, positions: Mapping[tuple[str, int], int]) -> AsyncIterator[list[Record]]:
        at = dict(positions)
        event = self.waiter()
        try:
            while True:
                event.clear()
                found = False
                for (topic, partition), offset in list(at.items()):
                    if records := self.read_now(topic, partition, offset):
                        found = True
                        at[topic, partition] = records[-1].offset + 1
                        yield records
                if not found:
                    await event.wait()
        finally:
            self.forget(event)

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        assert self._database is not None, "BUG: the log is not open"
        self._database.execute("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?)", (group, topic, partition, offset))

    def committed(self, group: str, topic: str, partition: int) -> int | None:
        assert self._database is not None, "BUG: the log is not open"
        row = self._database.execute(
            "SELECT offset FROM offsets WHERE grp = ? AND topic = ? AND partition = ?", (group, topic, partition)
        ).fetchone()
        return None if row is None else int(row[0])

    def trim(self, topic: str, partition: int, before_offset: int) -> int:
        """Remove whole segments whose records are all below ``before_offset``; return how many records those were."""
        return self._partition(topic, partition).trim(before_offset)

    async def drop_old(self, needed: Mapping[Place, int], *, before_ms: int, bytes_max: int) -> int:
        places = {(topic, n): one for topic, those in self._partitions.items() for n, one in enumerate(those)}
        over = sum(segment.size for one in places.values() for segment in one.segments) - bytes_max
        filled = [segment for place, one in places.items() for segment in one.filled(place)]
        gone = unneeded(filled, needed, before_ms=before_ms, bytes_over=over)
        return sum(places[place].trim(offset) for place, offset in gone.items())
