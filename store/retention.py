"""How long rows are kept: ClickHouse TTLs, made to follow the configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping

from store.applied import applied, note_applied
from store.base import Store

_END = "greatest(toDateTime(greatest(0, least(4294967295, intDiv(start_ms, 1000) + toInt64(size_s)))), written)"


def apply_retention(store: Store, retention_s: Mapping[str, int | None], now_ms: int) -> None:
    """Set the TTLs of ``rollups`` and of raw samples; does nothing where they are set so already.

    retention_s : seconds by rollup, and for raw samples by ``samples``; None keeps for ever. A rollup's time counts
        from its window's end, or from when it was written if that was later, so that a history which is fed in today
        is not gone tomorrow. Raw samples' time counts from the sample.

    What is there already follows beside everything else: when its time is up is worked out anew (migration 0008), and
    what is over goes with the next merges. Parts that were worked out first are merged at once, the rest of a partition
    after ``merge_with_ttl_timeout`` (migration 0006) at most.
    """
    assert all(re.fullmatch(r"samples|[0-9a-z/]+", name) for name in retention_s), "BUG: not checked"
    wanted = ",".join(f"{name}={seconds}" for name, seconds in sorted(retention_s.items()))
    if applied(store, "retention") == wanted:
        return
    kept = {name: seconds for name, seconds in retention_s.items() if seconds is not None}
    samples = kept.pop("samples", None)
    _modify(store, "rollups", [f"{_END} + INTERVAL {s} SECOND DELETE WHERE rollup = '{n}'" for n, s in kept.items()])
    at = "toDateTime(greatest(0, least(4294967295, intDiv(timestamp_ms, 1000))))"
    for table in ("raw_samples", "samples_of_no_place"):
        _modify(store, table, [] if samples is None else [f"{at} + INTERVAL {samples} SECOND"])
    note_applied(store, "retention", wanted, now_ms)


def _modify(store: Store, table: str, clauses: list[str]) -> None:
    if clauses:
        # Of itself the first statement would wait until every row was written anew: start-up stood still for minutes.
        ttl = f"MODIFY TTL {', '.join(clauses)} SETTINGS materialize_ttl_after_modify = 0"
        store.execute(f"ALTER TABLE {table} {ttl}")
        store.execute(f"ALTER TABLE {table} MATERIALIZE TTL SETTINGS mutations_sync = 0")
        return
    made = store.select(
        "SELECT create_table_query AS sql FROM system.tables WHERE database = currentDatabase()"
        " AND name IN ({t:String}, concat({t:String}, '_local'))",
        {"t": table},
    )["sql"]
    if any(" TTL " in sql.replace("\n", " ") for sql in made):
        store.execute(f"ALTER TABLE {table} REMOVE TTL")
