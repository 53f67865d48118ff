"""What a process says of itself: the figures of /metrics, and a small server for roles that have no API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.context import Gauge, json_response
from api.routes.health import STORE_TIMEOUT_S, exposition
from schemas.errors import ForeshockError
from store.measured import MeasuredStore
from store.repository import Repository
from stream.worker import StreamWorker


def gauges_of(
    worker: StreamWorker | None, store: MeasuredStore | None, partitions: int, clock_ms: Callable[[], int]
) -> list[Gauge]:
    """Return the figures of a process, whichever parts it has."""
    says = "Partitions of the topics that are split by entity, as configured."
    gauges = [Gauge("foreshock_partitions", "gauge", says, {}, float(partitions))]
    if store is not None:
        for name, value in store.counters.items():
            gauges.append(Gauge(f"foreshock_store_{name}_total", "counter", "Asked of the store.", {}, float(value)))
        for kind, seconds in store.seconds.items():
            name, says = f"foreshock_store_{kind}_seconds_total", f"How long {kind}s took, all together."
            gauges.append(Gauge(name, "counter", says, {}, seconds))
    return gauges + (_of_worker(worker, clock_ms) if worker is not None else [])


def _of_worker(worker: StreamWorker, clock_ms: Callable[[], int]) -> list[Gauge]:
    gauges = [
        Gauge(f"foreshock_{name}_total", "counter", "Counted by the stream worker.", {}, float(value))
        for name, value in worker.status().items()
    ]
    name, says = "foreshock_close_seconds_total", "How long windows took that closed, until they were on the log."
    gauges.append(Gauge(name, "counter", says, {}, worker.close_seconds))
    for topic, count in worker.owned().items():
        says = "Partitions of a topic that this process has."
        gauges.append(Gauge("foreshock_partitions_owned", "gauge", says, {"topic": topic}, float(count)))
    for (topic, partition), lag in worker.lags.items():
        labels, says = {"topic": topic, "partition": str(partition)}, "Records on the log that were not taken in yet."
        gauges.append(Gauge("foreshock_lag_records", "gauge", says, labels, float(lag)))
    for partition, watermark_ms in worker.watermarks().items():
        if watermark_ms > 0:
            labels, delay = {"partition": str(partition)}, (clock_ms() - watermark_ms) / 1000
            name = "foreshock_watermark_delay_seconds"
            gauges.append(Gauge(name, "gauge", "How far event time is behind our clock.", labels, delay))
    return gauges


def metrics_app(
    telemetry: Callable[[], list[Gauge]], not_ready: Callable[[], list[str]], repository: Repository | None
) -> Starlette:
    """Return an app of /metrics, /healthz and /readyz, which needs no token: numbers alone are told."""

    async def metrics(_: Request) -> Response:
        return Response(exposition(telemetry()), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def healthz(_: Request) -> Response:
        return json_response({"status": "alive"})

    async def readyz(_: Request) -> Response:
        missing = not_ready()
        if repository is not None:
            try:
                await asyncio.wait_for(repository.ping(), STORE_TIMEOUT_S)
            except (ForeshockError, TimeoutError) as error:
                missing.append(f"store: {error or 'no answer'}")
        return json_response({"ready": not missing, "not_ready": missing}, 503 if missing else 200)

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)])
