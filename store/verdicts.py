"""Verdicts in a store."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from schemas.verdict import Verdict
from store.thread import StoreThread

VERDICTS_MAX = 10_000
_TIMES = "start_ms >= {low:Int64} AND start_ms < {high:Int64}"


class VerdictTable:
    def __init__(self, thread: StoreThread) -> None:
        self._thread = thread

    async def write(self, verdicts: list[Verdict]) -> None:
        """Write verdicts; one of the same window replaces the one before by its version."""
        await self._thread.run(self._write, verdicts)

    def _write(self, verdicts: list[Verdict]) -> None:
        columns = {
            "rollup": [v.rollup for v in verdicts],
            "entity": [v.entity for v in verdicts],
            "start_ms": np.array([v.start for v in verdicts], np.int64),
            "end_ms": np.array([v.end for v in verdicts], np.int64),
            "anomaly_score": np.array([v.anomaly_score for v in verdicts]),
            "p_incident": np.array([v.p_incident for v in verdicts]),
            "flag": np.array([v.flag for v in verdicts], np.uint8),
            "id": [v.id for v in verdicts],
            "body": [msgspec.json.encode(v).decode() for v in verdicts],
            "version": np.array([v.version for v in verdicts], np.int64),
        }
        self._thread.store.insert("verdicts", columns)

    async def select(
        self,
        low_ms: int,
        high_ms: int,
        *,
        entities: list[str] | None = None,
        rollups: list[str] | None = None,
        flagged: bool = False,
        limit: int = VERDICTS_MAX,
    ) -> list[msgspec.Raw]:
        """Return the verdicts, as JSON, of windows that start in [low, high), oldest first; None: of all."""
        where, parameters = _where(low_ms, high_ms, entities, rollups, flagged)
        sql = f"SELECT body FROM verdicts FINAL WHERE {where} ORDER BY start_ms, entity, rollup LIMIT {{limit:UInt32}}"  # noqa: S608
        rows = await self._thread.read(self._thread.store.select, sql, parameters | {"limit": min(limit, VERDICTS_MAX)})
        return [msgspec.Raw(body.encode("utf-8", "surrogateescape")) for body in rows["body"]]

    async def by_id(self, verdict_id: str) -> Verdict | None:
        sql = "SELECT body FROM verdicts FINAL WHERE id = {id:String} LIMIT 1"
        rows = await self._thread.read(self._thread.store.select, sql, {"id": verdict_id})
        return msgspec.json.decode(rows["body"][0], type=Verdict) if len(rows["body"]) else None

    async def scores(
        self, low_ms: int, high_ms: int, entities: list[str] | None, rollups: list[str] | None, *, flagged: bool
    ) -> list[dict[str, Any]]:
        """Return the numbers alone of each verdict, for strips and shading."""
        where, parameters = _where(low_ms, high_ms, entities, rollups, flagged)
        fields = ("entity", "rollup", "start", "end", "anomaly_score", "p_incident", "flag", "id")
        columns = "entity, rollup, start_ms, end_ms, anomaly_score, p_incident, flag, id"
        sql = f"SELECT {columns} FROM verdicts FINAL WHERE {where} ORDER BY start_ms LIMIT 100000"  # noqa: S608
        rows = await self._thread.read(self._thread.store.select, sql, parameters)
        lists = [c if isinstance(c, list) else c.tolist() for c in rows.values()]
        return [dict(zip(fields, values, strict=True)) for values in zip(*lists, strict=True)]


def _where(
    low_ms: int, high_ms: int, entities: list[str] | None, rollups: list[str] | None, flagged: bool
) -> tuple[str, dict[str, Any]]:
    where = _TIMES
    parameters: dict[str, Any] = {"low": low_ms, "high": high_ms}
    if entities is not None:
        where += " AND entity IN {entities:Array(String)}"
        parameters["entities"] = entities
    if rollups is not None:
        where += " AND rollup IN {rollups:Array(String)}"
        parameters["rollups"] = rollups
    return where + (" AND flag = 1" if flagged else ""), parameters
