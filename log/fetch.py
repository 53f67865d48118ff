"""A fetch at a time: Faust pays some 120 µs a message, so a message is all the records a partition had to give."""

from __future__ import annotations

from typing import Any, NamedTuple

import faust
from faust.types import TP, Message

from log.base import Record


class Fetch(NamedTuple):
    """The value of a Faust message on our transports: consecutive records of one partition, never empty."""

    records: list[Record]


class FetchConsumer:
    """What Faust's consumers are to know of fetches, as a base beside them.

    A fetch's offset is its last record's: those before it are no gap that would have to be kept in mind. An agent
    works on one fetch at a time, so the last that was acknowledged stands for all before it.
    """

    _acked: Any
    _acked_index: Any

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
