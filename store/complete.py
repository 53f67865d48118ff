"""From when on a rollup holds every sample: one that was configured lately lacks what came before."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from store.applied import applied, note_applied
from store.base import Store

# In a rolling restart some workers know of a new rollup before others do.
SETTLE_MS = 86_400_000


def complete_since(store: Store, rollups: Sequence[str], now_ms: int) -> dict[str, int]:
    """Return by rollup from when on, ms, every window holds all of its samples; 0: from the beginning.

    The answer is kept in the table ``applied``. A rollup that is new to it counts from a day after the newest sample
    stored; one that was left out meanwhile is new again.
    """
    noted = applied(store, "rollups")
    known = msgspec.json.decode(noted, type=dict[str, int]) if noted is not None else {}
    out = {name: known[name] for name in rollups if name in known}
    if new := [name for name in rollups if name not in known]:
        newest = int(store.select("SELECT max(last_ms) AS newest FROM seen")["newest"][0])
        # Of a folder that knows nothing yet, what has rows was configured from the beginning.
        sql = "SELECT 1 AS one FROM rollups WHERE rollup = {name:String} LIMIT 1"
        there = set() if noted is not None else {name for name in new if len(store.select(sql, {"name": name})["one"])}
        out |= {name: newest + SETTLE_MS if newest and name not in there else 0 for name in new}
    if out != known:
        note_applied(store, "rollups", msgspec.json.encode(out).decode(), now_ms)
    return out
