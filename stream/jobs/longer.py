"""Hourly, daily, weekly and monthly rollups: merged in the store soon after their windows end.

What is due is told by the table ``touched``: whoever writes rows of a source says so, in the same write. A window is
merged again whenever it was touched after its last merge, so late samples and restarts need nothing of their own. A
rollup that was added to the configuration lately does not hold what came before: older windows go on being merged from
another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from log.base import Log
from schemas.catalogue import columns_by
from schemas.rollup import Rollup
from schemas.series import partition_of
from schemas.topics import ROLLUPS
from schemas.window_spec import in_memory
from store.complete import complete_since
from store.longer import CLOCK_SKEW_MS, Due, LongerTable
from store.repository import Repository
from stream.rollup.message import messages_of
from stream.window.calendar import LongWindow

SETTLE_MS = 2_000  # a window that is being filled by a history waits until no source was written for so long


def touched_by(windows: Sequence[LongWindow], rollup: str, starts: np.ndarray) -> set[tuple[str, int, int]]:
    """Return (rollup, start_ms, end_ms) of the long windows that are merged from a rollup's windows at ``starts``."""
    out: set[tuple[str, int, int]] = set()
    for window in windows:
        if window.source.name == rollup:
            for start in np.unique(starts).tolist():
                out |= {(window.spec.name, *edges) for edges in window.holding(start)}
    return out


class LongerRollups:
    """One worker in the cluster runs it; two at once would do the same work twice and end the same."""

    def __init__(
        self,
        windows: Sequence[LongWindow],
        *,
        log: Log,
        repository: Repository,
        partitions: int,
        lateness_ms: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._windows = {window.spec.name: window for window in windows}
        self._log, self._repository, self._partitions = log, repository, partitions
        self._lateness_ms, self._now_ms = lateness_ms, now_ms
        self._table = LongerTable(repository)
        self._since: dict[str, int] | None = None  # from when on each source holds all samples
        self.merged = 0

    async def run(self) -> None:
        """Merge all that is due, short windows before the longer ones that are merged from them."""
        if self._since is None:
            self._since = await self._begun()
        while due := await self._table.due(self._now_ms() - self._lateness_ms, settle_ms=SETTLE_MS):
            # Longer ones wait until they are asked for again: their source was touched just now.
            first = (due[0].rollup, due[0].before, self._source(due[0]))
            await self._merge([one for one in due if (one.rollup, one.before, self._source(one)) == first], first[2])

    async def _begun(self) -> dict[str, int]:
        """Touch what was stored before a rollup was configured; return from when on each source holds all samples."""
        held = {source for window in self._windows.values() for source in window.sources if in_memory(source)}
        names = sorted(source.name for source in held)
        since = await self._repository.thread.run(complete_since, self._repository.store, names, self._now_ms())
        for name in await self._table.new(list(self._windows)):
            window = self._windows[name]
            starts = await self._table.starts([one.name for one in window.sources])
            await self._touch([window], window.source.name, starts)
        await self._table.know(list(self._windows), self._now_ms())
        return since

    def _source(self, due: Due) -> str | None:
        """Return the longest source that holds all of a window, or else the one that holds the most; None: unknown."""
        window, since = self._windows.get(due.rollup), self._since or {}
        if window is None:  # taken out of the configuration
            return None
        names = [source.name for source in window.sources]
        return min(names, key=lambda name: max(0, since.get(name, 0) - due.start_ms))

    async def _merge(self, due: list[Due], source: str | None) -> None:
        began_ms = self._now_ms()
        if source is None:
            await self._table.done(due, began_ms + CLOCK_SKEW_MS)
            return
        await self._table.merge(due, source)
        starts = np.array([one.start_ms for one in due])
        await self._touch(list(self._windows.values()), due[0].rollup, starts)
        await self._publish(await self._table.read(due))
        # The last of it: who ended before this merges and tells once more.
        await self._table.done(due, began_ms)
        self.merged += len(due)

    async def _touch(self, windows: Sequence[LongWindow], source: str, starts: np.ndarray) -> None:
        """Touch those of some longer windows that are merged from a rollup's windows at ``starts``."""
        longer = touched_by(windows, source, starts)
        # Long windows are nobody's partition; -1 is the job's own.
        await self._table.touch(sorted(longer), partition=-1, now_ms=self._now_ms())

    async def _publish(self, rollup: Rollup) -> None:
        """Hand the rows to whoever follows: the page, and the models of that rollup."""
        named = partial(columns_by, [self._repository.series])
        partition = np.zeros(len(rollup), np.int64)
        if self._partitions > 1:
            unique, at = np.unique(rollup.ids, return_inverse=True)
            names = named(unique)
            owner = [partition_of(entity, self._partitions) if entity else 0 for entity in names.entities]
            partition = np.array(owner, np.int64)[names.entity_of][at]
        for number in np.unique(partition).tolist():
            mine = rollup.where(np.flatnonzero(partition == number))
            for message in messages_of(mine, named):
                await self._log.append(ROLLUPS, number, message)
