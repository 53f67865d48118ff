"""``GET /api/v1/rehearsal``: a past interval through a stored model, one after another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.context import Context
from api.times import length_ms, time_ms
from schemas.errors import DataError
from schemas.rehearsal import Wanted
from schemas.verdict import Verdict


class RehearsalRoutes:
    """One rehearsal runs at a time: it takes a thread, and as much memory as a partition's models."""

    def __init__(self, context: Context) -> None:
        self._context, self._one = context, asyncio.Lock()

    async def rehearsal(self, request: Request) -> Response:
        query, now_ms = request.query_params, self._context.now_ms()
        warm_up_ms = length_ms(query.get("warmup", "1d"))
        if warm_up_ms is None:
            raise DataError(f"cannot use warmup={query['warmup'][:20]!r}: want 30m, 6h or 7d")
        model, rollup, period = query.get("model", ""), query.get("rollup", ""), query.get("period", "")
        if model and (rollup or period):
            raise DataError("cannot use model with rollup or period: its id names both")
        if model and not any(card["id"] == model for card in await self._context.models.cards()):
            raise HTTPException(404, "cannot find this model: want an id that GET /api/v1/models gives")
        wanted = Wanted(
            model,
            rollup or "1m",
            period,
            time_ms(query.get("from", "-1h"), now_ms),
            time_ms(query.get("to", "now"), now_ms),
            warm_up_ms,
            time_ms(query["as_of"], now_ms) if "as_of" in query else None,
        )
        if self._one.locked():
            raise HTTPException(429, "a rehearsal is under way: try again when it is over", {"Retry-After": "5"})
        try:
            parts = await self._context.rehearse(wanted, now_ms)
        except DataError as error:
            raise HTTPException(409 if error.reason == "no_model" else 400, str(error)) from error
        return StreamingResponse(self._lines(parts, query.get("flag") == "1"), media_type="application/x-ndjson")

    async def _lines(self, parts: AsyncIterator[list[Verdict]], flagged: bool) -> AsyncIterator[bytes]:
        async with self._one:
            async for part in parts:
                kept = [msgspec.json.encode(verdict) for verdict in part if verdict.flag or not flagged]
                if kept:
                    yield b"\n".join(kept) + b"\n"
