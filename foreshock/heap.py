"""The heaps of the C library and of the store in the process: what is free in them goes back to the system soon."""

from __future__ import annotations

import asyncio
import ctypes
import os
from typing import Any

# Windows that close take a great deal of memory for a moment, and leave holes. Between two closes of the shortest
# windows they are given back; more often than that, the next ones would only have to ask for them again.
TRIM_EVERY_S = 4.0
_M_ARENA_MAX = -8  # mallopt(3)
# Pages that chDB has freed are kept for five seconds by default: with an insert every second, all of them.
_CHDB = ("JE_MALLOC_CONF", "dirty_decay_ms:300,muzzy_decay_ms:0")


def prepare_heaps() -> None:
    """Have the C library keep one heap for all threads, and chDB's give pages back soon.

    To be called before threads begin and chDB is loaded. MALLOC_ARENA_MAX and JE_MALLOC_CONF overrule it; where the C
    library is not glibc it has no arenas.
    """
    os.environ.setdefault(*_CHDB)
    if "MALLOC_ARENA_MAX" not in os.environ and (mallopt := _of_library("mallopt")) is not None:
        mallopt(_M_ARENA_MAX, 1)


async def keep_trimmed() -> None:
    """Give back what is free, every TRIM_EVERY_S, for ever; it takes milliseconds, in a thread."""
    malloc_trim = _of_library("malloc_trim")
    while True:
        await asyncio.sleep(TRIM_EVERY_S)
        if malloc_trim is not None:
            await asyncio.to_thread(malloc_trim, ctypes.c_size_t(0))


def _of_library(name: str) -> Any:
    """Return a function of the C library; None where it has none."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
