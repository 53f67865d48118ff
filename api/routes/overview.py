"""``GET /api/v1/overview`` and ``/risk``: what the page's overview and its strip of risk show, a request each."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.context import Context, json_response
from api.times import interval_ms
from schemas.errors import DataError
from store.risk import Newest, RiskTable

POINTS_MAX = 2000
NEWEST_MS = 900_000  # an entity without a verdict for so long is silent
STEP_MS_MIN = 10_000
REASONS_MAX = 40  # a screen; bodies are long to read
LABELS_MAX = 20  # names an entity
VALUES_MAX = 8  # values a name


class OverviewRoutes:
    def __init__(self, context: Context) -> None:
        self._context, self._table = context, RiskTable(context.repository.thread)
        self._labels: dict[str, dict[str, list[str]]] = {}
        self._labels_of = -1

    async def overview(self, request: Request) -> Response:
        """Every entity: its labels, the newest verdict of each rollup, a line of ``anomaly_score`` (0…100), alerts.

        The reason in words is told of the riskiest alone; the others' come with their next live verdict.
        """
        from_ms, to_ms, points = self._interval(request, "-10m", "60")
        step_ms = max(STEP_MS_MIN, -(-(to_ms - from_ms) // points))
        lines, found, alerts = await asyncio.gather(
            self._table.lines(from_ms, to_ms, step_ms, None),
            self._table.newest(self._context.now_ms() - NEWEST_MS),
            self._context.alerts.alerts(),
        )
        scores: dict[str, list[int | None]] = {}
        buckets = -(-(to_ms - from_ms) // step_ms)
        whole = (lines.score * 100).round().astype(int).tolist()
        for entity, bucket, score in zip(lines.entity, lines.bucket.tolist(), whole, strict=True):
            scores.setdefault(entity, [None] * buckets)[bucket] = score
        newest: dict[str, list[Newest]] = {}
        for one in found:
            newest.setdefault(one.entity, []).append(one)
        worst = sorted((max(those, key=_risk) for those in newest.values()), key=_risk, reverse=True)
        reasons = await self._table.reasons(worst[:REASONS_MAX])
        firing: dict[str, dict[str, str]] = {}
        for alert in alerts:
            if alert.state == "firing":
                firing.setdefault(alert.entity, {})[alert.fingerprint] = "held" if alert.held else "firing"
        rows = []
        for entity, labels in sorted(self._labelled().items()):
            mine = firing.get(entity, {})
            rows.append(
                {
                    "entity": entity,
                    "labels": labels,
                    "line": scores.get(entity, []),
                    "verdicts": [_shown(one) for one in newest.get(entity, [])],
                    "reason": reasons.get(entity, ""),
                    "alert": None if not mine else "firing" if "firing" in mine.values() else "held",
                    "alerts": mine,
                }
            )
        return json_response({"from": from_ms, "step": step_ms, "entities": rows})

    async def risk(self, request: Request) -> Response:
        """Rows of start, ``p_incident``, ``anomaly_score``, flag of one entity: the worst of all rollups then."""
        from_ms, to_ms, points = self._interval(request, "-1h", "600")
        entity = request.query_params.get("entity", "")
        if not entity:
            raise DataError("cannot tell risk without an entity: want entity=NAME")
        step_ms = max(STEP_MS_MIN, -(-(to_ms - from_ms) // points // STEP_MS_MIN) * STEP_MS_MIN)
        begin = from_ms // step_ms * step_ms
        lines = await self._table.lines(begin, to_ms, step_ms, [entity])
        starts = (begin + lines.bucket.astype("int64") * step_ms).tolist()
        columns = (starts, lines.p.tolist(), lines.score.tolist(), lines.flag.tolist())
        return json_response({"entity": entity, "step": step_ms, "data": [list(r) for r in zip(*columns, strict=True)]})

    def _interval(self, request: Request, default_from: str, default_points: str) -> tuple[int, int, int]:
        query, now = request.query_params, self._context.now_ms()
        from_ms, to_ms = interval_ms(query, now, default_from)
        points = query.get("points", default_points)
        if not points.isascii() or not points.isdigit() or not 0 < int(points[:9]) <= POINTS_MAX:
            raise DataError(f"cannot use points={points[:20]!r}: want 1 to {POINTS_MAX}")
        if to_ms <= from_ms:
            raise DataError("cannot use to: want a time after from")
        return from_ms, to_ms, int(points)

    def _labelled(self) -> dict[str, dict[str, list[str]]]:
        """Return the labels of each entity's series, made anew when a series came."""
        series = self._context.repository.series
        if self._labels_of != len(series):
            found: dict[str, dict[str, list[str]]] = {}
            for one in series.every():
                labels = found.setdefault(one.entity, {})
                for name, value in one.labels.items():
                    values = labels.get(name)
                    if values is None:
                        if len(labels) < LABELS_MAX:
                            labels[name] = [value]
                    elif value not in values and len(values) < VALUES_MAX:
                        values.append(value)
            self._labels, self._labels_of = found, len(series)
        return self._labels


def _risk(one: Newest) -> tuple[int, float, float]:
    return one.flag, one.p_incident, one.anomaly_score


def _shown(one: Newest) -> dict[str, Any]:
    out = one._asdict()
    del out["entity"]
    return out
