"""The webhooks of Alertmanager and PagerDuty as the source of incidents."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.context import Context, json_response
from api.ingest.incident_hooks import HookSaid, parse_alertmanager, parse_pagerduty
from api.ingest.incidents import incident_of
from api.routes.incidents import IncidentRoutes
from schemas.errors import DataError


class IncidentHooks:
    def __init__(self, context: Context, incidents: IncidentRoutes) -> None:
        self._context, self._incidents = context, incidents

    async def alertmanager(self, request: Request) -> Response:
        body = await self._context.body(request)
        return await self._take(parse_alertmanager(body, self._context.settings.entity_labels), "alertmanager")

    async def pagerduty(self, request: Request) -> Response:
        return await self._take(parse_pagerduty(await self._context.body(request)), "pagerduty")

    async def _take(self, said: HookSaid, source: str) -> Response:
        """Take what can be used; 400 where nothing could, so that the sender does not try for ever."""
        took: list[str] = []
        rejected: list[dict[str, Any]] = []
        for index, told in enumerate(said.told):
            try:
                incident = incident_of(told, self._context.now_ms())
            except DataError as error:
                rejected.append({"index": index, "error": str(error)})
                continue
            took.append((await self._incidents.take(incident, source=source, keep_end=not said.reopened)).id)
        if rejected and not took:
            raise DataError(f"cannot take any of {len(rejected)} alerts; the first: {rejected[0]['error']}")
        return json_response({"incidents": took, "skipped": said.skipped, "rejected": rejected})
