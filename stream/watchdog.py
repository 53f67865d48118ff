"""Tells a consumer that stopped quietly: its offset stands still while there is more to read. Pure."""

from __future__ import annotations

from collections.abc import Hashable

PATIENCE_MS = 30_000


class Watchdog:
    """One entry a partition that was looked at; ``forget`` those that went to another worker."""

    def __init__(self, patience_ms: int = PATIENCE_MS) -> None:
        self._patience_ms = patience_ms
        self._since: dict[Hashable, tuple[int, int]] = {}  # partition → offset, since when it stands there

    def stuck(self, key: Hashable, *, offset: int, end: int, busy: bool, now_ms: int) -> bool:
        """Return whether a partition got nothing for too long though there was something.

        offset : of the next record to take in. end : of the next to be written. busy : it works on records, or waits
            for the store: then nothing else is awaited.
        """
        known, since_ms = self._since.get(key, (-1, now_ms))
        if busy or offset >= end or offset != known:
            self._since[key] = (offset, now_ms)
            return False
        return now_ms - since_ms >= self._patience_ms

    def forget(self, kept: set[Hashable]) -> None:
        self._since = {key: value for key, value in self._since.items() if key in kept}
