"""``POST /api/v1/samples`` and ``/events``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.context import Context, json_response
from api.ingest.body import decompressed
from api.ingest.json_samples import parse_json_events, parse_json_samples


class SampleRoutes:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def samples(self, request: Request) -> Response:
        return await self._take(request, parse_json_samples)

    async def events(self, request: Request) -> Response:
        return await self._take(request, parse_json_events)

    async def _take(self, request: Request, parse) -> Response:
        context = self._context
        limit = context.settings.body_max
        async with context.admitted(request) as raw:
            body = decompressed(raw, request.headers.get("content-encoding", ""), limit)
            parsed = parse(body, now_ms=context.now_ms(), future_ms=context.settings.future_ms)
            parsed = await context.publish(request, parsed, body)
        return json_response({"accepted": len(parsed.series), "rejected": parsed.rejected}, 202)
