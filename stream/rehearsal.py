"""Rehearsals over what a store holds: snapshots, rollups and incidents, read a block of windows at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from schemas.errors import DataError
from schemas.incident import Incident
from schemas.rehearsal import Wanted
from schemas.series import partition_of
from schemas.verdict import Verdict
from schemas.window_spec import parse_rollup
from store.incidents import IncidentTable
from store.models import ModelTables
from store.repository import Repository
from stream.agents.snapshot import read_snapshot
from stream.features.frame import frames_from_rows
from stream.models.kinds import at_hand
from stream.models.rehearsal import Asked, Rehearsal
from stream.settings import StreamSettings

WINDOWS_MAX = 50_000
_INCIDENTS_AT_ONCE = 10_000
_BLOCK_ROWS = 200_000  # so many rows of rollups are held at once, about


class Rehearsals:
    def __init__(self, repository: Repository, settings: StreamSettings) -> None:
        self._repository, self._settings = repository, settings
        self._models, self._incidents = ModelTables(repository.thread), IncidentTable(repository.thread)

    async def begin(self, wanted: Wanted, now_ms: int) -> AsyncIterator[list[Verdict]]:
        """Return what ``verdicts`` gives; raises DataError: no snapshot (reason no_model), or what cannot be done."""
        asked = Asked.of_model(wanted.model) if wanted.model else Asked(wanted.rollup, wanted.period)
        wanted = wanted._replace(to_ms=min(wanted.to_ms, now_ms))
        self.check(asked, wanted.from_ms, wanted.to_ms, wanted.warm_up_ms)
        if not await self._models.stored(asked.rollup, wanted.as_of_ms):
            why = f"no model of {asked.rollup} is stored yet: each is stored a minute after its first window"
            if wanted.as_of_ms is not None:
                why = f"no model of {asked.rollup} is stored of this time or earlier: one of each of 30 days is kept"
            raise DataError(why, "no_model")
        return self.verdicts(asked, wanted)

    def check(self, asked: Asked, from_ms: int, to_ms: int, warm_up_ms: int) -> None:
        """Raise DataError for what cannot be rehearsed."""
        if asked.rollup not in self._settings.model_rollups:
            known = ", ".join(self._settings.model_rollups)
            raise DataError(f"cannot rehearse rollup={asked.rollup[:20]!r}: want one that has models, of {known}")
        periods, kinds = self._settings.periods.names(), at_hand(self._settings.engine.kinds)
        if asked.period and asked.period not in periods:
            raise DataError(f"cannot rehearse period={asked.period[:40]!r}: want one of {', '.join(periods)}")
        if asked.kind and asked.kind not in kinds:
            raise DataError(f"cannot rehearse a model of kind {asked.kind[:40]!r}: want one of {', '.join(kinds)}")
        windows = (to_ms - from_ms + warm_up_ms) // parse_rollup(asked.rollup).hop_ms
        if not from_ms < to_ms or warm_up_ms < 0 or windows > WINDOWS_MAX:
            raise DataError(
                f"cannot rehearse {windows} windows of {asked.rollup}: want from before to, and with the warm-up at "
                f"most {WINDOWS_MAX}: less time, or a coarser rollup"
            )

    async def verdicts(self, asked: Asked, wanted: Wanted) -> AsyncIterator[list[Verdict]]:
        """Yield the verdicts of windows that start in [from, to): a partition after another, each by time and entity.

        Nothing of a partition that has no snapshot of this rollup.
        """
        spec, from_ms, to_ms = parse_rollup(asked.rollup), wanted.from_ms, wanted.to_ms
        incidents = await self._all_incidents()
        for partition in range(self._settings.partitions):
            saved = await self._models.state(partition, asked.rollup, wanted.as_of_ms)
            snapshot = await read_snapshot(self._models, partition, saved) if saved else None
            if snapshot is None:
                continue
            one = await asyncio.to_thread(
                Rehearsal,
                *snapshot[:2],
                asked,
                (spec.size_ms, spec.hop_ms),
                self._settings.engine,
                self._settings.periods,
                from_ms=from_ms,
                incidents=incidents,
            )
            first_ms = from_ms - wanted.warm_up_ms if one.first_ms is None else one.first_ms
            async for said in self._of_partition(partition, one, spec.hop_ms, first_ms, to_ms):
                if kept := [verdict for verdict in said if verdict.start >= from_ms]:
                    yield kept

    async def _all_incidents(self) -> list[Incident]:
        """Return every one, as every engine knows every one."""
        found: list[Incident] = []
        while part := await self._incidents.select(after=found[-1] if found else None, limit=_INCIDENTS_AT_ONCE):
            found += part
        return found

    async def _of_partition(
        self, partition: int, one: Rehearsal, hop_ms: int, first_ms: int, to_ms: int
    ) -> AsyncIterator[list[Verdict]]:
        rollup, partitions = one.engine.rollup, self._settings.partitions
        series = {
            s.series_id: s for s in self._repository.series.every() if partition_of(s.entity, partitions) == partition
        }
        block_ms = max(1, min(500, _BLOCK_ROWS // max(1, len(self._repository.series)))) * hop_ms
        for low in range(first_ms, to_ms, block_ms):
            rows = await self._repository.ranges.rows(rollup, low, min(low + block_ms, to_ms))
            for frame in frames_from_rows(rollup, rows, series):
                yield await asyncio.to_thread(one.step, frame)
