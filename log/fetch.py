"""A fetch at a time: Faust pays some 120 µs a message, so a message is all the records a partition had to give."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import faust
from faust.types import TP, Message

from log.base import Record

# Of a partition, handed over before the first of them is taken in.
WAITING_BYTES, WAITING_FETCHES = 4 << 20, 16


class Fetch(NamedTuple):
    """The value of a Faust message on our transports: consecutive records of one partition, never empty."""

    records: list[Record]

    @property
    def nbytes(self) -> int:
        return sum(len(record.value) for record in self.records)


class FetchConsumer:
    """What Faust's consumers are to know of fetches, as a base beside them.

    A fetch's offset is its last record's: those before it are no gap that would have to be kept in mind. An agent
    works on one fetch at a time, so the last that was acknowledged stands for all before it.

    No more is handed over than WAITING_BYTES and WAITING_FETCHES a partition, or one fetch: Faust itself lets 4,096 of
    them wait, of a mebibyte each, and then stops all partitions where one agent waits.

    When records come while partitions move, Faust goes back to where it began, beside whoever resumes and so after it;
    here what came is left out, and read again once there is an assignment.
    """

    app: Any
    flow_active: bool
    can_resume_flow: Any
    _acked: Any
    _acked_index: Any
    _read_offset: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._handed: dict[TP, dict[int, int]] = defaultdict(dict)  # partition → offset of a fetch → its bytes
        self._left_out: set[TP] = set()
        self._some_taken_in = asyncio.Event()
        super().__init__(*args, **kwargs)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        this: Any = self
        if not self.flow_active:
            await this.wait(self.can_resume_flow)
        if self._left_out and not await self._read_again():
            return
        self._some_taken_in.clear()
        active = this._get_active_partitions()
        wanted = {tp for tp in active if self._has_room(tp)}
        if not wanted:
            await this.wait(self._some_taken_in, timeout=timeout)
            return
        for tp, fetches in (await this._getmany(active_partitions=wanted, timeout=timeout)).items():
            for fetch in fetches:
                if this.should_stop:
                    return
                if not self.flow_active or tp not in active:
                    self._left_out.add(tp)
                    continue
                message = this._to_message(tp, fetch)
                self._handed[tp][message.offset] = fetch.nbytes
                yield tp, message

    def _has_room(self, tp: TP) -> bool:
        handed = self._handed[tp]
        return len(handed) < WAITING_FETCHES and sum(handed.values()) < WAITING_BYTES

    async def _read_again(self) -> bool:
        """Go to where the fetches that were left out begin, in partitions that are still ours; whether that is done."""
        this: Any = self
        tps, self._left_out = self._left_out & this.assignment(), set()
        if positions := {tp: (self._read_offset[tp] or -1) + 1 for tp in tps}:
            if not self.flow_active:  # they move once more: whoever resumes goes to where they begin
                return False
            await this.seek_wait(positions)
            for tp, position in positions.items():
                self._read_offset[tp] = position - 1 if position > 0 else None
        return True

    def taken_in(self, fetch: Fetch) -> None:
        """To be told by an agent when it is done with a fetch."""
        last = fetch.records[-1]
        self._handed[TP(last.topic, last.partition)].pop(last.offset, None)
        self._some_taken_in.set()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._handed.clear()  # what waited in queues was thrown away
        self._some_taken_in.set()
        this: Any = super()
        await this.on_partitions_assigned(assigned, generation_id)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        return None

    def _new_offset(self, tp: TP) -> int | None:
        if not (acked := self._acked[tp]):
            return None
        offset = max(acked) + 1
        acked.clear()
        self._acked_index[tp].clear()
        return offset


def fetch_message(app: Any, tp: TP, fetch: Any) -> Message:
    """Return the Faust message of a fetch; its offset is the last record's."""
    last = fetch.records[-1]
    at_s, generation = last.timestamp_ms / 1000, app.consumer_generation_id
    return Message(
        tp.topic, tp.partition, last.offset, at_s, 0, {}, None, fetch, None, 0, 0, tp, generation_id=generation
    )


def fetch_topic(app: faust.App, name: str, partitions: int) -> Any:
    """Return the Faust topic whose agents receive a ``Fetch`` a message, unchanged by any codec."""
    return app.topic(
        name,
        partitions=partitions,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        schema=_FetchSchema(key_type=bytes, value_type=bytes),
    )


class _FetchSchema(faust.Schema):
    def loads_value(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        return message.value

    def loads_key(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        return message.key
