"""The log between a cursor and the present, in pieces that are made once for all who ask for the same.

After a restart thousands come back at once with the same few cursors: the first has a piece read and encoded, the
others are given it. Pieces and records are kept while there is room, so memory is bounded whoever asks for what.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from api.live.cursor import Positions, encode_cursor
from api.live.frames import text_frame
from api.live.message import Filter, LiveMessage, kind_of, messages_of
from log.base import Log, Record
from schemas.catalogue import Named

PIECE_BYTES = 64 << 10
PIECES_BYTES_MAX = 64 << 20
RECORDS_BYTES_MAX = 48 << 20
READ_RECORDS = 32
SCANNED_MAX = 200  # records a piece is made of, so that others get their turn
HELD_S = 1.0
_MEMORY_A_BYTE = 4  # a record's messages take about so many times its bytes


class Piece(NamedTuple):
    frames: bytes
    messages: int
    to: Positions


class _Kept:
    """A record, and its messages once somebody wanted any."""

    __slots__ = ("messages", "record")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.messages: list[LiveMessage] | None = None


class History:
    """``piece`` by piece from any cursor; what went by lately is remembered."""

    def __init__(self, log: Log, named: Named, now_s: Callable[[], float]) -> None:
        """named : ids → series."""
        self._log, self._named, self._now_s = log, named, now_s
        self._held: dict[tuple[str, int], tuple[int, int]] = {}
        self._held_at_s = float("-inf")
        self._records: OrderedDict[tuple[str, int, int], _Kept] = OrderedDict()
        self._records_bytes = 0
        self._pieces: OrderedDict[tuple[tuple, str], Piece] = OrderedDict()
        self._pieces_bytes = 0
        self._under_way: dict[tuple[tuple, str], asyncio.Future[None]] = {}
        self._reading = asyncio.Lock()
        self.unreadable = self.pieces_made = 0

    def remember(self, record: Record) -> None:
        """Keep a record that was just read, so that those who are nearly there need not read it again."""
        key = (record.topic, record.partition, record.offset)
        if key not in self._records:
            self._records[key] = _Kept(record)
            self._records_bytes += _weight(record)
            while self._records_bytes > RECORDS_BYTES_MAX and len(self._records) > 1:
                self._records_bytes -= _weight(self._records.popitem(last=False)[1].record)

    def messages(self, record: Record) -> list[LiveMessage]:
        """Return a record's messages; an unreadable record has none and is counted."""
        kept = self._records.get((record.topic, record.partition, record.offset))
        if kept is not None and kept.messages is not None:
            return kept.messages
        try:
            messages = messages_of(record, self._named)
        except (msgspec.MsgspecError, ValueError):
            self.unreadable += 1
            messages = []
        if kept is not None:
            kept.messages = messages
        return messages

    async def _at(self, topic: str, partition: int, offset: int) -> Record | None:
        """Return the first record from an offset on, None where there is none yet."""
        if (kept := self._records.get((topic, partition, offset))) is not None:
            return kept.record
        async with self._reading:
            if (kept := self._records.get((topic, partition, offset))) is not None:
                return kept.record
            records = await self._log.read(topic, partition, offset, records_max=READ_RECORDS)
            for record in reversed(records):  # the first, which is wanted now, goes last
                self.remember(record)
        return records[0] if records else None

    async def held(self, keys: list[tuple[str, int]], *, now: bool = False) -> dict[tuple[str, int], tuple[int, int]]:
        """Return (begin, end) of each topic and partition on the log, as of now or HELD_S ago at the most."""
        async with self._reading:
            if now or self._now_s() - self._held_at_s > HELD_S:
                self._held = {key: await self._log.offsets(*key) for key in keys}
                self._held_at_s = self._now_s()
        return self._held

    async def piece(self, wanted: Filter, at: Positions, until: Positions) -> Piece:
        """Return what follows on ``at``, at most to ``until``. Where the piece is empty, ``to`` may still be further.

        Raises SourceError.
        """
        key = (wanted.key, encode_cursor(at))
        while True:
            if (piece := self._pieces.get(key)) is not None:
                self._pieces.move_to_end(key)
                return piece
            if (under_way := self._under_way.get(key)) is None:
                break
            await asyncio.wait({under_way})
            if (error := under_way.exception()) is not None:
                raise error
        future = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            piece = await self._make(wanted, dict(at), until)
        except Exception as error:
            future.set_exception(error)
            future.exception()  # nobody may be waiting
            raise
        finally:  # cancelled: the next one makes it
            del self._under_way[key]
            if not future.done():
                future.set_result(None)
        self._keep(key, piece)
        return piece

    def _keep(self, key: tuple[tuple, str], piece: Piece) -> None:
        self._pieces[key] = piece
        self._pieces_bytes += len(piece.frames) + 1000
        while self._pieces_bytes > PIECES_BYTES_MAX:
            self._pieces_bytes -= len(self._pieces.popitem(last=False)[1].frames) + 1000

    async def _make(self, wanted: Filter, at: Positions, until: Positions) -> Piece:
        self.pieces_made += 1
        frames: list[bytes] = []
        size = scanned = 0
        for key in at:
            while at[key] < until[key] and size < PIECE_BYTES and scanned < SCANNED_MAX:
                record = await self._at(*key, at[key][0])
                if record is None or (record.offset, 0) >= until[key]:
                    at[key] = until[key]  # removed by retention in the meantime
                    break
                scanned += 1
                if record.offset > at[key][0]:
                    at[key] = (record.offset, 0)
                if not self._wanted(wanted, record):
                    at[key] = min((record.offset + 1, 0), until[key])
                    continue
                size += self._take(wanted, record, at, until[key], frames)
        return Piece(b"".join(frames), len(frames), at)

    def _wanted(self, wanted: Filter, record: Record) -> bool:
        try:
            return wanted.wants_type(*kind_of(record))
        except msgspec.MsgspecError:
            return True  # ``messages`` counts it

    def _take(self, wanted: Filter, record: Record, at: Positions, until: tuple[int, int], frames: list[bytes]) -> int:
        """Append the frames of a record's messages between two positions, ``at`` moving along; return their size."""
        key, size, begin = (record.topic, record.partition), 0, at[record.topic, record.partition][1]
        messages = self.messages(record)
        rows = [message.row for message in messages[1:]]
        behind = [(record.offset, row) for row in rows] + [(record.offset + 1, 0)]
        for message, to in zip(messages, behind, strict=False):  # a record may say nothing
            if message.row < begin:
                continue
            if (record.offset, message.row) >= until or size >= PIECE_BYTES:
                return size
            at[key] = to
            if wanted.wants(message):
                text = message.text(message.metrics_of(wanted), encode_cursor(at))
                if text is not None:
                    frames.append(text_frame(text))
                    size += len(frames[-1])
        at[key] = min((record.offset + 1, 0), until)
        return size


def _weight(record: Record) -> int:
    return len(record.value) * _MEMORY_A_BYTE + 500
