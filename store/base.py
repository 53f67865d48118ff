"""What the rest of the program knows of a store: blocking calls, each thread on a connection of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Columns = dict[str, Any]  # column name → numpy array (numbers) or list (strings, arrays, maps)

# Of every connection. A history touches as many partitions as it has weeks; rows that replace one another share theirs.
SETTINGS = {"max_partitions_per_insert_block": 0, "do_not_merge_across_partitions_select_final": 1}


class Store(Protocol):
    """Two engines, the same SQL: store.chdb.ChdbStore (in the process) and store.clickhouse.ClickhouseStore."""

    def open(self) -> None:
        """Connect and apply the migrations; raises SinkError."""

    def close(self) -> None:
        """Close every thread's connection; nothing may be under way."""

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None: ...

    def select(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Columns:
        """Return the columns of the answer. Values from outside only ever as ``{name:Type}`` parameters."""

    def insert(self, table: str, columns: Columns, *, token: str = "") -> None:
        """Insert rows, all or none; the same ``token`` again does nothing (insert_deduplication_token)."""


def open_store(url: str) -> Store:
    """Return the store of a URL: ``embedded:///DIR`` or ``clickhouse://user:password@host:9000/database``."""
    if url.startswith("embedded://"):
        from store.chdb import ChdbStore

        return ChdbStore(url.removeprefix("embedded://"))
    if url.startswith("clickhouse://"):
        from store.clickhouse import ClickhouseStore

        return ClickhouseStore(url)
    raise ValueError(f"cannot use store.url={url!r}: unknown scheme; want embedded:///DIR or clickhouse://host:9000/db")
