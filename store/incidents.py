"""Incidents in a store."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.incident import Incident
from store.base import Columns
from store.thread import StoreThread


class IncidentTable:
    def __init__(self, thread: StoreThread) -> None:
        self._thread = thread

    async def put(self, incidents: Sequence[Incident]) -> None:
        """Write incidents; the same id again replaces what was written before, also within the list."""
        if not incidents:
            return
        last = list({one.id: one for one in incidents}.values())
        columns: Columns = {"id": [one.id for one in last], "entity": [one.entity for one in last]}
        columns["body"] = [msgspec.json.encode(one).decode() for one in last]
        columns["updated_ms"] = [one.updated_ms for one in last]
        await self._thread.run(self._thread.store.insert, "incidents", columns)

    async def get(self, incident_id: str) -> Incident | None:
        sql = "SELECT body FROM incidents FINAL WHERE id = {id:String}"
        rows = await self._thread.run(self._thread.store.select, sql, {"id": incident_id})
        return msgspec.json.decode(rows["body"][0], type=Incident) if len(rows["body"]) else None

    async def all(self, limit: int = 10_000) -> list[Incident]:
        """Return the incidents that were not withdrawn, the newest first."""
        sql = "SELECT body FROM incidents FINAL LIMIT {limit:UInt32}"
        rows = await self._thread.run(self._thread.store.select, sql, {"limit": limit})
        found = [msgspec.json.decode(body, type=Incident) for body in rows["body"]]
        return sorted((i for i in found if not i.withdrawn), key=lambda i: -i.start_ms)
