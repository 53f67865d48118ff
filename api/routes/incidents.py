"""``/api/v1/incidents``: the labels that models learn from."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.context import Context, json_response
from api.times import time_ms
from schemas.errors import DataError
from schemas.incident import Incident, Severity
from schemas.topics import INCIDENTS

TEXT_CHARACTERS_MAX = 10_000


class Told(msgspec.Struct, forbid_unknown_fields=True):
    """An incident as somebody tells of it."""

    entity: str
    start: int | float | str
    end: int | float | str | None = None
    title: str = ""
    severity: Severity = "major"
    resolution: str = ""
    external_id: str = ""
    id: str = ""
    withdrawn: bool = False


class IncidentRoutes:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def list(self, request: Request) -> Response:
        entities = set(request.query_params.getlist("entity"))
        found = [i for i in await self._context.incidents.all() if not entities or i.entity in entities]
        return json_response([_shown(i) for i in found])

    async def one(self, request: Request) -> Response:
        return json_response(_shown(await self._known(request)))

    async def add(self, request: Request) -> Response:
        """Make an incident, or update it where its ``external_id`` or ``id`` is known. Known is: entity and start."""
        body = await self._context.body(request)
        try:
            given = msgspec.json.decode(body, type=Told)
        except msgspec.MsgspecError as error:
            raise DataError(f"cannot read an incident: {error}") from error
        incident = self._incident(given)
        before = await self._context.incidents.get(incident.id)
        await self._put(incident)
        return json_response(_shown(incident), 200 if before else 201)

    async def withdraw(self, request: Request) -> Response:
        """It was never an incident: what was learned from it is learned anew."""
        incident = await self._known(request)
        incident.withdrawn, incident.updated_ms = True, self._context.now_ms()
        await self._put(incident)
        return json_response(_shown(incident))

    async def take(self, told: Told, *, source: str, keep_end: bool = True) -> Incident:
        """Make or update an incident that another system told of; what it does not say again stays.

        keep_end : a later message without an end does not open the incident again.
        """
        incident = self._incident(told)
        incident.source = source
        before = await self._context.incidents.get(incident.id)
        if before is not None:
            incident.start_ms = before.start_ms
            incident.resolution = incident.resolution or before.resolution
            if keep_end and incident.end_ms is None:
                incident.end_ms = before.end_ms
        await self._put(incident)
        return incident

    async def _known(self, request: Request) -> Incident:
        incident = await self._context.incidents.get(request.path_params["id"])
        if incident is None or incident.withdrawn:
            raise HTTPException(404, "cannot find this incident: want an id that GET /api/v1/incidents gives")
        return incident

    async def _put(self, incident: Incident) -> None:
        await self._context.incidents.put(incident)
        await self._context.log.append(INCIDENTS, 0, msgspec.json.encode(incident))

    def _incident(self, given: Told) -> Incident:
        now = self._context.now_ms()
        start_ms = time_ms(given.start, now)
        end_ms = None if given.end is None else time_ms(given.end, now)
        if end_ms is not None and end_ms < start_ms:
            raise DataError(f"cannot use end={given.end}: it is before start={given.start}")
        texts = (given.entity, given.title, given.resolution, given.external_id, given.id)
        if not given.entity or max(map(len, texts)) > TEXT_CHARACTERS_MAX:
            raise DataError(f"cannot use an incident: want an entity, and texts of at most {TEXT_CHARACTERS_MAX}")
        key = given.external_id or f"{given.entity}\0{start_ms}"
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
        return Incident(
            id=given.id or digest,
            entity=given.entity,
            start_ms=start_ms,
            end_ms=end_ms,
            title=given.title,
            severity=given.severity,
            resolution=given.resolution,
            external_id=given.external_id,
            withdrawn=given.withdrawn,
            updated_ms=now,
        )


def _shown(incident: Incident) -> dict[str, Any]:
    out = msgspec.to_builtins(incident)
    out.pop("type", None)
    out["start"], out["end"] = out.pop("start_ms"), out.pop("end_ms")
    return out
