"""What models know, and how right they have been, in a store."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any, NamedTuple

import msgspec

from store.thread import StoreThread

_EVER = 2**62


class SavedModel(NamedTuple):
    """``resume_offset``: the first rollup on the log that this state has not seen."""

    rollup: str
    resume_offset: int
    body: bytes


class ModelTables:
    """Bodies are base64, so that they are plain text on any wire."""

    def __init__(self, thread: StoreThread) -> None:
        self._thread = thread

    async def save_state(self, partition: int, rollup: str, resume_offset: int, at_ms: int, body: bytes) -> None:
        await self._save("model_states", partition, rollup, resume_offset, at_ms, body)

    async def keep_version(self, partition: int, rollup: str, resume_offset: int, at_ms: int, body: bytes) -> None:
        """Keep a state beside those of other days (migration 0009)."""
        await self._save("model_versions", partition, rollup, resume_offset, at_ms, body)

    async def _save(self, table: str, partition: int, rollup: str, resume_offset: int, at_ms: int, body: bytes) -> None:
        columns = {"partition": [partition], "rollup": [rollup], "resume_offset": [resume_offset]}
        columns |= {"saved_ms": [at_ms], "body": [b64encode(body).decode()]}
        await self._thread.run(self._thread.store.insert, table, columns)

    async def states(self, partition: int) -> list[SavedModel]:
        sql = "SELECT rollup, resume_offset, body FROM model_states FINAL WHERE partition = {partition:Int64}"
        rows = await self._thread.run(self._thread.store.select, sql, {"partition": partition})
        columns = zip(rows["rollup"], rows["resume_offset"].tolist(), rows["body"], strict=True)
        return [SavedModel(rollup, offset, b64decode(body)) for rollup, offset, body in columns]

    async def versions(self, rollup: str) -> list[int]:
        """Return when the versions that are kept were saved, epoch ms, a time a day.

        Partitions save one after another: the time is the last one's, so that until then each has its version of it.
        """
        sql = (
            "SELECT max(saved_ms) AS at_ms FROM model_versions WHERE rollup = {rollup:String}"
            " GROUP BY intDiv(saved_ms, 86400000) ORDER BY at_ms"
        )
        rows = await self._thread.read(self._thread.store.select, sql, {"rollup": rollup})
        return rows["at_ms"].tolist()

    async def last_versions(self, partition: int) -> dict[str, int]:
        """Return when the newest version of each rollup's model was saved, epoch ms."""
        sql = "SELECT rollup, max(saved_ms) AS at_ms FROM model_versions WHERE partition = {partition:Int64} GROUP BY 1"
        rows = await self._thread.read(self._thread.store.select, sql, {"partition": partition})
        return dict(zip(rows["rollup"], rows["at_ms"].tolist(), strict=True))

    async def state(self, partition: int, rollup: str, as_of_ms: int | None) -> SavedModel | None:
        """Return the newest state of a partition, or as it was: the last that was kept until ``as_of_ms``."""
        sql = "SELECT resume_offset, body FROM {table} WHERE partition = {partition:Int64}"
        sql += " AND rollup = {rollup:String} AND saved_ms <= {until:Int64} ORDER BY saved_ms DESC LIMIT 1"
        parameters = {"partition": partition, "rollup": rollup, "until": _EVER if as_of_ms is None else as_of_ms}
        for table in ("model_states FINAL", "model_versions"):  # no version is newer than the state
            rows = await self._thread.read(self._thread.store.select, sql.replace("{table}", table), parameters)
            if len(rows["body"]):
                return SavedModel(rollup, int(rows["resume_offset"][0]), b64decode(rows["body"][0]))
        return None

    async def stored(self, rollup: str, as_of_ms: int | None = None) -> bool:
        """Return whether any partition has a state of this rollup, saved until ``as_of_ms``."""
        sql = (
            "SELECT count() AS n FROM (SELECT rollup, saved_ms FROM model_states FINAL UNION ALL"
            " SELECT rollup, saved_ms FROM model_versions) WHERE rollup = {rollup:String} AND saved_ms <= {until:Int64}"
        )
        parameters = {"rollup": rollup, "until": _EVER if as_of_ms is None else as_of_ms}
        return bool(int((await self._thread.read(self._thread.store.select, sql, parameters))["n"][0]))

    async def save_windows(
        self, partition: int, rollup: str, generation: int, first: int, at_ms: int, body: bytes
    ) -> None:
        """Keep scored windows; ``first``: the number of the first of them, ``generation``: of the model."""
        columns = {"partition": [partition], "rollup": [rollup], "generation": [generation], "first": [first]}
        columns |= {"saved_ms": [at_ms], "body": [b64encode(body).decode()]}
        await self._thread.run(self._thread.store.insert, "model_windows", columns)

    async def windows(self, partition: int, rollup: str, generation: int) -> list[bytes]:
        """Return what ``save_windows`` kept, by rising number."""
        sql = (
            "SELECT body FROM model_windows FINAL WHERE partition = {partition:Int64} AND rollup = {rollup:String}"
            " AND generation = {generation:Int64} ORDER BY first"
        )
        parameters = {"partition": partition, "rollup": rollup, "generation": generation}
        rows = await self._thread.run(self._thread.store.select, sql, parameters)
        return [b64decode(body) for body in rows["body"]]

    async def save_cards(self, partition: int, at_ms: int, cards: list[dict[str, Any]]) -> None:
        columns = {
            "id": [card["id"] for card in cards],
            "partition": [partition] * len(cards),
            "saved_ms": [at_ms] * len(cards),
            "body": [msgspec.json.encode(card).decode() for card in cards],
        }
        await self._thread.run(self._thread.store.insert, "model_cards", columns)

    async def cards(self) -> list[dict[str, Any]]:
        rows = await self._thread.run(
            self._thread.store.select, "SELECT partition, body FROM model_cards FINAL ORDER BY id, partition"
        )
        bodies = zip(rows["partition"].tolist(), rows["body"], strict=True)
        return [msgspec.json.decode(body) | {"partition": partition} for partition, body in bodies]
