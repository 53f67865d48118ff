"""A store's threads: every blocking call runs on one of them, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

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

    async def run(self, call: Callable[..., T], *args: Any) -> T:
        """Call in order with every other ``run``."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)

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
        await self.run(self.store.close)
        self._pool.shutdown()
