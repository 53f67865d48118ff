"""A fetch at a time: Faust pays some 120 µs a message, so a message is all the records a partition had to give."""

from __future__ import annotations

from typing import Any, NamedTuple

import faust

from log.base import Record


class Fetch(NamedTuple):
    """The value of a Faust message on our transports: consecutive records of one partition, never empty."""

    records: list[Record]


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
