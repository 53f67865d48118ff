"""``GET /api/v1/forecast``: where a metric is going, with an interval."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.context import Context, json_response
from api.forecasting import COVERAGE, DAY_MS, forecast
from api.times import length_ms
from schemas.errors import DataError
from store.ranges import STATS

POINTS_MAX = 400
PAST_POINTS_MAX = 30_000
PAST_MS_MAX = 42 * DAY_MS


class ForecastRoutes:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def forecast(self, request: Request) -> Response:
        query, settings, now = request.query_params, self._context.settings, self._context.now_ms()
        horizon_ms = length_ms(query.get("horizon", "6h"))
        stat = query.get("stat", "mean")
        if horizon_ms is None or stat not in STATS:
            raise DataError(
                f"cannot use horizon={query.get('horizon', '')[:20]!r}, stat={stat[:20]!r}: want 30m, 6h, 7d"
            )
        series = self._context.repository.select_series([query.get("entity", "")], [query.get("metric", "")])
        if not series:
            raise HTTPException(404, "cannot find this series: want entity and metric as GET /api/v1/series gives them")
        if len(series) > 1:
            keys = ", ".join(one.key for one in series[:5])
            raise DataError(f"cannot forecast {len(series)} series at once: want one of {keys}")
        sizes = sorted(
            (size, name) for name, size in settings.rollups_ms.items() if size <= DAY_MS and DAY_MS % size == 0
        )
        step_ms, rollup = next(((s, n) for s, n in sizes if s >= 60_000 and horizon_ms / s <= POINTS_MAX), sizes[-1])
        end = now // step_ms * step_ms
        begin = end - min(PAST_MS_MAX, PAST_POINTS_MAX * step_ms) // step_ms * step_ms
        past = await self._context.repository.ranges.select(begin, end, series, stat, rollup)
        body = {
            "entity": series[0].entity,
            "metric": series[0].key,
            "rollup": rollup,
            "stat": stat,
            "coverage": COVERAGE,
        }
        if not len(past.starts_ms):
            return json_response(body | {"basis": "", "data": [], "why": "there is no closed window of it yet"})
        first = int(past.starts_ms[0])
        values = np.full((int(past.starts_ms[-1]) - first) // step_ms + 1, np.nan)
        values[(past.starts_ms - first) // step_ms] = past.values[:, 0]
        steps = max(1, min(POINTS_MAX, horizon_ms // step_ms))
        offset = datetime.fromtimestamp(end / 1000, ZoneInfo(settings.timezone)).utcoffset()
        made = forecast(values, first, step_ms, steps, offset_ms=int(offset.total_seconds() * 1000) if offset else 0)
        if made is None:
            return json_response(body | {"basis": "", "data": [], "why": "there are too few closed windows of it yet"})
        columns = (made.times_ms.tolist(), made.mean.tolist(), made.low.tolist(), made.high.tolist())
        return json_response(body | {"basis": made.basis, "data": [list(row) for row in zip(*columns, strict=True)]})
