"""The first kind: logistic regression on a window's features, all entities and horizons at once. Always on."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.features.vector import PER_METRIC, SUMMARY
from stream.models.base import Learned, Seen, wide
from stream.models.logistic import Logistic

# Plain values: no data chose them.
RATE = 0.02
L2 = 1e-4
POSITIVE_WEIGHT_MAX = 20.0
# Before any incident was told: the odder a window (see features.vector.SUMMARY), the likelier it belongs to one.
PRIOR = (0.5, 1.0, 0.0, 3.0)
PRIOR_BIAS = -5.0


class Linear:
    needs_past = False
    relearns = True

    def __init__(self, heads: int, middle: int) -> None:
        self.logistic = Logistic(0, heads, RATE, RATE, L2)
        self.logistic.begin(np.array(PRIOR), PRIOR_BIAS)
        self.counts = np.zeros((2, heads))

    def logits(self, seen: Seen) -> np.ndarray:
        return self.logistic.logits(self._grown(seen.x))

    def shares(self, seen: Seen, head: int, surprise: np.ndarray) -> tuple[np.ndarray, float]:
        x = self._grown(seen.x)[0]
        products = x * self.logistic.weights[:, head]
        shares = products[len(SUMMARY) :].reshape(-1, PER_METRIC).sum(1)[: len(surprise)]
        return shares, float(products[: len(SUMMARY)].sum() + self.logistic.bias[head])

    def learn(self, block: Learned) -> None:
        """A step a window, over all its entities."""
        x = self._grown(block.seen.x)
        for part in np.split(np.arange(len(x)), np.flatnonzero(np.diff(block.number)) + 1):
            y = block.y[part]
            self.counts += np.stack([(y == 0).sum(0), (y == 1).sum(0)])
            rare = np.clip(self.counts[0] / np.maximum(self.counts[1], 1), 1, POSITIVE_WEIGHT_MAX)
            self.logistic.learn(x[part], y, np.where(y == 1, rare, 1.0))

    def _grown(self, x: np.ndarray) -> np.ndarray:
        """Features that came up later were 0 before."""
        features = max(x.shape[1], len(self.logistic.weights))
        self.logistic.grow(features)
        return wide(x.astype(float), features)

    def state(self) -> dict[str, Any]:
        return {**self.logistic.state(), "counts": self.counts}

    def restore(self, state: dict[str, Any]) -> None:
        self.logistic.weights, self.logistic.bias = state["weights"].copy(), state["bias"].copy()
        self.counts = state["counts"].copy()

    def borrow(self, block: Learned) -> None:
        pass  # its weights have no room for what is not of the period

    def train(self, at_ms: int) -> None:
        pass  # it has learned already

    def carry(self, before: Linear) -> None:
        pass
