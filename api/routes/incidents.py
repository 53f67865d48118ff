"""``/api/v1/incidents``: the labels that models learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.context import Context, json_response
from api.ingest.body import decompressed
from api.ingest.incidents import parse_incidents, updated
from schemas.errors import DataError
from schemas.incident import Incident
from schemas.topics import INCIDENTS

INCIDENTS_MAX = 10_000  # in one answer


class IncidentRoutes:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def list(self, request: Request) -> Response:
        """Answer the newest; ``Link: <…>; rel="next"`` (RFC 8288) says where more of them are."""
        query = request.query_params
        limit = query.get("limit", str(INCIDENTS_MAX))
        if not limit.isascii() or not limit.isdigit() or not 0 < int(limit[:9]) <= INCIDENTS_MAX:
            raise DataError(f"cannot use limit={limit[:20]!r}: want 1 to {INCIDENTS_MAX}")
        entities, most = query.getlist("entity"), int(limit)
        after = None
        if (after_id := query.get("after")) is not None:
            after = await self._context.incidents.get(after_id)
            if after is None:
                raise DataError(f"cannot use after={after_id[:40]!r}: want the id of an incident")
        found = await self._context.incidents.select(entities, after=after, limit=most + 1)
        response = json_response([_shown(i) for i in found[:most]])
        if len(found) > most:
            asked = [("entity", name) for name in entities] + [("limit", limit), ("after", found[most - 1].id)]
            response.headers["Link"] = f'<{request.url.path}?{urlencode(asked)}>; rel="next"'
        return response

    async def one(self, request: Request) -> Response:
        return json_response(_shown(await self._known(request)))

    async def add(self, request: Request) -> Response:
        """Make an incident, or update it where its ``external_id``, ``id``, or entity and start are known.

        An update leaves as it was what it does not say.

        One object is answered by the incident; a list, an object a line or CSV by how many were taken, and the others
        by index and reason.
        """
        limit = self._context.settings.body_max
        body = decompressed(await self._context.body(request), request.headers.get("content-encoding", ""), limit)
        said = parse_incidents(body, request.headers.get("content-type", ""), now_ms=self._context.now_ms())
        known = await self._context.incidents.known([incident.id for incident in said.incidents])
        if said.alone:
            (incident,), (unsaid,) = said.incidents, said.unsaid
            if (before := known.get(incident.id)) is not None:
                incident = updated(before, incident, unsaid)
            await self._put([incident])
            return json_response(_shown(incident), 200 if before is not None else 201)
        took: dict[str, Incident] = {}
        ids, rejected = [], list(said.rejected)
        for index, incident, unsaid in zip(said.indices, said.incidents, said.unsaid, strict=True):
            try:
                before = took.get(incident.id) or known.get(incident.id)
                took[incident.id] = incident if before is None else updated(before, incident, unsaid)
            except DataError as error:
                rejected.append({"index": index, "error": str(error)})
            else:
                ids.append(incident.id)
        await self._put(list(took.values()))
        return json_response({"accepted": len(ids), "rejected": rejected, "ids": ids})

    async def withdraw(self, request: Request) -> Response:
        """It was never an incident: what was learned from it is learned anew."""
        incident = await self._known(request)
        incident.withdrawn, incident.updated_ms = True, self._context.now_ms()
        await self._put([incident])
        return json_response(_shown(incident))

    async def take(self, incident: Incident, *, source: str, keep_end: bool = True) -> Incident:
        """Make or update an incident that another system told of; what it does not say again stays.

        keep_end : a later message without an end does not open the incident again.
        """
        incident.source = source
        before = await self._context.incidents.get(incident.id)
        if before is not None:
            incident.start_ms = before.start_ms
            incident.resolution = incident.resolution or before.resolution
            if keep_end and incident.end_ms is None:
                incident.end_ms = before.end_ms
        await self._put([incident])
        return incident

    async def _known(self, request: Request) -> Incident:
        incident = await self._context.incidents.get(request.path_params["id"])
        if incident is None or incident.withdrawn:
            raise HTTPException(404, "cannot find this incident: want an id that GET /api/v1/incidents gives")
        return incident

    async def _put(self, incidents: Sequence[Incident]) -> None:
        await self._context.incidents.put(incidents)
        for incident in incidents:
            await self._context.log.append(INCIDENTS, 0, msgspec.json.encode(incident))


def _shown(incident: Incident) -> dict[str, Any]:
    out = msgspec.to_builtins(incident)
    out.pop("type", None)
    out["start"], out["end"] = out.pop("start_ms"), out.pop("end_ms")
    return out
