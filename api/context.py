"""What every route needs, made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.auth import Tokens
from api.ingest.publisher import Publisher
from api.live.hub import Hub
from log.base import Log
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
    entity_labels: tuple[str, ...] = ("host", "instance", "service")
    tokens: tuple[str, ...] = ()
    page: Path | None = None  # the folder of the page


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
    hub: Hub
    publisher: Publisher = field(init=False)
    verdicts: VerdictTable = field(init=False)
    incidents: IncidentTable = field(init=False)
    models: ModelTables = field(init=False)
    tokens: Tokens = field(init=False)

    def __post_init__(self) -> None:
        thread = self.repository.thread
        self.publisher = Publisher(self.log, self.settings.partitions, self.now_ms)
        self.verdicts, self.incidents, self.models = VerdictTable(thread), IncidentTable(thread), ModelTables(thread)
        self.tokens = Tokens(self.settings.tokens)

    async def body(self, request: Request) -> bytes:
        """Return the body; raises HTTPException 413 over ``limits.body``."""
        limit = self.settings.body_max
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > limit:
                raise HTTPException(413, f"cannot take a body over {limit} bytes (limits.body); send smaller batches")
        return bytes(data)


def json_response(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
