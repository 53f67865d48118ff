"""Which of all pairs of entity and metric are series: what is large a series is held for these alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.models.base import grown

_SPARE = 16  # an array of series is enlarged by this part of itself, so that it is seldom copied


class Slots:
    """``of`` : int32[entities, metrics], the number of each series, rising as they come up; 0: there is none yet.

    Arrays that are indexed by it have ``room`` places; the first is nobody's, and is never written.
    """

    def __init__(self) -> None:
        self.of = np.zeros((0, 0), np.int32)
        self.count = 1
        self.room = 1

    def grow(self, entities: int, metrics: int) -> None:
        self.of = grown(self.of, (entities, metrics), 0)

    def take(self, at: Any, there: np.ndarray) -> np.ndarray:
        """Return int32[n, metrics], the numbers of the series ``at``: of the entities of these rows, or a ``Narrow``'s.

        there : bool[n, metrics], which have one from now on.
        """
        slots = self.of[at]
        new = np.flatnonzero(there & (slots == 0))
        if len(new):
            slots.reshape(-1)[new] = np.arange(self.count, self.count + len(new), dtype=np.int32)
            self.count += len(new)
            self.of[at] = slots
            if self.count > self.room:
                self.room = self.count + (self.count // _SPARE if self.room > 1 else 0)
        return slots

    def state(self) -> dict[str, Any]:
        return {"of": self.of, "count": self.count, "room": self.room}

    @classmethod
    def at(cls, state: dict[str, Any]) -> Slots:
        """Return them as they were when ``state`` was taken."""
        slots = cls()
        slots.of, slots.count, slots.room = state["of"].copy(), state["count"], state["room"]
        return slots
