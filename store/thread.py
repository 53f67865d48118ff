"""A store's one thread: every blocking call runs there, in order, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from store.base import Store

T = TypeVar("T")


class StoreThread:
    def __init__(self, store: Store) -> None:
        self.store = store
        self._pool = ThreadPoolExecutor(1, "store")

    async def run(self, call: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)

    def submit(self, call: Callable[..., T], *args: Any) -> Future[T]:
        """For the few callers that may block."""
        return self._pool.submit(call, *args)

    def shutdown(self) -> None:
        self._pool.shutdown()
