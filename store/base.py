"""What the rest of the program knows of a store: blocking calls, each thread on a connection of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from schemas.errors import SettingsError

Columns = dict[str, Any]  # column name → numpy array (numbers) or list (strings, arrays, maps)

# Of every connection. A history touches as many partitions as it has weeks; rows that replace one another share theirs,
# and seldom come in one block, so none are looked for while it is written.
SETTINGS = {
    "max_partitions_per_insert_block": 0,
    "do_not_merge_across_partitions_select_final": 1,
    "optimize_on_insert": 0,
}


class Store(Protocol):
    """Two engines, the same SQL: store.chdb.ChdbStore (in the process) and store.clickhouse.ClickhouseStore."""

    def open(self) -> None:
        """Connect and apply the migrations; raises SinkError."""

    def close(self) -> None:
        """Close every thread's connection; nothing may be under way."""

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None: ...

    def select(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Columns:
        """Return the columns of the answer. Values from outside only ever as ``{name:Type}`` parameters."""

    def insert(self, table: str, columns: Columns) -> None:
        """Insert rows, all or none."""


@dataclass(frozen=True)
class ServerOptions:
    """How a ClickHouse server is reached. cluster : its name where tables are sharded and replicated (store.cluster).

    tls : by its secure port; ``ca``: a PEM file, empty for the system's authorities.
    """

    cluster: str = ""
    tls: bool = False
    ca: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]*", self.cluster):
            raise SettingsError(f"cannot use store.cluster={self.cluster!r}: want letters, digits, _ and -")
        if self.ca and not self.tls:
            raise SettingsError("cannot use store.tls_ca without store.tls=true: set it")


def open_store(url: str, server: ServerOptions | None = None) -> Store:
    """Return the store of a URL: ``embedded:///DIR`` or ``clickhouse://user:password@host:9000/database``.

    server : how a server is reached; nothing of it concerns the embedded store.
    """
    if url.startswith("embedded://"):
        from store.chdb import ChdbStore

        return ChdbStore(url.removeprefix("embedded://"))
    if url.startswith("clickhouse://"):
        from store.clickhouse import ClickhouseStore

        return ClickhouseStore(url, server)
    raise ValueError(f"cannot use store.url={url!r}: unknown scheme; want embedded:///DIR or clickhouse://host:9000/db")
