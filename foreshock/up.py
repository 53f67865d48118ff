"""The whole product in one process and one event loop: log, store, stream worker, API, collector."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from api.app import build_app
from api.auth import parse_token
from api.context import ApiSettings, Context, Gauge
from api.live.hub import LIVE_TOPICS, Hub
from foreshock.settings import Settings, duration_ms
from log.open import open_log
from schemas.errors import SettingsError
from schemas.topics import ALL, PARTITIONED
from store.base import open_store
from store.repository import Repository
from stream.collect.loop import collect
from stream.models.engine import EngineSettings
from stream.models.periods import Periods
from stream.settings import StreamSettings
from stream.window.spec import in_memory, parse_rollup
from stream.worker import StreamWorker

logger = logging.getLogger("foreshock")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def stream_settings(settings: Settings) -> StreamSettings:
    return StreamSettings(
        rollups=tuple(settings.windows.rollups),
        lateness_ms=settings.windows.lateness_ms,
        partitions=settings.broker.partitions,
        model_rollups=tuple(r for r in settings.models.rollups if r in settings.windows.rollups),
        engine=EngineSettings(
            horizons_ms=tuple(sorted(duration_ms(horizon) for horizon in settings.models.horizons)),
            alarms_per_day=settings.models.alarms_per_day,
        ),
        periods=Periods(settings.windows.timezone, settings.periods.country or None),
    )


def api_settings(settings: Settings) -> ApiSettings:
    specs = [spec for spec in map(parse_rollup, settings.windows.rollups) if in_memory(spec)]
    return ApiSettings(
        partitions=settings.broker.partitions,
        rollups_ms={spec.name: spec.size_ms for spec in specs if spec.size_ms == spec.hop_ms},
        rollups=tuple(spec.name for spec in specs),
        body_max=settings.limits.body,
        future_ms=duration_ms(settings.limits.future),
        model_rollups=tuple(settings.models.rollups),
        tokens=tuple(settings.auth.tokens),
        page=page if (page := Path(__file__).parent.parent / "ui").is_dir() else None,
    )


def telemetry(worker: StreamWorker, clock_ms: Callable[[], int]) -> list[Gauge]:
    """Return what ``/metrics`` says of a stream worker."""
    gauges = [
        Gauge(f"foreshock_{name}_total", "counter", "Counted by the stream worker.", {}, float(value))
        for name, value in worker.status().items()
    ]
    for partition, watermark_ms in worker.watermarks().items():
        if watermark_ms > 0:
            labels, delay = {"partition": str(partition)}, (clock_ms() - watermark_ms) / 1000
            name = "foreshock_watermark_delay_seconds"
            gauges.append(Gauge(name, "gauge", "How far event time is behind our clock.", labels, delay))
    return gauges


class _Server(uvicorn.Server):
    """Signals are ours: uvicorn would raise them again after its own stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def up(settings: Settings, *, data: Path, host: str, port: int, with_collector: bool) -> None:
    """Run until SIGTERM or SIGINT; prints ``ready http://HOST:PORT`` once everything answers."""
    if host not in _LOOPBACK and not settings.auth.tokens and not settings.auth.behind_proxy:
        raise SettingsError(
            f"cannot listen on {host}: without tokens only loopback is open; set auth.tokens (foreshock token), "
            "or auth.behind_proxy=true where a TLS proxy checks who comes in"
        )
    try:
        for line in settings.auth.tokens:
            parse_token(line)
    except ValueError as error:
        raise SettingsError(f"cannot use auth.tokens: {error}") from error
    data.mkdir(parents=True, exist_ok=True)
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    log = open_log(settings.broker.url, replication=settings.broker.replication)
    await log.start()
    repository = Repository(open_store(settings.store.url))
    try:
        await repository.open()
        await log.create_topics({t: settings.broker.partitions if t in PARTITIONED else 1 for t in ALL})
        worker = StreamWorker(
            broker_url=settings.broker.url,
            log=log,
            repository=repository,
            settings=stream_settings(settings),
            now_ms=now_ms,
            datadir=str(data / "faust"),
        )
        await worker.start()
        partitions = settings.broker.partitions
        hub = Hub(log, {t: partitions if t in PARTITIONED else 1 for t in LIVE_TOPICS}, repository.series.get)
        await hub.open()
        following = asyncio.create_task(hub.run())
        context = Context(
            repository=repository,
            log=log,
            settings=api_settings(settings),
            now_ms=now_ms,
            period_of=stream_settings(settings).periods.name,
            telemetry=lambda: telemetry(worker, now_ms),
            not_ready=lambda: ["stream worker failed"] if worker.failed.is_set() else [],
            hub=hub,
        )
        server = _Server(
            uvicorn.Config(
                build_app(context),
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
                ws_max_size=1 << 17,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        collecting = None
        if with_collector:
            interval_ms = duration_ms(settings.collect.interval)
            collecting = asyncio.create_task(
                collect(log, partitions=settings.broker.partitions, interval_ms=interval_ms, now_ms=now_ms)
            )
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        shown = f"[{host}]" if ":" in host else host
        print(f"ready http://{shown}:{listener.getsockname()[1]}", flush=True)
        failed = asyncio.create_task(worker.failed.wait())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({failed, stopping, serving, following}, return_when=asyncio.FIRST_COMPLETED)
        broken = worker.failed.is_set() or following.done()
        if collecting:
            collecting.cancel()
        server.should_exit = True
        await serving
        following.cancel()
        await worker.stop()
        for task in (failed, stopping):
            task.cancel()
        if broken:
            raise RuntimeError("BUG: an agent failed; the log keeps everything, start again")
    finally:
        await repository.close()
        await log.stop()
