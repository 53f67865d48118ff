"""One scored window, as it waits for its label and can be learned anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stream.features.superimposed import CHANNELS, EXCESS
from stream.models.sampling import chances, uniform

_FIXED = 400  # bytes, about: of the entry itself
_EACH = 8  # bytes of a name, which all entries share


@dataclass(slots=True)
class Entry:
    """Some entities of one group and period in one window.

    ``lane`` : "" live, else the history that it came with. ``rows`` : the entities' numbers; ``kept`` : of which of
    them there are features, rising. ``followed`` : whether a past of each entity is kept, so that all must be; of
    others no sequence is seen, and of ``over`` the excess is enough.
    """

    number: int
    lane: str
    start_ms: int
    end_ms: int
    group: str
    period: str
    entities: list[str]
    rows: np.ndarray  # int64[n]
    x: np.ndarray  # float16[k, features]
    over: np.ndarray  # float16[k, metrics * channels], see features.superimposed; [k, metrics] where not followed
    z: np.ndarray  # float32[candidates, k, heads], logits at the close
    flag: np.ndarray  # bool[n]
    p: np.ndarray  # float32[n], p_incident as it was said, NaN before anything was learned
    score: np.ndarray  # float32[n], anomaly_score
    followed: bool
    count: int  # of the entities at the close
    kept: np.ndarray  # int32[k]
    worth: np.ndarray  # float32[k], see ``sampling``
    peak: np.ndarray  # bool[n], whether it was the highest of its hour, see ``sampling``
    share: float = float("inf")

    @property
    def size(self) -> int:
        """Bytes, about."""
        arrays = (self.rows, self.x, self.over, self.z, self.flag, self.p, self.score, self.kept, self.worth, self.peak)
        return sum(array.nbytes for array in arrays) + _FIXED + _EACH * len(self.entities)

    @property
    def weight(self) -> np.ndarray:
        """Return float64[k], how many windows each that was kept stands for."""
        return 1 / chances(self.worth, self.share)

    def thin(self, share: float) -> None:
        """Keep a sample, with chances of ``share`` times their worth; of the others peaks alone, without features."""
        self.share = min(self.share, share)
        stays = uniform(self.number, self.rows[self.kept]) < chances(self.worth, self.share)
        remains = self.peak.copy()
        remains[self.kept[stays]] = True
        self._keep(remains, stays)

    def only(self, some: np.ndarray) -> Entry:
        """Return it with some of its entities, bool[n]."""
        part = replace(self)
        part._keep(some, some[self.kept])
        return part

    def _keep(self, remains: np.ndarray, stays: np.ndarray) -> None:
        place = np.cumsum(remains, dtype=np.int32) - 1
        self.kept = place[self.kept[stays]]
        self.worth, self.x, self.over, self.z = self.worth[stays], self.x[stays], self.over[stays], self.z[:, stays]
        self.rows, self.flag = self.rows[remains], self.flag[remains]
        self.p, self.score, self.peak = self.p[remains], self.score[remains], self.peak[remains]
        self.entities = [self.entities[i] for i in np.flatnonzero(remains).tolist()]

    def excess(self, j: int) -> np.ndarray:
        """Return float64[metrics] of an entity with features: how much further off than in the last hours."""
        own = self.over[j].astype(float)
        return own.reshape(-1, len(CHANNELS))[:, EXCESS] if self.followed else own

    def find(self, entity: str) -> tuple[int | None, int | None]:
        """Return an entity's index among the entities, and among those with features; None where it is not there."""
        if entity not in self.entities:
            return None, None
        i = self.entities.index(entity)
        j = int(np.searchsorted(self.kept, i))
        return i, j if j < len(self.kept) and self.kept[j] == i else None


def pack_entries(entries: list[Entry]) -> dict[str, Any]:
    """Return entries as a state for ``base.pack``; names follow from the rows."""
    names = [name for name in Entry.__slots__ if name != "entities"]
    return {"fields": names, "entries": [[getattr(entry, name) for name in names] for entry in entries]}


def unpack_entries(state: dict[str, Any], entities: list[str]) -> list[Entry]:
    """entities : by row, the names of the engine's entities."""
    out = []
    for values in state["entries"]:
        fields = dict(zip(state["fields"], values, strict=True))
        out.append(Entry(entities=[entities[row] for row in fields["rows"].tolist()], **fields))
    return out
