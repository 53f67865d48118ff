"""Models as they are in the store: one snapshot a partition and rollup, the newest."""

from __future__ import annotations

from typing import Any, NamedTuple

import cramjam

from store.models import ModelTables, SavedModel
from stream.models.base import unpack
from stream.models.engine import FORMAT
from stream.models.entry import Entry, unpack_entries
from stream.models.stored import StoredWindows


class Snapshot(NamedTuple):
    """What ``Engine.restore`` takes, and where its windows are stored."""

    state: dict[str, Any]
    entries: list[Entry]
    stored: StoredWindows


async def read_snapshot(models: ModelTables, partition: int, saved: SavedModel) -> Snapshot | None:
    """Return a saved model with its scored windows; None: it is of another format, and cannot be restored."""
    state = unpack(bytes(cramjam.zstd.decompress(saved.body)))
    if state.get("format") != FORMAT:
        return None
    stored, entries = StoredWindows.of(state), []
    for lineage, first, until in stored.parts:
        for body in await models.windows(partition, saved.rollup, lineage):
            read = unpack_entries(unpack(bytes(cramjam.zstd.decompress(body))), state["entities"])
            entries += [entry for entry in read if first <= entry.number < until]
    return Snapshot(state, entries, stored)
