"""``GET /api/v1/verdicts`` and ``/scores``, ``POST /api/v1/verdicts/{id}/feedback``."""

from __future__ import annotations

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.context import Context, json_response
from api.ingest.body import read_json
from api.times import interval_ms
from schemas.errors import DataError
from schemas.incident import Feedback
from schemas.topics import INCIDENTS
from store.verdicts import VERDICTS_MAX


class _Said(msgspec.Struct):
    correct: bool
    note: str | None = ""


class VerdictRoutes:
    def __init__(self, context: Context) -> None:
        self._context = context

    def _asked(self, request: Request) -> tuple[int, int, list[str] | None, list[str] | None, bool]:
        query, now = request.query_params, self._context.now_ms()
        from_ms, to_ms = interval_ms(query, now, "-1h")
        entities = None
        if patterns := query.getlist("entity"):
            entities = sorted({s.entity for s in self._context.repository.select_series(patterns, [])})
        return from_ms, to_ms, entities, query.getlist("rollup") or None, query.get("flag") == "1"

    async def verdicts(self, request: Request) -> Response:
        from_ms, to_ms, entities, rollups, flagged = self._asked(request)
        limit = request.query_params.get("limit", str(VERDICTS_MAX))
        if not limit.isascii() or not limit.isdigit() or not 0 < int(limit[:9]) <= VERDICTS_MAX:
            raise DataError(f"cannot use limit={limit[:20]!r}: want 1 to {VERDICTS_MAX}")
        found = await self._context.verdicts.select(
            from_ms, to_ms, entities=entities, rollups=rollups, flagged=flagged, limit=int(limit)
        )
        return json_response(found)

    async def scores(self, request: Request) -> Response:
        from_ms, to_ms, entities, rollups, flagged = self._asked(request)
        return json_response(await self._context.verdicts.scores(from_ms, to_ms, entities, rollups, flagged=flagged))

    async def feedback(self, request: Request) -> Response:
        said = read_json(await self._context.body(request), _Said, '{"correct": true, "note": ""}')
        verdict = await self._context.verdicts.by_id(request.path_params["id"])
        if verdict is None:
            raise HTTPException(404, "cannot find this verdict: want the id of one that GET /api/v1/verdicts gives")
        feedback = Feedback(
            verdict_id=verdict.id,
            entity=verdict.entity,
            rollup=verdict.rollup,
            start_ms=verdict.start,
            end_ms=verdict.end,
            correct=said.correct,
            flag=verdict.flag,
            note=(said.note or "")[:2000],
            at_ms=self._context.now_ms(),
        )
        await self._context.log.append(INCIDENTS, 0, msgspec.json.encode(feedback))
        return json_response({"id": verdict.id, "correct": said.correct})
