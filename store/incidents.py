"""Incidents in a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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

    async def known(self, ids: Sequence[str]) -> dict[str, Incident]:
        """Return those of the incidents that were told before, by id."""
        sql = "SELECT body FROM incidents FINAL WHERE id IN {ids:Array(String)}"
        rows = await self._thread.run(self._thread.store.select, sql, {"ids": list(ids)})
        found = (msgspec.json.decode(body, type=Incident) for body in rows["body"])
        return {one.id: one for one in found}

    async def select(
        self, entities: Sequence[str] = (), *, after: Incident | None = None, limit: int
    ) -> list[Incident]:
        """Return at most ``limit`` incidents that were not withdrawn, the newest first.

        entities : of these alone; none: of all. after : those that come after this one in that order.
        """
        parameters: dict[str, Any] = {"limit": limit}
        sql = (
            "SELECT body FROM (SELECT id, body, JSONExtractInt(body, 'start_ms') AS start, entity FROM incidents FINAL)"
            " WHERE NOT JSONExtractBool(body, 'withdrawn')"
        )
        if entities:
            sql += " AND entity IN {entities:Array(String)}"
            parameters["entities"] = list(entities)
        if after is not None:
            sql += " AND (start < {start:Int64} OR (start = {start:Int64} AND id > {id:String}))"
            parameters |= {"start": after.start_ms, "id": after.id}
        sql += " ORDER BY start DESC, id LIMIT {limit:UInt32}"
        rows = await self._thread.read(self._thread.store.select, sql, parameters)
        return [msgspec.json.decode(body, type=Incident) for body in rows["body"]]
