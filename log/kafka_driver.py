"""What differs from Faust's own Kafka transport: a message is a fetch, and reading begins at the store's checkpoint.

As on the embedded log, where a partition is read from is asked of ``app.foreshock_positions(topic, partition)``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any

from faust.transport.drivers import aiokafka
from faust.types import TP

from log.fetch import Fetch, FetchConsumer, fetch_message
from log.kafka import record_of


class Consumer(FetchConsumer, aiokafka.Consumer):
    """Knows also whether its partitions are still its own: those of a process that was stopped for a while are not."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told_s = 0.0  # monotonic: when the broker was last told that we live, and agreed
        self._watched: Any = None

    def held(self) -> bool:
        """Whether the broker cannot have given our partitions to others yet, for all we know."""
        return monotonic() - self._told_s < self.app.conf.broker_session_timeout

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._told_s = monotonic()
        coordinator: Any = self._thread._ensure_consumer()._coordinator
        if coordinator is not self._watched:
            self._watched, beat = coordinator, coordinator._do_heartbeat

            async def _do_heartbeat() -> bool:
                at_s = monotonic()
                if agreed := await beat():
                    self._told_s = at_s
                return agreed

            coordinator._do_heartbeat = _do_heartbeat
        await super().on_partitions_assigned(assigned, generation_id)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to where each partition's owner is to begin, which the store knows; the broker's commits do not count."""
        ask = self.app.foreshock_positions
        assigned = list(self.assignment())
        found = await asyncio.gather(*(ask(tp.topic, tp.partition) for tp in assigned))
        positions = {tp: position for tp, position in zip(assigned, found, strict=True) if position is not None}
        if positions:
            await self._thread.seek_wait(positions)
        # One below, as the read offset must be less than that of the first fetch, which may be a single record's.
        return {tp: offset - 1 for tp, offset in positions.items()}

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        found = await super()._getmany(active_partitions, timeout)
        return {tp: [Fetch([record_of(one) for one in records])] for tp, records in found.items() if records}

    def _to_message(self, tp: TP, record: Any) -> Any:
        return fetch_message(self.app, tp, record)


class Transport(aiokafka.Transport):
    """``foreshock-kafka://host:port;…``, which is what ``log.open.faust_url`` makes of ``kafka://``."""

    Consumer = Consumer
