"""A ClickHouse server over its native protocol, by clickhouse-driver."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from clickhouse_driver import errors

from schemas.errors import SinkError, SourceError
from store.base import SETTINGS, Columns, ServerOptions
from store.cluster import CLUSTER_SETTINGS, on_cluster
from store.migrate import migrate
from store.native import SIMPLE, ColumnsClient

# The driver says on each read that maps and arrays are read as Python values: that is what we want.
logging.getLogger("clickhouse_driver.columns.service").setLevel(logging.ERROR)
# And with a traceback that it cannot connect: whoever asked says so in a line.
logging.getLogger("clickhouse_driver.connection").setLevel(logging.ERROR)

CONNECT_TIMEOUT_S = 5
REQUEST_TIMEOUT_S = 60
_TROUBLE = (errors.Error, OSError, EOFError)


class ClickhouseStore:
    """A store.base.Store at ``clickhouse://user:password@host:9000/database``. It connects again by itself."""

    def __init__(self, url: str, server: ServerOptions | None = None) -> None:
        parts, server = urlsplit(url), server or ServerOptions()
        port = parts.port or (9440 if server.tls else 9000)
        self._where, self._cluster = f"clickhouse://{parts.hostname}:{port}", server.cluster
        self._database = parts.path.strip("/") or "foreshock"
        if not self._database.isidentifier():
            raise SinkError(f"cannot use store.url: want a database name of letters and digits, not {self._database!r}")
        clustered = CLUSTER_SETTINGS if server.cluster else {}
        self._arguments: dict[str, Any] = {
            "host": parts.hostname or "127.0.0.1",
            "port": port,
            "secure": server.tls,
            "ca_certs": server.ca or None,
            "user": unquote(parts.username or "default"),
            "password": unquote(parts.password or ""),
            "connect_timeout": CONNECT_TIMEOUT_S,
            "send_receive_timeout": REQUEST_TIMEOUT_S,
            "settings": {"use_numpy": True, "server_side_params": True} | SETTINGS | clustered,
        }
        self._of_thread = threading.local()
        self._clients: list[ColumnsClient] = []

    def open(self) -> None:
        try:
            first = ColumnsClient(**self._arguments)
            for sql in self._statements(f"CREATE DATABASE IF NOT EXISTS {self._database}"):  # an identifier, see above
                first.execute(sql)
            first.disconnect()
        except _TROUBLE as error:
            raise SinkError(f"cannot open store {self._where}: {_said(error)}") from error
        self._of_thread.client = self._connected()
        migrate(self)

    def _connected(self) -> ColumnsClient:
        client = ColumnsClient(**self._arguments, database=self._database)
        self._clients.append(client)
        return client

    def _statements(self, sql: str) -> list[str]:
        return on_cluster(sql, self._cluster) if self._cluster else [sql]

    def close(self) -> None:
        self._of_thread = threading.local()
        while self._clients:
            self._clients.pop().disconnect()

    def _execute(self, *arguments: Any, **options: Any) -> Any:
        assert self._clients, "BUG: the store is not open"
        client = getattr(self._of_thread, "client", None)
        if client is None:
            client = self._of_thread.client = self._connected()
        try:
            return client.execute(*arguments, **options)
        except _TROUBLE:
            client.disconnect()  # what is left on the wire belongs to nobody
            raise

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        try:
            for statement in self._statements(sql):
                self._execute(statement, dict(parameters) if parameters else None)
        except _TROUBLE as error:
            raise SinkError(f"cannot execute a statement at {self._where}: {_said(error)}") from error

    def select(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Columns:
        try:
            options = {"columnar": True, "with_column_types": True}
            columns, types = self._execute(sql, dict(parameters or {}), **options)
        except _TROUBLE as error:
            raise SourceError(f"cannot query the store at {self._where}: {_said(error)}") from error
        types = [(name, SIMPLE.sub(r"\1", kind)) for name, kind in types]
        columns = columns or [_empty(kind) for _, kind in types]
        return {name: _column(values, kind) for (name, kind), values in zip(types, columns, strict=True)}

    def insert(self, table: str, columns: Columns) -> None:
        assert table.isidentifier() and all(name.isidentifier() for name in columns), "BUG: not a table of ours"
        try:
            self._execute(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES",
                list(columns.values()),
                columnar=True,
            )
        except _TROUBLE as error:
            raise SinkError(f"cannot insert into {table} at {self._where}: {_said(error)}") from error


def _said(error: BaseException) -> str:
    return str(error).partition("Stack trace")[0].strip()[:500] or type(error).__name__


def _is_number(kind: str) -> bool:
    return kind.startswith(("UInt", "Int", "Float"))


def _empty(kind: str) -> Any:
    if not _is_number(kind):
        return []
    return np.zeros(0, np.float64 if kind.startswith("Float") else np.uint64 if kind.startswith("U") else np.int64)


def _column(values: Any, kind: str) -> Any:
    if _is_number(kind):
        return np.asarray(values)
    return list(values) if not isinstance(values, np.ndarray) else values.tolist()
