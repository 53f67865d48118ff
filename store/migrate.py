"""The numbered migrations of schemas/clickhouse. Each statement is run once, and may be run again after a crash."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import schemas
from schemas.errors import SinkError
from store.base import Store

_DONE = """CREATE TABLE IF NOT EXISTS migrations (name String, done_ms Int64)
ENGINE = ReplacingMergeTree(done_ms) ORDER BY name"""


def statements() -> Iterator[tuple[str, str]]:
    """Yield (name, SQL) of every statement, in order."""
    for path in sorted((Path(schemas.__file__).parent / "clickhouse").glob("[0-9]*.sql")):
        parts = re.split(r";\s*(?:\n|$)", path.read_text(encoding="utf-8"))
        for number, statement in enumerate(filter(str.strip, parts)):
            yield f"{path.stem}.{number}", statement


def migrate(store: Store) -> None:
    """Run what was not run yet; raises SinkError.

    A statement is noted after it ran, so one may run twice: each must end the same where the ones before it are noted.
    Two processes that start at once may both run it; the slower one's failure is none if the other has noted it.
    """
    store.execute(_DONE)
    before = done(store)
    for name, statement in statements():
        if name in before:
            continue
        try:
            store.execute(statement)
        except SinkError:
            if name not in done(store):
                raise
        store.insert("migrations", {"name": [name], "done_ms": [time.time_ns() // 1_000_000]})


def done(store: Store) -> set[str]:
    """Return the names of the statements that were run."""
    return set(store.select("SELECT name FROM migrations")["name"])
