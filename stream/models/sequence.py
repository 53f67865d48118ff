"""How unlike anything before a metric's last windows are: for entities with few metrics.

Each metric's last values, as vectors of two lengths, are compared with all such vectors of its past: the mean distance
to the three nearest (k nearest neighbours, as in KNN-CAD: Burnaev, Ishimtsev 2016, without its conformal part). How
rare such a distance is comes from an exponential tail above the running 98th percentile of their logarithms (peaks over
threshold: Siffer et al., KDD 2017). The result is -ln of that probability, so metrics and entities compare.

Lengths, k and percentile were chosen on the 31 development files of the Numenta benchmark; neighbouring values do
within three points as well there.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Any

import numpy as np

LENGTHS = (10, 20)
NEIGHBOURS = 3
HISTORY = 2000
VECTORS_MIN = 45
METRICS_MAX = 4  # an entity with more has too many sequences: its metrics together say more than each alone
SEQUENCES_MAX = 1000
# A window as rare as one in e^4, 55, scores one half; each further unit of rarity adds so much log-odds.
MIDDLE = 4.25
STEEPNESS = 1.2
_STRAIGHT = 8.0


class Tail:
    """Turns values into -ln of the probability of so high a one, from the values before. Keeps the newest HISTORY."""

    QUANTILE = 0.98
    WARM = 60

    def __init__(self) -> None:
        self._sorted: list[float] = []
        self._newest: deque[float] = deque()

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
                rarity = float(-np.log(1 - self.QUANTILE) + (value - edge) / scale)
            else:
                rarity = float(-np.log(1 - bisect_left(known, value) / (n + 1)))
        insort(known, value)
        self._newest.append(value)
        if n >= 5 * HISTORY:
            known.pop(bisect_left(known, self._newest.popleft()))
        return rarity

    def state(self) -> list[float]:
        return list(self._newest)

    @classmethod
    def of(cls, newest: list[float]) -> Tail:
        tail = cls()
        tail._newest, tail._sorted = deque(newest), sorted(newest)
        return tail


class Sequence:
    """The past of one metric of one entity: the newest HISTORY values."""

    def __init__(self) -> None:
        self._values = np.zeros(2 * HISTORY, np.float32)
        self._count = 0
        self._tails = [Tail() for _ in LENGTHS]

    def step(self, value: float) -> float:
        """Return how rare the sequence is that ends with this value, 0 while too little is known."""
        if self._count == len(self._values):
            self._values[:HISTORY] = self._values[HISTORY:].copy()
            self._count = HISTORY
        self._values[self._count] = value
        self._count += 1
        past = self._values[: self._count]
        rarities = [0.0] * len(LENGTHS)
        for i, length in enumerate(LENGTHS):
            vectors = len(past) - 2 * length + 1  # those that do not overlap with the last
            if vectors < VECTORS_MIN:
                continue
            first = max(0, vectors - HISTORY)
            views = np.lib.stride_tricks.sliding_window_view(past, length)
            there = views[first:vectors]
            distance = np.abs(there - views[-1]).mean(1)
            nearest = float(np.partition(distance, NEIGHBOURS)[:NEIGHBOURS].mean())
            scale = float(there[:, 0].std()) + 1e-12
            rarities[i] = self._tails[i].step(float(np.log(nearest / scale + 0.01)))
        return sum(rarities) / len(rarities)

    @property
    def ready(self) -> bool:
        return self._count >= VECTORS_MIN + 2 * max(LENGTHS) + Tail.WARM

    def state(self) -> dict[str, Any]:
        return {"values": self._values[: self._count].copy(), "tails": [tail.state() for tail in self._tails]}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Sequence:
        sequence = cls()
        sequence._count = len(state["values"])
        sequence._values[: sequence._count] = state["values"]
        sequence._tails = [Tail.of(newest) for newest in state["tails"]]
        return sequence


class Sequences:
    """Those of all entities with few metrics; bounded by SEQUENCES_MAX, the first come."""

    def __init__(self) -> None:
        self._of: dict[tuple[int, int], Sequence] = {}

    def step(self, rows: np.ndarray, x: np.ndarray, usual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Score and learn a window's values x[n, M] of the entities ``rows``.

        usual : bool[n, M], the metrics that an entity has. Returns the rarity float64[n, M], NaN where there is none,
        and bool[n], whether an entity is scored by it.
        """
        rarity = np.full(x.shape, np.nan)
        scored = np.zeros(len(rows), bool)
        few = (usual.sum(1) <= METRICS_MAX) & (np.isfinite(x).sum(1) <= METRICS_MAX)
        for i in np.flatnonzero(few).tolist():
            ready = []
            for m in np.flatnonzero(np.isfinite(x[i])).tolist():
                key = (int(rows[i]), m)
                sequence = self._of.get(key)
                if sequence is None:
                    if len(self._of) >= SEQUENCES_MAX:
                        continue
                    sequence = self._of[key] = Sequence()
                rarity[i, m] = sequence.step(float(x[i, m]))
                ready.append(sequence.ready)
            scored[i] = bool(ready) and all(ready)
        return rarity, scored

    def state(self) -> dict[str, Any]:
        return {"keys": [list(key) for key in self._of], "of": [one.state() for one in self._of.values()]}

    def restore(self, state: dict[str, Any]) -> None:
        self._of = {tuple(k): Sequence.of(one) for k, one in zip(state["keys"], state["of"], strict=True)}


def together(rarity: np.ndarray) -> tuple[np.ndarray, float]:
    """Return each metric's share float64[M] of the score's log-odds, and the rest; NaN rarities have no share.

    Half of the rarity is the rarest metric's, half the mean of all; what is very rare counts by its logarithm.
    """
    known = np.isfinite(rarity)
    value = np.where(known, rarity, 0.0)
    shares = 0.5 * value / max(int(known.sum()), 1)
    shares[int(np.argmax(value))] += 0.5 * value.max()
    total = float(shares.sum())
    bent = total if total <= _STRAIGHT else _STRAIGHT + 2 * float(np.log(total / _STRAIGHT))
    return shares * (STEEPNESS * bent / total if total > 0 else 0.0), -STEEPNESS * MIDDLE
