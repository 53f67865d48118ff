"""``/api/v1/alerts`` and ``/api/v1/silences``."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.auth import token_name
from api.context import Context, json_response
from api.ingest.body import read_json
from api.times import time_ms
from schemas.alert import Matcher, Notification, Silence, check_matchers, shown
from schemas.errors import DataError

STATES = ("firing", "pending", "resolved")
COMMENT_CHARACTERS_MAX = 2000
SILENCE_MS_MAX = 366 * 86_400_000


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    matchers: list[Matcher]
    end: int | float | str
    start: int | float | str = "now"
    comment: str = ""
    created_by: str = ""


class AlertRoutes:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def list(self, request: Request) -> Response:
        """Return the alerts, the last changed first, each with what was sent of it."""
        states, entities = request.query_params.getlist("state"), set(request.query_params.getlist("entity"))
        if unknown := set(states) - set(STATES):
            raise DataError(f"cannot use state={min(unknown)[:20]!r}: want one of {', '.join(STATES)}")
        by_alert: dict[str, list[Notification]] = {}
        for one in await self._context.alerts.notifications():
            for alert in one.alerts:
                by_alert.setdefault(alert.fingerprint, []).append(one)
        found = [
            alert
            for alert in await self._context.alerts.alerts()
            if (alert.state in states if states else alert.labels) and (not entities or alert.entity in entities)
        ]
        return json_response([shown(alert, by_alert.get(alert.fingerprint, [])) for alert in found])

    async def silences(self, _: Request) -> Response:
        now = self._context.now_ms()
        return json_response([_shown(silence, now) for silence in await self._context.alerts.silences()])

    async def silence(self, request: Request) -> Response:
        wanted = '{"matchers": [{"name": "entity", "value": "web-1"}], "end": "+2h"}'
        given = read_json(await self._context.body(request), _Given, wanted)
        now = self._context.now_ms()
        check_matchers(given.matchers)
        starts_ms, ends_ms = time_ms(given.start, now), time_ms(given.end, now)
        if not max(starts_ms, now) < ends_ms <= now + SILENCE_MS_MAX:
            raise DataError(f"cannot use end={str(given.end)[:40]!r}: want a time ahead, after start, within a year")
        if max(len(given.comment), len(given.created_by)) > COMMENT_CHARACTERS_MAX:
            raise DataError(f"cannot use a comment over {COMMENT_CHARACTERS_MAX} characters")
        silence = Silence(
            id=secrets.token_hex(8),
            matchers=given.matchers,
            starts_ms=starts_ms,
            ends_ms=ends_ms,
            created_by=token_name(request.scope) or given.created_by,
            comment=given.comment,
            updated_ms=now,
        )
        await self._context.alerts.put_silence(silence)
        return json_response(_shown(silence, now), 201)

    async def expire(self, request: Request) -> Response:
        """End a silence now; it stays listed."""
        now = self._context.now_ms()
        for silence in await self._context.alerts.silences():
            if silence.id == request.path_params["id"]:
                silence.ends_ms = min(silence.ends_ms, now)
                silence.updated_ms = max(now, silence.updated_ms + 1)
                await self._context.alerts.put_silence(silence)
                return json_response(_shown(silence, now))
        raise HTTPException(404, "cannot find this silence: want an id that GET /api/v1/silences gives")


def _shown(silence: Silence, now_ms: int) -> dict[str, Any]:
    out = msgspec.to_builtins(silence)
    out |= {"start": out.pop("starts_ms"), "end": out.pop("ends_ms"), "updated": out.pop("updated_ms")}
    out["state"] = "pending" if silence.starts_ms > now_ms else "active" if silence.ends_ms > now_ms else "expired"
    return out
