"""Alerts, silences and the outbox in a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from schemas.alert import Alert, Notification, Silence
from store.thread import StoreThread


class AlertTables:
    """The same row again replaces the one before, by its ``updated_ms``."""

    def __init__(self, thread: StoreThread) -> None:
        self._thread = thread

    async def _bodies(
        self, sql: str, kind: Any, parameters: dict[str, Any] | None = None, *, shown: bool = False
    ) -> list[Any]:
        """``shown``: to people, who do not wait for what is being written."""
        ask = self._thread.read if shown else self._thread.run
        rows = await ask(self._thread.store.select, sql, parameters or {})
        return [msgspec.json.decode(body, type=kind) for body in rows["body"]]

    async def write(
        self,
        partition: int,
        alerts: Sequence[Alert],
        notifications: Sequence[Notification],
        checkpoint: dict[str, Any] | None = None,
    ) -> None:
        """Write all of it, the checkpoint last: when it is durable, so is everything it stands for."""
        await self._thread.run(self._write, partition, alerts, notifications, checkpoint)

    def _write(
        self,
        partition: int,
        alerts: Sequence[Alert],
        notifications: Sequence[Notification],
        checkpoint: dict[str, Any] | None,
    ) -> None:
        insert = self._thread.store.insert
        if notifications:
            columns: dict[str, Any] = {
                name: [getattr(n, name) for n in notifications] for name in ("id", "target", "state")
            }
            numbers = {
                name: np.array([getattr(n, name) for n in notifications], np.int64)
                for name in ("partition", "created_ms", "updated_ms")
            }
            body = [msgspec.json.encode(n).decode() for n in notifications]
            insert("outbox", columns | numbers | {"body": body})
        if alerts:
            columns = {name: [getattr(a, name) for a in alerts] for name in ("fingerprint", "entity", "state")}
            columns |= {
                "partition": np.full(len(alerts), partition),
                "body": [msgspec.json.encode(a).decode() for a in alerts],
            }
            insert("alerts", columns | {"updated_ms": np.array([a.updated_ms for a in alerts], np.int64)})
        if checkpoint:
            insert("checkpoints", {name: [value] for name, value in checkpoint.items()})

    async def open_alerts(self, partition: int) -> list[Alert]:
        """Return a partition's alerts, resolved ones too: their numbers go on."""
        sql = "SELECT body FROM alerts FINAL WHERE partition = {partition:Int64}"
        return await self._bodies(sql, Alert, {"partition": partition})

    async def alerts(self, limit: int = 10_000) -> list[Alert]:
        """Return the alerts, the last changed first."""
        sql = "SELECT body FROM alerts FINAL ORDER BY updated_ms DESC LIMIT {limit:UInt32}"
        return await self._bodies(sql, Alert, {"limit": limit}, shown=True)

    async def firing(self) -> list[str]:
        """Return the entities of firing alerts, of any partition."""
        rows = await self._thread.run(
            self._thread.store.select, "SELECT DISTINCT entity FROM alerts FINAL WHERE state = 'firing'", {}
        )
        return list(rows["entity"])

    async def waiting(self, partition: int) -> list[Notification]:
        """Return what is still to be delivered for a partition, oldest first."""
        sql = "SELECT body FROM outbox FINAL WHERE partition = {partition:Int64} AND state = 'waiting'"
        found = await self._bodies(sql, Notification, {"partition": partition})
        return sorted(found, key=lambda n: (n.created_ms, max((a.sequence for a in n.alerts), default=0), n.id))

    async def put_since(self, partition: int, since_ms: int) -> list[Notification]:
        """Return what was put in a partition's outbox since then, whatever became of it."""
        sql = "SELECT body FROM outbox FINAL WHERE partition = {partition:Int64} AND created_ms >= {since:Int64}"
        return await self._bodies(sql, Notification, {"partition": partition, "since": since_ms})

    async def notifications(self, limit: int = 1000) -> list[Notification]:
        """Return the outbox, newest first."""
        sql = "SELECT body FROM outbox FINAL ORDER BY created_ms DESC LIMIT {limit:UInt32}"
        return await self._bodies(sql, Notification, {"limit": limit}, shown=True)

    async def silences(self) -> list[Silence]:
        return await self._bodies("SELECT body FROM silences FINAL ORDER BY updated_ms DESC LIMIT 1000", Silence)

    async def put_silence(self, silence: Silence) -> None:
        columns = {
            "id": [silence.id],
            "body": [msgspec.json.encode(silence).decode()],
            "updated_ms": [silence.updated_ms],
        }
        await self._thread.run(self._thread.store.insert, "silences", columns)
