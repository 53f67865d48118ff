"""What everybody gets who subscribed to the same: messages encoded once, and how far each subscriber is.

A subscriber is a number: of the next message that it is to be sent. Messages are kept only while somebody is behind,
for LAG_S at the most; whoever falls further behind goes on with the newest, and a ``gap`` says what was left out.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, Protocol

import msgspec

from api.live.frames import text_frame
from api.live.message import Filter

PIECE_BYTES = 32 << 10  # written at once, the same bytes to everybody
LAG_S = 5.0  # so far behind, a subscriber goes on with what is at most FRESH_S old
FRESH_S = 1.0
ENTITIES_NAMED = 100
_OVERHEAD = 150  # bytes of memory a message costs beyond its text


class Entry(NamedTuple):
    """A message in a channel."""

    frame: bytes
    cursor: str  # where a subscriber is that has received it
    type: str
    entity: str
    at_s: float  # when it was taken from the log, on a clock that only rises


class Sink(Protocol):
    """Where a subscriber's frames go."""

    open: bool
    paused: bool

    def write(self, data: bytes, /) -> None: ...


class Missed:
    """What a subscriber was not sent: how many of which type, and of whom (at most ENTITIES_NAMED)."""

    def __init__(self, after: str) -> None:
        self.after, self.types = after, Counter[str]()
        self.entities: set[str] = set()
        self.more_entities = False

    def add(self, entry: Entry) -> None:
        self.types[entry.type] += 1
        if entry.entity not in self.entities:
            if len(self.entities) < ENTITIES_NAMED:
                self.entities.add(entry.entity)
            else:
                self.more_entities = True


class Member:
    """One subscriber of a channel."""

    __slots__ = ("missed", "next", "sink")

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.next = 0
        self.missed: Missed | None = None


class Channel:
    """``add`` what the log brings, ``flush`` it to everybody; ``pump`` one that was slow and can go on.

    Every message added after ``join`` is sent to the member exactly once, in order, or counted in one gap.
    """

    def __init__(self, wanted: Filter, cursor: str) -> None:
        """cursor : where the log is."""
        self.wanted = wanted
        self.users = 0  # connections that hold it, joined or still catching up
        self.members: dict[Member, None] = {}
        self.bytes = 0
        self.delivered = self.gaps = self.missed = 0
        self._entries: list[Entry] = []
        self._first = 0  # number of _entries[0]
        self._before = cursor  # the cursor of the message before it
        self._flushed = 0  # everybody was offered what is before

    @property
    def end(self) -> int:
        """The number of the message to come next."""
        return self._first + len(self._entries)

    @property
    def waiting(self) -> bool:
        return self._flushed < self.end

    def join(self, member: Member) -> None:
        """From now on the member is sent what is added."""
        member.next, member.missed = self.end, None
        self.members[member] = None

    def leave(self, member: Member) -> None:
        self.members.pop(member, None)

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self.bytes += len(entry.frame) + _OVERHEAD

    def pieces(self) -> list[tuple[int, int, bytes]]:
        """Return what nobody was offered yet as (first number, number behind, bytes), some PIECE_BYTES each."""
        out, start, size = [], max(self._flushed, self._first), 0
        for number in range(start, self.end):
            size += len(self._entries[number - self._first].frame)
            if size >= PIECE_BYTES or number + 1 == self.end:
                out.append((start, number + 1, self._joined(start, number + 1)))
                start, size = number + 1, 0
        self._flushed = self.end
        return out

    def _joined(self, start: int, end: int) -> bytes:
        return b"".join([entry.frame for entry in self._entries[start - self._first : end - self._first]])

    def offer(self, members: list[Member], start: int, end: int, data: bytes) -> None:
        """Write a piece to those that have everything before it; who is behind is sent what it lacks."""
        for member in members:
            sink = member.sink
            if sink.paused or not sink.open:
                continue
            if member.next == start:
                sink.write(data)
                member.next = end
                self.delivered += end - start
            elif member.next < end:
                self.pump(member)

    def pump(self, member: Member) -> None:
        """Send a member what it lacks, a gap first where it missed something, until it is slow again."""
        sink = member.sink
        while sink.open and not sink.paused and (member.missed is not None or member.next < self.end):
            if member.missed is not None:
                missed, member.missed = member.missed, None
                self.gaps += 1
                sink.write(gap_frame(missed, self._cursor_before(member.next)))
                continue
            number, size = member.next, 0
            while number < self.end and size < PIECE_BYTES:
                size += len(self._entries[number - self._first].frame)
                number += 1
            data = self._joined(member.next, number)
            self.delivered += number - member.next
            member.next = number
            sink.write(data)

    def _cursor_before(self, number: int) -> str:
        at = number - self._first - 1
        return self._entries[at].cursor if at >= 0 else self._before

    def trim(self, now_s: float, bytes_max: int) -> None:
        """Move those on that are too far behind, and forget what nobody needs.

        bytes_max : what the channel may hold. Over it, the oldest half goes, whoever lacks it.
        """
        if not self._entries:
            return
        if self._entries[0].at_s < now_s - LAG_S:
            tired, fresh = self._number_at(now_s - LAG_S), self._number_at(now_s - FRESH_S)
            for member in self.members:
                if member.next < tired:
                    self._skip(member, fresh)
        if self.bytes > bytes_max:
            middle, size = self._first, 0
            for entry in self._entries:
                if size > self.bytes // 2:
                    break
                size += len(entry.frame) + _OVERHEAD
                middle += 1
            for member in self.members:
                self._skip(member, middle)
        lowest = min((member.next for member in self.members), default=self.end)
        self._forget(min(lowest, self._flushed) if self.members else self.end)

    def _number_at(self, at_s: float) -> int:
        """Return the number of the first message that is not older."""
        number = self._first
        for entry in self._entries:
            if entry.at_s >= at_s:
                break
            number += 1
        return number

    def _skip(self, member: Member, until: int) -> None:
        if member.next >= until:
            return
        if member.missed is None:
            member.missed = Missed(self._cursor_before(member.next))
        for entry in self._entries[member.next - self._first : until - self._first]:
            member.missed.add(entry)
        self.missed += until - member.next
        member.next = until

    def _forget(self, until: int) -> None:
        count = until - self._first
        if count > 0:
            self._before = self._entries[count - 1].cursor
            self.bytes -= sum(len(entry.frame) + _OVERHEAD for entry in self._entries[:count])
            del self._entries[:count]
            self._first = until
            self._flushed = max(self._flushed, until)


def gap_frame(missed: Missed, cursor: str) -> bytes:
    """Return the message that names what was missed between two cursors."""
    body = {
        "type": "gap",
        "cursor": cursor,
        "after": missed.after,
        "missed": sum(missed.types.values()),
        "types": dict(missed.types),
        "entities": sorted(missed.entities),
        "why": "this subscriber read too slowly",
    }
    if missed.more_entities:
        body["more_entities"] = True
    return text_frame(msgspec.json.encode(body))
