"""The numbered migrations of schemas/clickhouse; each statement may be run again."""

from __future__ import annotations

import re
from pathlib import Path

import schemas
from store.base import Store


def migrate(store: Store) -> None:
    """Apply every migration in order."""
    for path in sorted((Path(schemas.__file__).parent / "clickhouse").glob("[0-9]*.sql")):
        for statement in re.split(r";\s*(?:\n|$)", path.read_text(encoding="utf-8")):
            if statement.strip():
                store.execute(statement)
