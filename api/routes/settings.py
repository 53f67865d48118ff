"""``GET /api/v1/settings``: what the program was told, with what each value means. Nothing here can be changed."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from api.context import Context, json_response


class SettingsRoutes:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def settings(self, _: Request) -> Response:
        return json_response(list(self._context.settings.shown))
