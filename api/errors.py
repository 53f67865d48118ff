"""Errors as application/problem+json (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from schemas.errors import DataError, ForeshockError


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(msgspec.json.encode(body), status, headers, "application/problem+json")


async def on_error(_: Request, error: Exception) -> Response:
    """Every error has one shape: bad data 400, a part that is down 503, our own bug 500."""
    if isinstance(error, HTTPException):
        return problem(error.status_code, error.detail, dict(error.headers or {}))
    if isinstance(error, DataError):
        return problem(400, str(error))
    if isinstance(error, ForeshockError):
        return problem(503, str(error), {"Retry-After": "1"})
    return problem(500, "BUG: see the server's log")
