"""The roles of the product, and a process that plays any set of them in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import uvicorn

from api.app import build_app
from api.auth import Guard, Tokens
from api.context import ApiSettings, Context, Gauge
from api.ingest.admission import Limits
from api.ingest.json_samples import parse_json_record
from api.live.connection import Connection
from api.live.hub import LIVE_TOPICS, Hub
from api.live.socket import LiveSocket
from foreshock.access import answered_names, check_access, is_loopback
from foreshock.ending import END_S, end_within
from foreshock.heap import keep_trimmed
from foreshock.settings import Auth, Settings, duration_ms
from foreshock.shown_settings import shown_settings
from foreshock.telemetry import gauges_of, metrics_app
from log.base import Log
from log.open import open_log
from schemas.errors import ForeshockError, SettingsError, SourceError
from schemas.topics import ALL, PARTITIONED, SAMPLES
from schemas.window_spec import parse_rollup
from store.base import open_store
from store.measured import MeasuredStore
from store.repository import Repository
from stream.actions.runbook import Rule, parse_runbook
from stream.alerts.settings import AlertSettings, parse_maintenance, parse_targets
from stream.collect.loop import collect
from stream.models.engine import EngineSettings
from stream.models.groups import Groups
from stream.models.periods import Periods
from stream.rehearsal import Rehearsals
from stream.settings import StreamSettings
from stream.window.calendar import LongWindow, long_windows
from stream.worker import StreamWorker

logger = logging.getLogger("foreshock")

STREAM, API, COLLECT, ALERTING = "stream", "api", "collect", "alerts"
SERIES_REFRESH_S = 2.0
# When everybody comes back at once the kernel holds them, and the event loop takes a few a turn.
BACKLOG, ACCEPTED_AT_ONCE = 4096, 64
ADDRESS_FILE = "address"  # in the data folder: where the running process answers


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
            runbook=_runbook(settings.models.runbook),
            kinds=tuple(settings.models.kinds),
            groups=_groups(settings),
            depends=_depends(settings),
        ),
        long_windows=_long_windows(settings),
        retention_s=settings.windows.retention_s,
        log_retention_ms=duration_ms(settings.broker.retention),
        log_bytes_max=settings.broker.retention_bytes,
        keep_samples=settings.windows.retention_s["samples"] != 0,
        alerts=alert_settings(settings),
        periods=_periods(settings),
    )


def _runbook(path: str) -> tuple[Rule, ...]:
    if not path:
        return ()
    try:
        return parse_runbook(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot use models.runbook={path!r}: {error}") from error


def _groups(settings: Settings) -> Groups:
    try:
        return Groups(settings.models.groups)
    except ValueError as error:
        raise SettingsError(f"cannot use models.groups: {error}") from error


def _depends(settings: Settings) -> dict[str, tuple[str, ...]]:
    return {entity: tuple(causes) for entity, causes in settings.alerts.depends.items()}


def _periods(settings: Settings) -> Periods:
    try:
        return Periods(settings.windows.timezone, settings.periods.country or None, settings.periods.named)
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise SettingsError(f"cannot use periods: {error}") from error


def _long_windows(settings: Settings) -> tuple[LongWindow, ...]:
    try:
        return tuple(long_windows(settings.windows.rollups, settings.windows.timezone))
    except ValueError as error:
        raise SettingsError(str(error)) from error


def alert_settings(settings: Settings) -> AlertSettings:
    """Return what the alerters need; raises SettingsError."""
    given = settings.alerts
    try:
        targets, maintenance = parse_targets(given.targets), parse_maintenance(given.maintenance)
    except ValueError as error:
        raise SettingsError(f"cannot use {error}") from error
    return AlertSettings(
        windows=given.windows,
        group_by=tuple(given.group_by),
        group_wait_ms=duration_ms(given.group_wait),
        give_up_ms=duration_ms(given.give_up),
        targets=targets,
        depends=_depends(settings),
        maintenance=maintenance,
        timezone=settings.windows.timezone,
        page_url=given.page_url,
    )


def api_settings(settings: Settings) -> ApiSettings:
    specs = [parse_rollup(name) for name in settings.windows.rollups]
    page = Path(__file__).parent.parent / "ui"
    return ApiSettings(
        partitions=settings.broker.partitions,
        timezone=settings.windows.timezone,
        rollups_ms={spec.name: spec.size_ms for spec in specs if spec.size_ms == spec.hop_ms},
        rollups=tuple(spec.name for spec in specs),
        retention_s=settings.windows.retention_s,
        limits=Limits(
            series=settings.limits.series,
            series_per_entity=settings.limits.series_per_entity,
            samples_per_s=settings.limits.samples_per_s,
            pending=settings.limits.pending,
        ),
        body_max=settings.limits.body,
        future_ms=duration_ms(settings.limits.future),
        entity_labels=tuple(settings.entities.labels),
        tokens=tuple(settings.auth.tokens),
        tokens_file=Path(settings.auth.tokens_file) if settings.auth.tokens_file else None,
        page=page if page.is_dir() else None,
        shown=shown_settings(settings),
    )


class _Server(uvicorn.Server):
    """Signals are ours: uvicorn would raise them again after its own stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Process:
    """``run`` plays the roles until SIGTERM, SIGINT or a failure. Parts are started in order, stopped in reverse."""

    def __init__(self, settings: Settings, roles: frozenset[str], *, data: Path, host: str, port: int) -> None:
        self._settings, self._roles, self._data, self._host, self._port = settings, roles, data, host, port
        self._partitions = settings.broker.partitions
        self._topics = {t: self._partitions if t in PARTITIONED else 1 for t in ALL}
        self._tasks: dict[str, asyncio.Task] = {}
        self._worker: StreamWorker | None = None
        self._store: MeasuredStore | None = None
        self._repository: Repository | None = None

    @cached_property
    def _stream_settings(self) -> StreamSettings:
        return stream_settings(self._settings)

    async def run(self) -> None:
        """Print ``ready …`` once everything answers. Raises ForeshockError, and RuntimeError for a bug of ours."""
        listener = self._listener() if API in self._roles else None
        _allow_sockets()
        stop = asyncio.Event()

        def asked() -> None:
            if not stop.is_set():
                stop.set()
                end_within(END_S, 0, "asked to stop")

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, asked)
        playing, stopping = asyncio.create_task(self._play(listener)), asyncio.create_task(stop.wait())
        await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        playing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await playing

    async def _play(self, listener: socket.socket | None) -> None:
        async with contextlib.AsyncExitStack() as stack:
            try:
                where = await self._start(stack, listener)
                _spare_the_collector()
                print(f"ready {where or ' '.join(sorted(self._roles))}", flush=True)
                await self._failure()
            except Exception as error:
                end_within(END_S, 1, str(error))
                raise

    async def _start(self, stack: contextlib.AsyncExitStack, listener: socket.socket | None) -> str:
        """Start the parts of all roles; return the address of the API, empty without one."""
        log = open_log(self._settings.broker.url, self._settings.broker.kafka)
        stack.push_async_callback(log.stop)
        await log.start()
        await log.create_topics(self._topics)
        where = ""
        if self._roles & {STREAM, API, ALERTING}:
            self._store = MeasuredStore(open_store(self._settings.store.url, self._settings.store.server))
            repository = self._repository = Repository(self._store)
            stack.push_async_callback(repository.close)
            await repository.open()
            if self._roles & {STREAM, ALERTING}:
                await self._start_stream(stack, log, repository)
            if listener is not None:
                where = await self._start_api(stack, log, repository, listener)
        self._task(stack, "heap", keep_trimmed())
        if COLLECT in self._roles:
            interval_ms = duration_ms(self._settings.collect.interval)
            collecting = collect(log, partitions=self._partitions, interval_ms=interval_ms, now_ms=now_ms)
            self._task(stack, "collector", collecting)
        if listener is None and self._settings.metrics.address:
            await self._start_metrics(stack)
        if where:
            address = self._data / ADDRESS_FILE
            address.write_text(where, encoding="utf-8")
            stack.callback(address.unlink, missing_ok=True)
        return where

    def _task(self, stack: contextlib.AsyncExitStack, name: str, work) -> None:
        task = self._tasks[name] = asyncio.create_task(work, name=name)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        stack.push_async_callback(end)

    def _listener(self) -> socket.socket:
        host, auth = self._host, self._settings.auth
        if not is_loopback(host) and not auth.tokens and not auth.tokens_file and not auth.behind_proxy:
            raise SettingsError(
                f"cannot listen on {host}: without tokens only loopback is open; set auth.tokens (foreshock token) or "
                "auth.tokens_file, or auth.behind_proxy=true where a TLS proxy checks who comes in"
            )
        check_access(auth)
        try:
            return _at_once(
                socket.create_server((host, self._port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
            )
        except OSError as error:
            why = f"{error.strerror or error}; choose another with --host and --port"
            raise SettingsError(f"cannot listen on {host}:{self._port}: {why}") from error

    async def _start_stream(self, stack: contextlib.AsyncExitStack, log: Log, repository: Repository) -> None:
        future_ms = duration_ms(self._settings.limits.future)
        agents = ({"window", "score", "events"} if STREAM in self._roles else set()) | (
            {"alert"} if ALERTING in self._roles else set()
        )
        worker = self._worker = StreamWorker(
            broker_url=self._settings.broker.url,
            kafka=self._settings.broker.kafka,
            log=log,
            repository=repository,
            settings=self._stream_settings,
            now_ms=now_ms,
            datadir=str(self._data / "faust"),
            agents=frozenset(agents),
            read_event=lambda body, at_ms: parse_json_record(body, now_ms=at_ms, future_ms=future_ms),
            group="foreshock" if STREAM in self._roles else "foreshock-alerts",
        )
        stack.push_async_callback(worker.stop)
        await worker.start()

        async def failure() -> None:
            await worker.failed.wait()
            raise SourceError(f"the stream worker ended: {worker.why}; the log keeps everything, start again")

        self._tasks["stream worker"] = asyncio.create_task(failure())
        stack.callback(self._tasks["stream worker"].cancel)

    async def _start_api(
        self, stack: contextlib.AsyncExitStack, log: Log, repository: Repository, listener: socket.socket
    ) -> str:
        hub = Hub(log, {t: self._topics[t] for t in LIVE_TOPICS}, repository.series, time.monotonic)
        checkpoints = {n: await repository.checkpoint(SAMPLES, n) for n in range(self._partitions)}
        await repository.refresh_series()  # after those, so that what they cover is known
        await hub.open({n: one["version"] for n, one in checkpoints.items() if one is not None})
        live = LiveSocket(hub, self._settings.limits.subscribers)
        self._task(stack, "live hub", hub.run())
        self._task(stack, "live sockets", live.run())
        if STREAM not in self._roles:  # else the stream worker tells of each new series at once
            self._task(stack, "series", _refresh(repository))
        hosts = answered_names(self._settings.auth, self._host)
        context = Context(
            repository=repository,
            log=log,
            settings=replace(api_settings(self._settings), hosts=hosts),
            now_ms=now_ms,
            period_of=self._stream_settings.periods.name,
            telemetry=self._telemetry,
            not_ready=self._not_ready,
            live=live,
            rehearse=Rehearsals(repository, self._stream_settings).begin,
        )
        server = _Server(
            uvicorn.Config(
                build_app(context),
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
                ws=Connection,
                backlog=ACCEPTED_AT_ONCE,
                ssl_certfile=self._settings.auth.tls_cert or None,
                ssl_keyfile=self._settings.auth.tls_key or None,
            )
        )
        if await self._serve(stack, server, listener):
            listener.listen(BACKLOG)
        shown = f"[{self._host}]" if ":" in self._host else self._host
        return f"http{'s' if self._settings.auth.tls_cert else ''}://{shown}:{listener.getsockname()[1]}"

    async def _serve(self, stack: contextlib.AsyncExitStack, server: _Server, listener: socket.socket) -> bool:
        serving = self._tasks["server"] = asyncio.create_task(server.serve(sockets=[listener]))

        async def end() -> None:
            server.should_exit = True
            await asyncio.gather(serving, return_exceptions=True)

        stack.push_async_callback(end)
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        return not serving.done()

    async def _start_metrics(self, stack: contextlib.AsyncExitStack) -> None:
        """Answer /metrics, /healthz and /readyz in a role that has no API."""
        host, _, port = self._settings.metrics.address.rpartition(":")
        try:
            listener = _at_once(socket.create_server((host, int(port))))
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"cannot use metrics.address={self._settings.metrics.address!r}: {error}; want e.g. 127.0.0.1:9100"
            ) from error
        hosts = answered_names(Auth(hosts=self._settings.auth.hosts), host) if is_loopback(host) else None
        app = Guard(metrics_app(self._telemetry, self._not_ready, self._repository), Tokens([]), hosts)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        await self._serve(stack, _Server(config), listener)

    def _telemetry(self) -> list[Gauge]:
        return gauges_of(self._worker, self._store, self._partitions, now_ms)

    def _not_ready(self) -> list[str]:
        return [f"{name} ended" for name, task in self._tasks.items() if task.done()]

    async def _failure(self) -> None:
        """Wait until a part ends, which none does by itself, and raise why."""
        await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        for name, task in self._tasks.items():
            if task.done():
                error = None if task.cancelled() else task.exception()
                if isinstance(error, ForeshockError):
                    raise error
                raise RuntimeError(f"BUG: the {name} ended; the log keeps everything, start again") from error


def _allow_sockets() -> None:
    """Use as many file descriptors as we may have: a websocket is one, and shells give 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _at_once(listener: socket.socket) -> socket.socket:
    """Let what is written to those it accepts go at once: an answer's end waited 40 ms for its begin's acknowledgement.

    asyncio asks for this only of sockets that name their protocol, which those of ``create_server`` do not.
    """
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
    return listener


def _spare_the_collector() -> None:
    """Leave what was made until now out of garbage collection: looking through it would stop everything for 50 ms."""
    gc.collect()
    gc.freeze()


async def _refresh(repository: Repository) -> None:
    while True:
        await asyncio.sleep(SERIES_REFRESH_S)
        try:
            await repository.refresh_series()
        except ForeshockError as error:
            logger.warning("cannot look for new series: %s", error)
