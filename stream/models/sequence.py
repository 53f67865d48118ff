"""How unlike anything before a metric's last windows are: for entities with few metrics.

Three things are looked at, each turned into a rarity (``tail.Tail``), so that metrics and entities compare:

- its last values, as vectors of two lengths, are compared with all such vectors of its past: the mean distance to the
  three nearest (k nearest neighbours, as in KNN-CAD: Burnaev, Ishimtsev 2016, without its conformal part);
- how far a value is above the highest or below the lowest ever, in spreads of the past;
- how still the last windows are: what stops looks like much of the past, a value at a time.

Lengths, k, percentile and weights were chosen on the 31 development files of the Numenta benchmark; neighbouring values
do within three points as well there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stream.models.tail import Tail

LENGTHS = (10, 20)
NEIGHBOURS = 3
HISTORY = 2000
VECTORS_MIN = 45
STILL_LENGTH = 40
LARGEST = 1e30  # of a value: sums of vectors of such fit a float32
# What one unit of these rarities adds, beside the mean of the two lengths'.
NOVEL = 0.25
STILL = 0.35
METRICS_MAX = 4  # an entity with more has too many sequences: its metrics together say more than each alone
SEQUENCES_MAX = 1000
# A window as rare as one in e^4, 55, scores one half; each further unit of rarity adds so much log-odds.
MIDDLE = 4.25
STEEPNESS = 1.2
_STRAIGHT = 8.0


class Sequence:
    """The past of one metric of one entity: the newest HISTORY values, and the least and the highest ever."""

    def __init__(self) -> None:
        self._values = np.zeros(2 * HISTORY, np.float32)
        self._count = 0
        self._least, self._most = math.inf, -math.inf
        self._tails = [Tail() for _ in LENGTHS]
        self._novel, self._still = Tail(), Tail()

    def step(self, value: float) -> float:
        """Return how rare the sequence is that ends with this value, 0 while too little is known."""
        if self._count == len(self._values):
            self._values[:HISTORY] = self._values[HISTORY:].copy()
            self._count = HISTORY
        self._values[self._count] = min(max(value, -LARGEST), LARGEST)
        value = float(self._values[self._count])
        self._count += 1
        past = self._values[: self._count]
        rarities = [self._unlike(past, length, tail) for length, tail in zip(LENGTHS, self._tails, strict=True)]
        beyond = max(value - self._most, self._least - value, 0.0)
        self._least, self._most = min(self._least, value), max(self._most, value)
        return sum(rarities) / len(rarities) + self._beyond_or_still(past, beyond)

    def _unlike(self, past: np.ndarray, length: int, tail: Tail) -> float:
        vectors = len(past) - 2 * length + 1  # those that do not overlap with the last
        if vectors < VECTORS_MIN:
            return 0.0
        first = max(0, vectors - HISTORY)
        views = np.lib.stride_tricks.sliding_window_view(past, length)
        there = views[first:vectors]
        distance = np.abs(there - views[-1]).mean(1)
        nearest = float(np.partition(distance, NEIGHBOURS)[:NEIGHBOURS].mean())
        scale = float(there[:, 0].std(dtype=np.float64)) + 1e-12
        return tail.step(float(np.log(nearest / scale + 0.01)))

    def _beyond_or_still(self, past: np.ndarray, beyond: float) -> float:
        if len(past) <= 2 * STILL_LENGTH:
            return 0.0
        spread = float(past[-HISTORY - 1 : -1].std(dtype=np.float64)) + 1e-12
        moving = float(past[-STILL_LENGTH:].std(dtype=np.float64)) / spread
        return NOVEL * self._novel.step(beyond / spread) + STILL * self._still.step(-math.log(moving + 0.01))

    @property
    def ready(self) -> bool:
        return self._count >= VECTORS_MIN + 2 * max(LENGTHS) + Tail.WARM

    def state(self) -> dict[str, Any]:
        return {
            "values": self._values[: self._count].copy(),
            "range": [self._least, self._most],
            "tails": [tail.state() for tail in self._tails],
            "novel": self._novel.state(),
            "still": self._still.state(),
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> Sequence:
        sequence = cls()
        sequence._count = len(state["values"])
        sequence._values[: sequence._count] = state["values"]
        sequence._least, sequence._most = state["range"]
        sequence._tails = [Tail.of(tail) for tail in state["tails"]]
        sequence._novel, sequence._still = Tail.of(state["novel"]), Tail.of(state["still"])
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
