"""The HTTP API: writing samples, reading ranges, health."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.errors import on_error
from api.ingest.json_samples import parse_json_samples
from api.ingest.publisher import Publisher
from api.times import time_ms
from log.base import Log
from schemas.errors import DataError
from store.repository import SERIES_MAX, STATS, Repository

POINTS_MAX = 100_000


@dataclass(frozen=True)
class ApiSettings:
    partitions: int
    rollups_ms: dict[str, int]  # tumbling rollups held in the store, name → size
    rollups: tuple[str, ...]  # every rollup that may be asked for
    body_max: int = 16 * 1024 * 1024
    future_ms: int = 600_000


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def _body(request: Request, limit: int) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise HTTPException(413, f"cannot take a body over {limit} bytes (limits.body); send smaller batches")
    return bytes(data)


class Api:
    def __init__(
        self,
        *,
        repository: Repository,
        log: Log,
        settings: ApiSettings,
        now_ms: Callable[[], int],
        status: Callable[[], dict[str, int]],
    ) -> None:
        self._repository, self._settings, self._now_ms, self._status = repository, settings, now_ms, status
        self._publisher = Publisher(log, settings.partitions, now_ms)

    async def samples(self, request: Request) -> Response:
        body = await _body(request, self._settings.body_max)
        parsed = parse_json_samples(body, now_ms=self._now_ms(), future_ms=self._settings.future_ms)
        digest = 0
        if parsed.all_timed:
            digest = int.from_bytes(blake2b(body, digest_size=8).digest(), "little") >> 1
        if parsed.series:
            await self._publisher.publish(parsed, digest)
        return _json({"accepted": len(parsed.series), "rejected": parsed.rejected}, 202)

    async def range(self, request: Request) -> Response:
        query, now = request.query_params, self._now_ms()
        from_ms, to_ms = time_ms(query.get("from", "-1h"), now), time_ms(query.get("to", "now"), now)
        stat, shape = query.get("stat", "mean"), query.get("format", "json")
        if stat not in STATS or shape not in ("json", "dygraphs", "csv"):
            raise DataError(f"cannot use stat={stat[:20]!r}, format={shape[:20]!r}: want one of {', '.join(STATS)}")
        series = self._repository.select_series(query.getlist("entity"), query.getlist("metric"))
        if len(series) > SERIES_MAX:
            raise DataError(
                f"cannot answer {len(series)} series at once: want at most {SERIES_MAX}; name entity or metric"
            )
        rollup = self._rollup(query.get("rollup", "auto"), query.get("points", "1000"), to_ms - from_ms)
        found = await self._repository.range(from_ms, to_ms, series, stat, rollup)
        one = len({s.entity for s in series}) == 1 and shape != "json"
        labels = ["timestamp", *(s.key if one else f"{s.entity} {s.key}" for s in series)]
        rows = [
            [start, *(None if math.isnan(v) else v for v in values)]
            for start, values in zip(found.starts_ms.tolist(), found.values.tolist(), strict=True)
        ]
        if shape == "dygraphs":
            return _json([labels, *rows])
        if shape == "csv":
            quoted = ('"' + label.replace('"', '""') + '"' for label in labels)
            lines = [",".join(quoted), *(",".join("" if v is None else repr(v) for v in row) for row in rows)]
            return Response("\n".join(lines) + "\n", media_type="text/csv")
        return _json({"rollup": rollup, "stat": stat, "labels": labels, "data": rows, "flags": [], "periods": []})

    def _rollup(self, asked: str, points: str, span_ms: int) -> str:
        if asked != "auto":
            if asked not in self._settings.rollups:
                raise DataError(f"cannot use rollup={asked[:20]!r}: want auto, {', '.join(self._settings.rollups)}")
            return asked
        if not points.isascii() or not points.isdigit() or not 0 < int(points[:9]) <= POINTS_MAX:
            raise DataError(f"cannot use points={points[:20]!r}: want 1 to {POINTS_MAX}")
        by_size = sorted(self._settings.rollups_ms.items(), key=lambda item: item[1])
        fitting = [name for name, size_ms in by_size if span_ms / size_ms <= int(points)]
        return fitting[0] if fitting else by_size[-1][0]

    async def entities(self, _: Request) -> Response:
        counts: dict[str, int] = {}
        for series in self._repository.series.values():
            counts[series.entity] = counts.get(series.entity, 0) + 1
        return _json([{"entity": entity, "series": n} for entity, n in sorted(counts.items())])

    async def series(self, request: Request) -> Response:
        found = self._repository.select_series(request.query_params.getlist("entity"), [])
        fields = ("entity", "metric", "key", "labels", "kind")
        return _json([{name: getattr(s, name) for name in fields} for s in found])

    async def healthz(self, _: Request) -> Response:
        return _json({"status": "alive"})

    async def metrics(self, _: Request) -> Response:
        lines = [f"foreshock_{name}_total {value}" for name, value in sorted(self._status().items())]
        return Response("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def build_app(**parts: Any) -> Starlette:
    """Return the ASGI application; the parts are those of ``Api``."""
    api = Api(**parts)
    routes = [
        Route("/api/v1/samples", api.samples, methods=["POST"]),
        Route("/api/v1/range", api.range),
        Route("/api/v1/entities", api.entities),
        Route("/api/v1/series", api.series),
        Route("/healthz", api.healthz),
        Route("/metrics", api.metrics),
    ]
    return Starlette(routes=routes, exception_handlers=dict.fromkeys((HTTPException, Exception), on_error))
