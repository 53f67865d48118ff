"""A store's threads: every blocking call runs on one of them, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from schemas.errors import SinkError, SourceError
from store.base import Store

T = TypeVar("T")

READERS = 4
LONG_READERS = 2  # so many readers at the most answer long questions; short ones do not wait for those


class StoreThread:
    """One thread writes and reads what it wrote, in order; a few others only read, beside it and each other."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._pool = ThreadPoolExecutor(1, "store")
        self._readers = ThreadPoolExecutor(READERS, "store-reader")
        self._long = asyncio.Semaphore(LONG_READERS)
        self._away = False

    async def run(self, call: Callable[..., T], *args: Any) -> T:
        """Call in order with every other ``run``.

        After one that failed the store is asked for nothing first, which raises SourceError while it is away: a write
        is made ready, with everything that has come to wait for it, only for a store that can take it.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._once_there, call, *args)

    def _once_there(self, call: Callable[..., T], *args: Any) -> T:
        if self._away:
            self._ask_for_nothing()
            self._away = False
        try:
            return call(*args)
        except (SinkError, SourceError):
            self._away = True
            raise

    def _ask_for_nothing(self) -> None:
        self.store.select("SELECT 1 AS one")

    async def ping(self) -> None:
        """Ask the store for nothing, beside others; raises SourceError when it is away."""
        await self.read(self._ask_for_nothing)

    async def open(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, self.store.open)

    async def read(self, call: Callable[..., T], *args: Any, long: bool = False) -> T:
        """Call beside others; what was written before is seen. ``long``: an answer of many rows."""
        if long:
            async with self._long:
                return await self.read(call, *args)
        return await asyncio.get_running_loop().run_in_executor(self._readers, call, *args)

    def submit(self, call: Callable[..., T], *args: Any) -> Future[T]:
        """For the few callers that may block."""
        return self._pool.submit(call, *args)

    async def close(self) -> None:
        """Wait for what is under way and close the store; what still waits to be read is not."""
        await asyncio.to_thread(self._readers.shutdown, cancel_futures=True)
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, self.store.close)
        finally:
            self._pool.shutdown()
