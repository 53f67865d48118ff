"""How rare it is that a metric is so far off, lately and ever: from counts of how far off it was before.

Of each metric of each entity the distances from its usual level are counted in bins of their logarithm, twice: with
forgetting over a day, and over weeks. The rarity is -ln of the share of past windows that were at least as far off, the
mean over the two memories: what happens every night is common lately, what happened once last month is common ever. It
needs no shape of distribution, so a disk whose writes come in bursts and a memory that never moves compare; beyond
everything seen it stays finite, so one metric can never drown the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.models.base import grown
from stream.models.slots import Slots

BINS = 24
LOWEST = 0.25  # distances below it share the first bin; each bin is half an octave wide, the last one is open
MEMORIES_MS = (86_400_000, 16 * 86_400_000)  # half-lives
HALF_LIFE_MIN = 500  # windows: in fewer nothing can be rare
# A metric counts from this rarity on: one window in e^6, 400. Chosen on the eight development machines (see
# docs/models.md); 5.5 and 6.5 do nearly as well.
RARE = 6.0
_GAIN_MAX = 1e6


class Beyond:
    """Counts, float32[memories, series, BINS]: how many windows were in each bin or a higher one.

    Instead of fading the counts, newer windows weigh more, by each entity's ``gain``; both are scaled down together
    before they grow out of precision.
    """

    def __init__(self, window_ms: int) -> None:
        lives = [max(span_ms / window_ms, HALF_LIFE_MIN) for span_ms in MEMORIES_MS]
        self._growth = [2.0 ** (1.0 / life) for life in lives]
        self.counts = np.zeros((len(lives), 1, BINS), np.float32)
        self.slots = Slots()
        self.gain = np.ones((len(lives), 0))

    def grow(self, entities: int, metrics: int) -> None:
        self.slots.grow(entities, metrics)
        self.gain = grown(self.gain, (len(self._growth), entities), 1.0)

    def step(
        self, rows: np.ndarray, distance: np.ndarray, there: np.ndarray, learn: np.ndarray, at: Any = None
    ) -> np.ndarray:
        """Return the rarity float64[n, M] of each distance >= 0, 0 where not ``there``; then count those to ``learn``.

        there, learn : bool[n, M]. at : which series that are (see ``Narrow``), where not all metrics of ``rows``.
        """
        place = np.minimum(2 * np.log2(np.maximum(distance, LOWEST) / LOWEST), BINS - 1.0)
        cell = place.astype(np.intp)
        within = place - cell
        rarity = np.zeros(distance.shape)
        one = np.arange(BINS) <= cell[..., None]
        slots = self.slots.take(rows if at is None else at, learn)
        self.counts = grown(self.counts, (len(self._growth), self.slots.room, BINS), 0.0)
        counted, added = slots[learn], one[learn]
        for k, growth in enumerate(self._growth):
            counts, gain = self.counts[k], self.gain[k][rows][:, None]
            above = counts[slots, cell]
            higher = np.where(cell + 1 < BINS, counts[slots, np.minimum(cell + 1, BINS - 1)], 0.0)
            reached = above - within * (above - higher)
            rarity -= np.log((reached + 0.5 * gain) / (counts[slots, 0] + gain))
            own = np.broadcast_to(gain, learn.shape)[learn]
            counts[counted] += np.where(added, own[:, None], 0.0).astype(np.float32)
            self._turn(k, rows, growth)
        return np.where(there, rarity / len(self._growth), 0.0)

    def _turn(self, k: int, rows: np.ndarray, growth: float) -> None:
        gain = self.gain[k]
        gain[rows] *= growth
        large = rows[gain[rows] > _GAIN_MAX]
        if len(large):
            slots = self.slots.of[large]
            own = np.broadcast_to(gain[large][:, None], slots.shape)[slots > 0]
            self.counts[k][slots[slots > 0]] /= own[:, None].astype(np.float32)
            gain[large] = 1.0

    def state(self) -> dict[str, Any]:
        return {"counts": self.counts, "gain": self.gain, "slots": self.slots.state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.counts, self.gain, self.slots = state["counts"], state["gain"], Slots.at(state["slots"])
