"""How rare a value is among those before it."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from math import log
from typing import Any

import numpy as np

NEWEST = 10_000
RAREST = 1000.0  # beyond it, a rarity says no more


class Tail:
    """Turns values into -ln of the probability of so high a one, from the NEWEST values before.

    Above the running 98th percentile an exponential (peaks over threshold: Siffer et al., KDD 2017), below it the rank.
    """

    QUANTILE = 0.98
    WARM = 60

    def __init__(self) -> None:
        self._sorted = array("d")
        self._newest = array("d")  # as they came; from NEWEST on, the next is written over the oldest
        self._next = 0

    def step(self, value: float) -> float:
        """Return the rarity of a value, 0 while too few are known; then know it too."""
        rarity, known = 0.0, self._sorted
        n = len(known)
        if n >= self.WARM:
            at = int(self.QUANTILE * n)
            edge = known[at]
            excess = sum(known[at:]) / (n - at) - edge
            scale = max(excess, 1e-3 * (abs(edge) + 1e-9), 0.05 * (edge - known[n // 2]))
            if value > edge:
                rarity = min(-log(1 - self.QUANTILE) + (value - edge) / scale, RAREST)
            else:
                rarity = -log(1 - bisect_left(known, value) / (n + 1))
        insort(known, value)
        if n < NEWEST:
            self._newest.append(value)
        else:
            known.pop(bisect_left(known, self._newest[self._next]))
            self._newest[self._next] = value
            self._next = (self._next + 1) % NEWEST
        return rarity

    def state(self) -> dict[str, Any]:
        return {"newest": np.array(self._newest), "next": self._next}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Tail:
        tail = cls()
        tail._newest, tail._next = array("d", state["newest"]), state["next"]
        tail._sorted = array("d", sorted(tail._newest))
        return tail
