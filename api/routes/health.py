"""``/healthz``, ``/readyz``, ``/metrics``, sign-in."""

from __future__ import annotations

import asyncio
import math

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.auth import COOKIE, SESSION_S
from api.context import Context, Gauge, json_response
from api.ingest.body import read_json
from schemas.errors import ForeshockError

STORE_TIMEOUT_S = 5


class HealthRoutes:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def healthz(self, _: Request) -> Response:
        return json_response({"status": "alive"})

    async def readyz(self, _: Request) -> Response:
        """503 with what is not ready."""
        missing = self._context.not_ready()
        try:
            await asyncio.wait_for(self._context.repository.ping(), STORE_TIMEOUT_S)
        except (ForeshockError, TimeoutError) as error:
            missing.append(f"store: {error or 'no answer'}")
        return json_response({"ready": not missing, "not_ready": missing}, 503 if missing else 200)

    async def metrics(self, _: Request) -> Response:
        gauges = [*self._context.telemetry(), *_refusals(self._context)]
        live = self._context.live
        gauges.append(Gauge("foreshock_live_subscribers", "gauge", "Open live websockets.", {}, float(len(live))))
        gauges += [
            Gauge(f"foreshock_{name}_total", "counter", "Counted by the live hub.", {}, float(value))
            for name, value in live.counters.items()
        ]
        try:
            cards = await asyncio.wait_for(self._context.models.cards(), STORE_TIMEOUT_S)
            up = 1.0
        except (ForeshockError, TimeoutError):
            cards, up = [], 0.0  # the figures of everything else are wanted most when the store is away
        gauges.append(Gauge("foreshock_store_up", "gauge", "Whether the store answers.", {}, up))
        for card in cards:
            for figure in ("roc_auc", "average_precision", "brier", "windows"):
                if card.get(figure) is not None:
                    labels = {"model": card["id"], "partition": str(card["partition"])}
                    name = f"foreshock_model_{figure}"
                    gauges.append(Gauge(name, "gauge", "How right a model has been.", labels, card[figure]))
        return Response(exposition(gauges), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def sign_in(self, request: Request) -> Response:
        """Exchange a token for a cookie that scripts cannot read."""
        body = await self._context.body(request)
        secret = read_json(body, dict[str, str], '{"token": "…"}').get("token", "")
        token = self._context.tokens.of_secret(secret)
        if token is None:
            raise HTTPException(401, "cannot sign in: this token is not known")
        response = json_response({"name": token.name, "scopes": sorted(token.scopes)})
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        response.set_cookie(
            COOKIE,
            self._context.tokens.session(token),
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=secure,
        )
        return response


def _refusals(context: Context) -> list[Gauge]:
    refused = {
        "series_limit": context.admission.series.refused,
        "rate": context.admission.refused_rate,
        "busy": context.admission.refused_busy,
        "bad_sample": context.admission.bad_samples,
        "bad_request": context.admission.bad_requests,
    }
    name, says = (
        "foreshock_refused_total",
        "Refused at the doors: samples (series_limit, bad_sample), or requests.",
    )
    return [Gauge(name, "counter", says, {"reason": reason}, float(n)) for reason, n in refused.items()]


def exposition(gauges: list[Gauge]) -> str:
    """Return Prometheus text, every name described once."""
    lines: list[str] = []
    described: set[str] = set()
    for gauge in sorted(gauges, key=lambda g: g.name):
        if gauge.name not in described:
            described.add(gauge.name)
            lines += [f"# HELP {gauge.name} {gauge.help}", f"# TYPE {gauge.name} {gauge.kind}"]
        escaped = (
            f'{name}="' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
            for name, text in gauge.labels.items()
        )
        labels = ",".join(escaped)
        value = "NaN" if math.isnan(gauge.value) else f"{gauge.value:.10g}"
        lines.append(f"{gauge.name}{{{labels}}} {value}" if labels else f"{gauge.name} {value}")
    return "\n".join(lines) + "\n"
