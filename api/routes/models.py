"""``GET /api/v1/models`` and ``/models/{id}``: how right each has been; ``POST /models/{id}/pin``: which answers."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.context import Context, json_response
from schemas.errors import DataError
from schemas.incident import Pin
from schemas.topics import INCIDENTS

_LONG = ("roc_curve", "calibration_curve", "changes")
POOLED = "pooled"


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    pinned: bool = True
    period: str = "*"


class ModelRoutes:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def models(self, _: Request) -> Response:
        cards = await self._context.models.cards()
        return json_response([{k: v for k, v in card.items() if k not in _LONG} for card in cards])

    async def _cards(self, request: Request) -> list[dict[str, Any]]:
        cards = [card for card in await self._context.models.cards() if card["id"] == request.path_params["id"]]
        if not cards:
            raise HTTPException(404, "cannot find this model: want an id that GET /api/v1/models gives")
        return cards

    async def model(self, request: Request) -> Response:
        cards = await self._cards(request)
        card = cards[0] if len(cards) == 1 else cards[0] | {"partitions": cards}
        return json_response(card | {"versions": await self._context.models.versions(card["rollup"])})

    async def pin(self, request: Request) -> Response:
        """Let a model answer for its period, or a pooled one for any, whatever the figures say; or no longer."""
        body = await self._context.body(request)
        try:
            asked = msgspec.json.decode(body, type=_Asked) if body else _Asked()
        except msgspec.MsgspecError as error:
            raise DataError(f'cannot read this: {error}; want {{"pinned": true, "period": "weekend"}}') from error
        card = (await self._cards(request))[0]
        if card.get("absent"):
            raise HTTPException(409, f"cannot pin a model that is absent: {card['absent']}")
        own = card["period"] != POOLED
        if own and asked.period not in ("*", card["period"]):
            raise DataError(f"cannot pin {card['id']} for another period than its own, {card['period']}")
        pin = Pin(
            rollup=card["rollup"],
            group=card["group"],
            period=card["period"] if own else asked.period,
            candidate=f"{'own' if own else POOLED}.{card['kind']}" if asked.pinned else "",
            at_ms=self._context.now_ms(),
        )
        await self._context.log.append(INCIDENTS, 0, msgspec.json.encode(pin))
        return json_response({"id": card["id"], "period": pin.period, "pinned": asked.pinned})
