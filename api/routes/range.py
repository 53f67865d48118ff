"""``GET /api/v1/range``, ``/entities``, ``/series``."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from api.context import Context, json_response
from api.shapes import ENCODED_AT_ONCE, SHAPES, answer_of
from api.times import interval_ms
from schemas.errors import DataError
from schemas.series import Series
from store.ranges import STATS, RangeResult
from store.repository import SERIES_MAX

POINTS_MAX = 100_000
PERIOD_STEPS_MAX = 4000
OVERLAYS_MAX = 6
_OVERLAY_MS = {"h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000, "mo": 28 * 86_400_000}


class RangeRoutes:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def range(self, request: Request) -> Response:
        context, query, now = self._context, request.query_params, self._context.now_ms()
        from_ms, to_ms = interval_ms(query, now, "-1h")
        stat, shape = query.get("stat", "mean"), query.get("format", "json")
        if stat not in STATS or shape not in SHAPES:
            raise DataError(
                f"cannot use stat={stat[:20]!r}, format={shape[:20]!r}: want one of {', '.join(STATS)};"
                f" one of {', '.join(SHAPES)}"
            )
        series = context.repository.select_series(query.getlist("entity"), query.getlist("metric"))
        if len(series) > SERIES_MAX:
            raise DataError(
                f"cannot answer {len(series)} series at once: want at most {SERIES_MAX}; name entity or metric"
            )
        auto = query.get("rollup", "auto") == "auto"
        choice = self._rollups(query.get("rollup", "auto"), query.get("points", "1000"), to_ms - from_ms)
        found, flags = await asyncio.gather(
            self._found(choice, series, from_ms, to_ms, stat, now, auto=auto),
            self._flags(from_ms, to_ms, series if shape == "json" else []),
        )
        rollup = found.rollup
        starts, values = found.starts_ms, found.values
        names = [s.key for s in series]
        ago = _overlays(query.get("overlay", ""))
        if len(series) * (1 + len(ago)) > SERIES_MAX:
            raise DataError(f"cannot overlay so many series: want at most {SERIES_MAX} columns")
        before = (self._select(from_ms - ago_ms, to_ms - ago_ms, series, stat, rollup) for ago_ms in ago.values())
        for (name, ago_ms), then in zip(ago.items(), await asyncio.gather(*before), strict=True):
            starts, values = _beside(starts, values, then.starts_ms + ago_ms, then.values)
            names += [f"{s.key} {name} ago" for s in series]
        entities = [s.entity for s in series] * (1 + len(ago))
        one = len({s.entity for s in series}) == 1 and shape != "json"
        pairs = zip(entities, names, strict=True)
        labels = ["timestamp", *(name if one else f"{entity} {name}" for entity, name in pairs)]
        more = {}
        if shape == "json":
            more = {"flags": flags, "periods": self._periods(from_ms, to_ms)}
        about = {"rollup": rollup, "stat": stat}
        if values.size < ENCODED_AT_ONCE:
            return answer_of(shape, labels, starts, values, about, more)
        return await asyncio.to_thread(answer_of, shape, labels, starts, values, about, more)

    async def _found(
        self, choice: list[str], series: list[Series], from_ms: int, to_ms: int, stat: str, now_ms: int, *, auto: bool
    ) -> RangeResult:
        """Return the lines of the finest rollup of ``choice`` that is kept; ``auto``: of a finer one if it has none."""
        rollup = await self._kept(choice, series, from_ms, to_ms, now_ms)
        found = await self._select(from_ms, to_ms, series, stat, rollup)
        if auto and not len(found.starts_ms):
            return await self._finer(found, from_ms, to_ms, series)
        return found

    async def _flags(self, from_ms: int, to_ms: int, series: list[Series]) -> list[dict[str, Any]]:
        entities = sorted({s.entity for s in series})
        if not entities:
            return []
        return await self._context.verdicts.scores(from_ms, to_ms, entities, None, flagged=True)

    async def _select(self, from_ms: int, to_ms: int, series: list[Series], stat: str, rollup: str) -> RangeResult:
        return await self._context.repository.ranges.select(from_ms, to_ms, series, stat, rollup)

    async def _finer(self, nothing: RangeResult, from_ms: int, to_ms: int, series: list[Series]) -> RangeResult:
        """Return the coarsest finer rollup that has windows: a longer one's may be still open, or not merged yet."""
        sizes = self._context.settings.rollups_ms
        finer = sorted((size, name) for name, size in sizes.items() if size < sizes.get(nothing.rollup, 0))
        for size, name in reversed(finer):
            if (to_ms - from_ms) / size > POINTS_MAX:
                break
            found = await self._select(from_ms, to_ms, series, nothing.stat, name)
            if len(found.starts_ms):
                return found
        return nothing

    async def _kept(self, choice: list[str], series: list[Series], from_ms: int, to_ms: int, now_ms: int) -> str:
        """Return the first of the rollups, finest first, that is still kept as far back as a coarser one is."""
        settings, earliest = self._context.settings, self._context.repository.ranges.earliest
        for rollup, coarser in zip(choice, choice[1:], strict=False):
            kept_s = settings.retention_s.get(rollup)
            if kept_s is None or from_ms >= now_ms - kept_s * 1000:
                return rollup
            coarse = await earliest(coarser, series, from_ms, to_ms)
            if coarse is None:
                return rollup
            until_ms = coarse + settings.rollups_ms[coarser]
            if await earliest(rollup, series, from_ms, until_ms + 1) is not None:
                return rollup
        return choice[-1]

    def _rollups(self, asked: str, points: str, span_ms: int) -> list[str]:
        """Return the rollup asked for, or those that fit ``points``, finest first."""
        settings = self._context.settings
        if asked != "auto":
            if asked not in settings.rollups:
                raise DataError(f"cannot use rollup={asked[:20]!r}: want auto, {', '.join(settings.rollups)}")
            return [asked]
        if not points.isascii() or not points.isdigit() or not 0 < int(points[:9]) <= POINTS_MAX:
            raise DataError(f"cannot use points={points[:20]!r}: want 1 to {POINTS_MAX}")
        by_size = sorted(settings.rollups_ms.items(), key=lambda item: item[1])
        fitting = [name for name, size_ms in by_size if span_ms / size_ms <= int(points)]
        return fitting or [by_size[-1][0]]

    def _periods(self, from_ms: int, to_ms: int) -> list[dict[str, object]]:
        """Return the traffic periods of an interval, looked at every hour, or so often that it stays bounded."""
        step = max(3_600_000, (to_ms - from_ms) // PERIOD_STEPS_MAX)
        out: list[dict[str, object]] = []
        at = from_ms
        while at < to_ms:
            name = self._context.period_of(at)
            if out and out[-1]["name"] == name:
                out[-1]["end"] = min(at + step, to_ms)
            else:
                out.append({"name": name, "start": at, "end": min(at + step, to_ms)})
            at = at // step * step + step
        return out

    async def periods(self, request: Request) -> Response:
        now, query = self._context.now_ms(), request.query_params
        from_ms, to_ms = interval_ms(query, now, "-7d")
        return json_response(self._periods(from_ms, to_ms))

    async def entities(self, _: Request) -> Response:
        counts = self._context.repository.series.entities()
        seen = await self._context.repository.seen()
        first = {entity: (low, high) for entity, low, high in seen}
        rows = [
            {
                "entity": entity,
                "series": n,
                "first_seen": first.get(entity, (None, None))[0],
                "last_seen": first.get(entity, (None, None))[1],
            }
            for entity, n in sorted(counts.items())
        ]
        return json_response(rows)

    async def series(self, request: Request) -> Response:
        query = request.query_params
        found = self._context.repository.select_series(query.getlist("entity"), query.getlist("metric"))
        seen = await self._context.repository.series_seen([s.series_id for s in found[:SERIES_MAX]])
        fields = ("entity", "metric", "key", "labels", "kind")
        rows = []
        for one in found:
            low, high = seen.get(one.series_id, (None, None))
            rows.append({name: getattr(one, name) for name in fields} | {"first_seen": low, "last_seen": high})
        return json_response(rows)


def _overlays(text: str) -> dict[str, int]:
    """Return how long ago each overlay is, ms: ``1d``, ``1w``, and ``1mo``, four weeks, so that weekdays meet."""
    out: dict[str, int] = {}
    for name in filter(None, text.split(",")):
        found = re.fullmatch(r"([1-9]\d{0,2})(h|d|w|mo)", name)
        if not found or len(out) >= OVERLAYS_MAX:
            raise DataError(f"cannot use overlay={text[:40]!r}: want up to {OVERLAYS_MAX} such as 1d,1w,1mo")
        out[name] = int(found[1]) * _OVERLAY_MS[found[2]]
    return out


def _beside(
    starts: np.ndarray, values: np.ndarray, more_starts: np.ndarray, more: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of both, columns beside each other, NaN where one has none."""
    every = np.union1d(starts, more_starts)
    out = np.full((len(every), values.shape[1] + more.shape[1]), np.nan)
    out[np.searchsorted(every, starts), : values.shape[1]] = values
    out[np.searchsorted(every, more_starts), values.shape[1] :] = more
    return every, out
