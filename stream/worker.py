"""A stream worker: the Faust app with its agents, over any log and store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import faust

from log.base import Log
from log.fetch import fetch_topic
from log.open import faust_url
from schemas.topics import SAMPLES
from store.repository import Repository
from stream.agents.windowing import PartitionWorker
from stream.settings import StreamSettings

logger = logging.getLogger("foreshock.stream")


class StreamWorker:
    """``start`` it, watch ``failed``, ``stop`` it: that writes what is pending."""

    def __init__(
        self,
        *,
        broker_url: str,
        log: Log,
        repository: Repository,
        settings: StreamSettings,
        now_ms: Callable[[], int],
        datadir: str,
    ) -> None:
        self._log, self._repository, self._settings, self._now_ms = log, repository, settings, now_ms
        self.windows: dict[int, PartitionWorker] = {}
        self.failed = asyncio.Event()
        self._ticker: asyncio.Task | None = None
        self.app: Any = faust.App(
            "foreshock",
            broker=faust_url(broker_url),
            datadir=datadir,
            web_enabled=False,
            topic_partitions=settings.partitions,
            stream_wait_empty=False,
        )
        self.app.foreshock_positions = self._position  # type: ignore[attr-defined]

        @self.app.agent(fetch_topic(self.app, SAMPLES, settings.partitions), name="window")
        async def window(stream: Any) -> None:
            async for fetch in stream:
                try:
                    await self.windows[fetch.records[0].partition].process(fetch.records)
                except Exception:
                    # Faust would acknowledge the records and go on: stop instead, the checkpoint knows where to resume.
                    logger.exception("cannot window a fetch of records")
                    self.failed.set()
                    raise

    async def _position(self, topic: str, partition: int) -> int | None:
        """Where an assigned partition is read from: the checkpoint in the store, not the broker's commit."""
        if topic != SAMPLES:
            return None
        worker = PartitionWorker(partition, self._log, self._repository, self._settings, self._now_ms)
        offset = await worker.open()
        self.windows[partition] = worker
        return offset

    async def start(self) -> None:
        await self.app.start()
        self._ticker = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._settings.flush_interval_s)
            for window in list(self.windows.values()):
                try:
                    await window.tick()
                except Exception:
                    logger.exception("cannot write to the store; again in a second, the log keeps everything")

    async def stop(self) -> None:
        if self._ticker:
            self._ticker.cancel()
        await self.app.stop()
        for window in self.windows.values():
            await window.tick()

    def status(self) -> dict[str, int]:
        """Return what was counted, over all partitions."""
        totals: dict[str, int] = {}
        for window in self.windows.values():
            for name, value in window.counters.items():
                totals[name] = totals.get(name, 0) + value
        return totals
