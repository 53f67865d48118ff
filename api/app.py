"""The ASGI application: every route, one line each."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp

from api.auth import Guard
from api.context import Context, json_response
from api.errors import on_error
from api.openapi import describe
from api.routes.alerts import AlertRoutes
from api.routes.doors import DoorRoutes
from api.routes.forecast import ForecastRoutes
from api.routes.health import HealthRoutes
from api.routes.incident_hooks import IncidentHooks
from api.routes.incidents import IncidentRoutes
from api.routes.models import ModelRoutes
from api.routes.overview import OverviewRoutes
from api.routes.page import PageRoutes
from api.routes.range import RangeRoutes
from api.routes.rehearsal import RehearsalRoutes
from api.routes.samples import SampleRoutes
from api.routes.settings import SettingsRoutes
from api.routes.verdicts import VerdictRoutes
from schemas.errors import ForeshockError


def build_app(context: Context) -> ASGIApp:
    """Return the application; its parts are those of the context."""
    samples, ranges, verdicts = SampleRoutes(context), RangeRoutes(context), VerdictRoutes(context)
    doors = DoorRoutes(context)
    incidents, health = IncidentRoutes(context), HealthRoutes(context)
    models = ModelRoutes(context)
    hooks, alerts = IncidentHooks(context, incidents), AlertRoutes(context)
    overview = OverviewRoutes(context)

    async def openapi(_: Request) -> Response:
        return json_response(describe())

    routes: list[BaseRoute] = [
        Route("/api/v1/samples", samples.samples, methods=["POST"]),
        Route("/api/v1/events", samples.events, methods=["POST"]),
        Route("/api/v1/write", doors.remote_write, methods=["POST"]),
        Route("/api/v2/write", doors.influx, methods=["POST"]),
        Route("/write", doors.influx, methods=["POST"]),
        Route("/collectd", doors.collectd, methods=["POST"]),
        Route("/v1/metrics", doors.otlp, methods=["POST"]),
        Route("/api/v1/range", ranges.range),
        Route("/api/v1/forecast", ForecastRoutes(context).forecast),
        Route("/api/v1/entities", ranges.entities),
        Route("/api/v1/series", ranges.series),
        Route("/api/v1/periods", ranges.periods),
        Route("/api/v1/overview", overview.overview),
        Route("/api/v1/risk", overview.risk),
        Route("/api/v1/settings", SettingsRoutes(context).settings),
        Route("/api/v1/verdicts", verdicts.verdicts),
        Route("/api/v1/scores", verdicts.scores),
        Route("/api/v1/verdicts/{id}/feedback", verdicts.feedback, methods=["POST"]),
        Route("/api/v1/models", models.models),
        Route("/api/v1/models/{id}", models.model),
        Route("/api/v1/models/{id}/pin", models.pin, methods=["POST"]),
        Route("/api/v1/rehearsal", RehearsalRoutes(context).rehearsal),
        Route("/api/v1/incidents", incidents.list, methods=["GET"]),
        Route("/api/v1/incidents", incidents.add, methods=["POST"]),
        Route("/api/v1/incidents/alertmanager", hooks.alertmanager, methods=["POST"]),
        Route("/api/v1/incidents/pagerduty", hooks.pagerduty, methods=["POST"]),
        Route("/api/v1/incidents/{id}", incidents.one, methods=["GET"]),
        Route("/api/v1/incidents/{id}", incidents.withdraw, methods=["DELETE"]),
        Route("/api/v1/alerts", alerts.list),
        Route("/api/v1/silences", alerts.silences, methods=["GET"]),
        Route("/api/v1/silences", alerts.silence, methods=["POST"]),
        Route("/api/v1/silences/{id}", alerts.expire, methods=["DELETE"]),
        Route("/api/v1/session", health.sign_in, methods=["POST"]),
        Route("/api/v1/openapi.json", openapi),
        Route("/healthz", health.healthz),
        Route("/readyz", health.readyz),
        Route("/metrics", health.metrics),
        WebSocketRoute("/api/v1/live", context.live.serve),
    ]
    if context.settings.page is not None:
        page = PageRoutes(context.settings.page)
        routes += [Route("/", page.index), Route("/ui/{name}", page.file), Route("/vendor/{name}", page.file)]
    app = Starlette(
        routes=routes, exception_handlers=dict.fromkeys((HTTPException, ForeshockError, Exception), on_error)
    )
    return Guard(app, context.tokens, context.settings.hosts)
