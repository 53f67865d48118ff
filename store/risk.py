"""How risk went, from the verdicts' numbers alone: the worst of all rollups, bucket by bucket."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from store.thread import StoreThread

# Verdicts of windows that began before the interval may still reach into it. PREWHERE holds only what is of the key:
# every version of a row agrees in it, so that it may be chosen by before versions are compared.
MARGIN_MS = 3_600_000
ROWS_MAX = 2_000_000
_NUMBERS = "SELECT rollup, entity, start_ms, end_ms, anomaly_score, p_incident, flag FROM verdicts FINAL"


class RiskLines(NamedTuple):
    """A row a bucket that has a verdict, by entity and bucket; bucket 0 begins with the interval."""

    entity: list[str]
    bucket: np.ndarray
    score: np.ndarray
    p: np.ndarray
    flag: np.ndarray


class Newest(NamedTuple):
    """The newest verdict of one entity and rollup."""

    entity: str
    rollup: str
    start: int
    end: int
    anomaly_score: float
    p_incident: float
    flag: int


class RiskTable:
    def __init__(self, thread: StoreThread) -> None:
        self._thread = thread

    async def lines(self, low_ms: int, high_ms: int, step_ms: int, entities: list[str] | None) -> RiskLines:
        """Return the highest numbers of each bucket of ``step_ms`` in [low, high); None: of every entity."""
        where = ""
        parameters: dict[str, Any] = {"low": low_ms, "high": high_ms, "step": step_ms, "margin": low_ms - MARGIN_MS}
        if entities is not None:
            where = " AND entity IN {entities:Array(String)}"
            parameters["entities"] = entities
        first = "intDiv(greatest(start_ms, {low:Int64}) - {low:Int64}, {step:Int64})"
        last = "intDiv(least(end_ms, {high:Int64}) - 1 - {low:Int64}, {step:Int64})"
        sql = (
            "SELECT entity, arrayJoin(range(toUInt64(first), toUInt64(last + 1))) AS bucket,"  # noqa: S608 - of ours
            " max(anomaly_score) AS score, max(p_incident) AS p, max(flag) AS flagged"
            f" FROM (SELECT entity, {first} AS first, {last} AS last, anomaly_score, p_incident, flag"
            f" FROM ({_NUMBERS} PREWHERE start_ms >= {{margin:Int64}} AND start_ms < {{high:Int64}}"
            f"{where} WHERE end_ms > {{low:Int64}}))"
            f" GROUP BY entity, bucket ORDER BY entity, bucket LIMIT {ROWS_MAX}"
        )
        rows = await self._thread.read(self._thread.store.select, sql, parameters)
        return RiskLines(rows["entity"], rows["bucket"], rows["score"], rows["p"], rows["flagged"])

    async def newest(self, low_ms: int) -> list[Newest]:
        """Return the newest verdict since ``low_ms`` of each entity and rollup."""
        fields = ("start_ms", "end_ms", "anomaly_score", "p_incident", "flag")
        newest = ", ".join(f"argMax({name}, start_ms) AS last_{name}" for name in fields)
        sql = (
            f"SELECT entity, rollup, {newest} FROM ({_NUMBERS} PREWHERE start_ms >= {{low:Int64}})"  # noqa: S608 - of ours
            " GROUP BY entity, rollup ORDER BY entity, rollup"
        )
        rows: dict[str, Any] = await self._thread.read(self._thread.store.select, sql, {"low": low_ms})
        columns = (c if isinstance(c, list) else c.tolist() for c in rows.values())
        return [Newest(*values) for values in zip(*columns, strict=True)]

    async def reasons(self, those: list[Newest]) -> dict[str, str]:
        """Return why, in words, of some verdicts, by entity."""
        if not those:
            return {}
        sql = (
            "SELECT entity, JSONExtractString(body, 'reason') AS reason FROM verdicts FINAL"
            " PREWHERE rollup IN {rollups:Array(String)} AND entity IN {entities:Array(String)}"
            " AND start_ms >= {low:Int64} AND (entity, start_ms) IN (SELECT"
            " tupleElement(pair, 1), tupleElement(pair, 2)"
            " FROM (SELECT arrayJoin(arrayZip({names:Array(String)}, {starts:Array(Int64)})) AS pair))"
        )
        names, starts = [one.entity for one in those], [one.start for one in those]
        parameters: dict[str, Any] = {"rollups": sorted({one.rollup for one in those}), "entities": sorted(set(names))}
        parameters |= {"low": min(starts), "names": names, "starts": starts}
        rows = await self._thread.read(self._thread.store.select, sql, parameters)
        return dict(zip(rows["entity"], rows["reason"], strict=True))
