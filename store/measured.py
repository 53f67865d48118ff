"""A store that counts what it is asked for, and how long that takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from threading import Lock
from time import monotonic
from typing import Any

from store.base import Columns, Store


class MeasuredStore:
    """A store.base.Store in front of another.

    counters : inserts, insert_rows, insert_errors, selects, select_errors. seconds : how long inserts and selects took,
        failed ones too.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.counters: Counter[str] = Counter(inserts=0, insert_rows=0, insert_errors=0, selects=0, select_errors=0)
        self.seconds = {"insert": 0.0, "select": 0.0}
        self._lock = Lock()  # readers run beside the writer

    def open(self) -> None:
        self._store.open()

    def close(self) -> None:
        self._store.close()

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        self._store.execute(sql, parameters)

    def select(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Columns:
        began_s = monotonic()
        failed = 1
        try:
            answer = self._store.select(sql, parameters)
            failed = 0
            return answer
        finally:
            with self._lock:
                self.counters.update(selects=1, select_errors=failed)
                self.seconds["select"] += monotonic() - began_s

    def insert(self, table: str, columns: Columns) -> None:
        began_s = monotonic()
        failed, rows = 1, 0
        try:
            self._store.insert(table, columns)
            failed, rows = 0, len(next(iter(columns.values())))
        finally:
            with self._lock:
                self.counters.update(inserts=1, insert_errors=failed, insert_rows=rows)
                self.seconds["insert"] += monotonic() - began_s
