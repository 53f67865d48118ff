"""What every route needs, made once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.auth import Tokens, token_name
from api.hosts import Hosts
from api.ingest.admission import Admission, Limits
from api.ingest.parsed import Parsed
from api.ingest.publisher import Publisher
from api.live.socket import LiveSocket
from log.base import Log
from schemas.errors import DataError
from schemas.rehearsal import Wanted
from schemas.verdict import Verdict
from store.alerts import AlertTables
from store.incidents import IncidentTable
from store.models import ModelTables
from store.repository import Repository
from store.verdicts import VerdictTable


@dataclass(frozen=True)
class ApiSettings:
    partitions: int
    rollups_ms: dict[str, int]  # tumbling rollups held in the store, name → size
    rollups: tuple[str, ...]  # every rollup that may be asked for
    retention_s: Mapping[str, int | None] = field(default_factory=dict)  # seconds by rollup, None: for ever
    body_max: int = 16 * 1024 * 1024
    future_ms: int = 600_000
    timezone: str = "UTC"
    limits: Limits = field(default_factory=Limits)
    entity_labels: tuple[str, ...] = ("host", "instance", "service")
    tokens: tuple[str, ...] = ()
    tokens_file: Path | None = None
    hosts: Hosts | None = None  # the names that are answered to; None: any
    page: Path | None = None  # the folder of the page
    shown: Sequence[Mapping[str, Any]] = ()  # what GET /api/v1/settings tells, secrets masked


class Gauge(NamedTuple):
    """A figure of ``/metrics``; ``kind``: counter or gauge."""

    name: str
    kind: str
    help: str
    labels: dict[str, str]
    value: float


@dataclass
class Context:
    repository: Repository
    log: Log
    settings: ApiSettings
    now_ms: Callable[[], int]
    period_of: Callable[[int], str]
    telemetry: Callable[[], list[Gauge]]
    not_ready: Callable[[], list[str]]
    live: LiveSocket
    rehearse: Callable[[Wanted, int], Awaitable[AsyncIterator[list[Verdict]]]]
    admission: Admission = field(init=False)
    publisher: Publisher = field(init=False)
    verdicts: VerdictTable = field(init=False)
    incidents: IncidentTable = field(init=False)
    models: ModelTables = field(init=False)
    alerts: AlertTables = field(init=False)
    tokens: Tokens = field(init=False)

    def __post_init__(self) -> None:
        thread = self.repository.thread
        stored = self.repository.series
        self.admission = Admission(self.settings.limits, stored, self.now_ms)
        self.publisher = Publisher(self.log, self.settings.partitions, self.admission.series, stored, self.now_ms)
        self.verdicts, self.incidents, self.models = VerdictTable(thread), IncidentTable(thread), ModelTables(thread)
        self.alerts = AlertTables(thread)
        self.tokens = Tokens(self.settings.tokens, file=self.settings.tokens_file)

    async def body(self, request: Request) -> bytes:
        """Return the body; raises HTTPException 413 over ``limits.body``."""
        limit = self.settings.body_max
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > limit:
                raise HTTPException(413, f"cannot take a body over {limit} bytes (limits.body); send smaller batches")
        return bytes(data)

    @asynccontextmanager
    async def admitted(self, request: Request) -> AsyncIterator[bytes]:
        """Give the body of a request that brings samples, and hold room for it until it is done with.

        Raises HTTPException: 413 as ``body``, 429 over the token's rate, 503 where there is no room.
        """
        limit, declared = self.settings.body_max, request.headers.get("content-length", "")
        self.admission.check_rate(token_name(request.scope))
        with self.admission.body(min(int(declared), limit) if declared.isdigit() else limit):
            body = await self.body(request)
            await self.admission.turn()
            try:
                yield body
            except DataError:
                self.admission.bad_requests += 1
                raise

    async def publish(self, request: Request, parsed: Parsed, identity: bytes) -> Parsed:
        """Put samples on the log and return what was taken.

        identity : what makes a request the same again; it is a repeat where its samples have their own times as well.
        """
        self.admission.bad_samples += len(parsed.rejected)
        if not parsed.series:
            return parsed
        digest = int.from_bytes(sha256(identity).digest()[:8], "little") >> 1 if parsed.all_timed else 0
        taken = await self.publisher.publish(parsed, digest)
        self.admission.spend(token_name(request.scope), len(taken.series))
        return taken


def json_response(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
