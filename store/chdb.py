"""ClickHouse in this process: chDB. One process a folder; a connection takes calls from one thread at a time."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chdb import session

from schemas.errors import SinkError, SourceError
from store.arrow import pyarrow
from store.base import SETTINGS, Columns
from store.migrate import migrate


class ChdbStore:
    """A store.base.Store in a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._of_thread = threading.local()
        self._sessions: list[session.Session] = []

    def open(self) -> None:
        self.connect()
        migrate(self)

    def connect(self) -> None:
        """Open the folder as it is, whatever release wrote it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            first = self._connected()
        except (OSError, RuntimeError) as error:
            raise SinkError(f"cannot open store {self._folder}: {error}") from error
        first.query("CREATE DATABASE IF NOT EXISTS foreshock")
        first.query("USE foreshock")
        self._of_thread.session = first

    def _connected(self) -> session.Session:
        opened = session.Session(str(self._folder))
        self._sessions.append(opened)
        for name, value in SETTINGS.items():
            opened.query(f"SET {name} = {value}")
        return opened

    def close(self) -> None:
        self._of_thread = threading.local()
        while self._sessions:
            self._sessions.pop().close()

    def _query(self, sql: str, shape: str, parameters: Mapping[str, Any] | None) -> Any:
        assert self._sessions, "BUG: the store is not open"
        mine = getattr(self._of_thread, "session", None)
        if mine is None:
            mine = self._connected()
            mine.query("USE foreshock")
            self._of_thread.session = mine
        return mine.query(sql, shape, params={k: _parameter(v) for k, v in (parameters or {}).items()})

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        try:
            self._query(sql, "Null", parameters)
        except RuntimeError as error:
            raise SinkError(f"cannot execute a statement in {self._folder}: {error}") from error

    def select(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Columns:
        try:
            answer = self._query(sql, "ArrowStream", parameters).bytes()
        except RuntimeError as error:
            raise SourceError(f"cannot query the store in {self._folder}: {error}") from error
        table = pyarrow.ipc.open_stream(answer).read_all()
        return {name: _column(table.column(name)) for name in table.column_names}

    def insert(self, table: str, columns: Columns) -> None:
        assert table.isidentifier() and all(name.isidentifier() for name in columns), "BUG: not a table of ours"
        block = pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()})
        handle, path = tempfile.mkstemp(suffix=".arrow", dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as file, pyarrow.ipc.new_file(file, block.schema) as writer:
                writer.write_table(block)
            names = ", ".join(columns)
            quoted = path.replace("\\", "\\\\").replace("'", "\\'")
            self.execute(f"INSERT INTO {table} ({names}) FROM INFILE '{quoted}' FORMAT Arrow")
        finally:
            os.unlink(path)


def _parameter(value: Any) -> Any:
    """Return a parameter as the engine wants it written: strings escaped, in arrays quoted as well."""
    if isinstance(value, str):
        return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    if isinstance(value, list) and value and isinstance(value[0], str):
        escaped = (text.replace("\\", "\\\\").replace("'", "\\'") for text in value)
        return "[" + ",".join(f"'{text}'" for text in escaped) + "]"
    return value


def _column(column: Any) -> Any:
    kind = column.type
    if pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind):
        return column.to_numpy()
    values = column.to_pylist()
    return [value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value for value in values]
