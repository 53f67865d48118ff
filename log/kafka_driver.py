"""What differs from Faust's own Kafka transport: a message is a fetch, and reading begins at the store's checkpoint.

As on the embedded log, where a partition is read from is asked of ``app.foreshock_positions(topic, partition)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faust.transport.drivers import aiokafka
from faust.types import TP

from log.fetch import Fetch, fetch_message
from log.kafka import record_of


class Consumer(aiokafka.Consumer):
    async def seek_to_committed(self) -> Mapping[TP, int]:
        committed = dict(await super().seek_to_committed())
        ask = getattr(self.app, "foreshock_positions", None)
        positions: dict[TP, int] = {}
        for tp in self.assignment():
            position = await ask(tp.topic, tp.partition) if ask else None
            if position is not None:
                positions[tp] = position
        if positions:
            await self._thread.seek_wait(positions)
        # One below, as the read offset must be less than that of the first fetch, which may be a single record's.
        return committed | {tp: offset - 1 for tp, offset in positions.items()}

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        found = await super()._getmany(active_partitions, timeout)
        return {tp: [Fetch([record_of(one) for one in records])] for tp, records in found.items() if records}

    def _to_message(self, tp: TP, record: Any) -> Any:
        return fetch_message(self.app, tp, record)


class Transport(aiokafka.Transport):
    """``foreshock-kafka://host:port;…``, which is what ``log.open.faust_url`` makes of ``kafka://``."""

    Consumer = Consumer
