"""The first kind: logistic regression on a window's features, all entities and horizons at once. Always on."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.features.vector import PER_METRIC, PRIOR, PRIOR_BIAS, SUMMARY
from stream.models.base import Learned, Seen, wide
from stream.models.history import DRIFT
from stream.models.logistic import Logistic

# Chosen on the eight development machines (see docs/models.md): rates from 0.01 to 0.05 do as well.
RATE = 0.05
INTERCEPT_RATE = 0.002
L2 = 1e-4
ADAPTIVE = 1e-6


class Linear:
    needs_past = False
    relearns = True

    def __init__(self, heads: int, middle: int) -> None:
        self.logistic = Logistic(0, heads, RATE, INTERCEPT_RATE, L2, ADAPTIVE)
        self.logistic.begin(np.array(PRIOR), PRIOR_BIAS)

    def logits(self, seen: Seen) -> np.ndarray:
        return self.logistic.logits(self._grown(seen.x))

    def shares(self, seen: Seen, head: int, surprise: np.ndarray) -> tuple[np.ndarray, float]:
        x = self._grown(seen.x)[0]
        products = x * self.logistic.weights[:, head]
        shares = products[len(SUMMARY) :].reshape(-1, PER_METRIC).sum(1)[: len(surprise)]
        base = float(products[: len(SUMMARY)].sum() + self.logistic.bias[head])
        # That the window is unusual is shared out among the metrics that make it so; a drift is that of one.
        odd = max(float(products[SUMMARY.index("unusual")]), 0.0) * surprise / max(float(surprise.sum()), 1e-9)
        drift = np.abs(seen.past[0, -1, : len(surprise), DRIFT])
        if len(drift):
            odd[np.argmax(drift)] += products[SUMMARY.index("drifting")]
        return shares + odd, base - float(odd.sum())

    def learn(self, block: Learned) -> None:
        """A step a window, over all its entities."""
        x = self._grown(block.seen.x)
        weight = np.broadcast_to(block.weight, len(x))
        for part in np.split(np.arange(len(x)), np.flatnonzero(np.diff(block.number)) + 1):
            self.logistic.learn(x[part], block.y[part], weight[part])

    def _grown(self, x: np.ndarray) -> np.ndarray:
        """Features that came up later were 0 before."""
        features = max(x.shape[1], len(self.logistic.weights))
        self.logistic.grow(features)
        return wide(x.astype(float), features)

    def state(self) -> dict[str, Any]:
        return self.logistic.state()

    def restore(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self.logistic, name, value.copy())

    def borrow(self, block: Learned) -> None:
        pass  # its weights have no room for what is not of the period

    def train(self, at_ms: int) -> None:
        pass  # it has learned already

    def carry(self, before: Linear) -> None:
        pass
