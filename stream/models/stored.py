"""Where the scored windows of a model's snapshot are in the store."""

from __future__ import annotations

import secrets
from typing import Any

# A store keeps what it was given for sixty days (migration 0002), and a model's versions for thirty (migration 0009).
RENEWED_MS = 25 * 86_400_000


class StoredWindows:
    """``parts``: [lineage, first number, number behind the last], rising by number.

    A lineage is a random name under which one owner writes, so rows that an owner who lost the partition writes late
    replace none of those that a newer snapshot names.
    """

    def __init__(self, parts: list[list[int]] | None = None, rewritten: int = 0, since_ms: int = 0) -> None:
        """since_ms : when the oldest of the parts was begun, epoch ms."""
        self.parts, self._rewritten, self.since_ms = parts or [], rewritten, since_ms
        self.lineage = secrets.randbits(62)

    @classmethod
    def of(cls, state: dict[str, Any]) -> StoredWindows:
        """Return those of a snapshot; one of an earlier release names them by how often it was learned anew."""
        ring = state["ring"]
        parts = state.get("stored", [[ring["relearned"], ring["first"], ring["next"]]])
        return cls([list(part) for part in parts], ring.get("rewritten", ring["relearned"]), state.get("stored_ms", 0))

    def state(self) -> dict[str, Any]:
        """Return what ``of`` reads, as a part of an engine's state."""
        return {"stored": self.parts, "stored_ms": self.since_ms}

    def next_for(self, rewritten: int, now_ms: int) -> int:
        """Return the number of the first window still to be stored.

        All are stored again where windows changed, and before the store lets go of the first (RENEWED_MS).
        """
        if rewritten != self._rewritten or now_ms - self.since_ms > RENEWED_MS:
            self.parts, self._rewritten, self.lineage = [], rewritten, secrets.randbits(62)
            self.since_ms = now_ms
        return self.parts[-1][2] if self.parts else 0

    def saved(self, first_kept: int, until: int) -> None:
        """Take note that everything below ``until`` is stored; what lies below ``first_kept`` was let go."""
        begin = max(first_kept, self.parts[-1][2] if self.parts else 0)
        if self.parts and self.parts[-1][0] == self.lineage:
            self.parts[-1][2] = until
        elif begin < until:
            self.parts.append([self.lineage, begin, until])
        self.parts = [part for part in self.parts if part[2] > first_kept]
