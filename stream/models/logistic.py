"""Logistic regression over all entities and horizons at once, with River's arithmetic, and its calibration."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.models.base import grown, sigmoid


class Scaler:
    """Running mean and variance a feature, as ``river.preprocessing.StandardScaler``, but NaN is left out."""

    def __init__(self, features: int = 0) -> None:
        self.count, self.mean, self.var = np.zeros(features), np.zeros(features), np.zeros(features)

    def grow(self, features: int) -> None:
        for name in ("count", "mean", "var"):
            setattr(self, name, grown(getattr(self, name), (features,), 0.0))

    def learn(self, x: np.ndarray) -> None:
        there = np.isfinite(x)
        n = there.sum(0).astype(float)
        some = np.maximum(n, 1.0)
        filled = np.where(there, x, 0.0)
        mean = filled.sum(0) / some
        var = (np.where(there, x - mean, 0.0) ** 2).sum(0) / some
        total = np.maximum(self.count + n, 1.0)
        a, b = self.count / total, n / total
        difference = self.mean - mean
        self.var = np.where(n > 0, a * self.var + b * var + a * b * difference**2, self.var)
        self.mean = np.where(n > 0, a * self.mean + b * mean, self.mean)
        self.count = self.count + n

    def transform(self, x: np.ndarray, clip: float = np.inf) -> np.ndarray:
        """Return standardised features: 0 where missing or without variance yet."""
        scale = np.sqrt(self.var)
        good = scale > 1e-12
        z = np.where(good, (x - self.mean) / np.where(good, scale, 1.0), 0.0)
        return np.clip(np.nan_to_num(z, nan=0.0, posinf=0.0, neginf=0.0), -clip, clip)


class Logistic:
    """One column of weights a head. ``learn`` is one step down the mean gradient of the batch, as River's
    ``LogisticRegression(SGD(rate), intercept_lr=…).learn_many``; of one row, as its ``learn_one``.

    adaptive : as with its ``AdaGrad(rate, eps=adaptive)`` instead of ``SGD(rate)``: each weight's step is divided by
    the root of the sum of its squared gradients and ``adaptive``, so that what is rare is learned as well as what is
    common, and what was learned long is not thrown about by one long incident. 0: SGD.
    """

    def __init__(
        self,
        features: int,
        heads: int,
        rate: float = 0.01,
        intercept_rate: float = 0.01,
        l2: float = 0.0,
        adaptive: float = 0.0,
    ) -> None:
        self.rate, self.intercept_rate, self.l2, self.adaptive = rate, intercept_rate, l2, adaptive
        self.weights, self.bias = np.zeros((features, heads)), np.zeros(heads)
        self.squares = np.zeros((features, heads))
        self.prior = np.zeros(0)  # what the first weights begin at, and are drawn to by ``l2``; the others: 0

    def begin(self, prior: np.ndarray, bias: float) -> None:
        """Believe something before anything was learned."""
        self.prior = prior
        self.grow(max(len(prior), len(self.weights)))
        self.weights[: len(prior)] = prior[:, None]
        self.bias[:] = bias

    def grow(self, features: int) -> None:
        self.weights = grown(self.weights, (features, self.weights.shape[1]), 0.0)
        self.squares = grown(self.squares, self.weights.shape, 0.0)

    def logits(self, x: np.ndarray) -> np.ndarray:
        return x @ self.weights + self.bias

    def predict(self, x: np.ndarray) -> np.ndarray:
        return sigmoid(self.logits(x))

    def learn(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray | float = 1.0) -> None:
        """x : float64[rows, features]; y : [rows, heads], NaN unknown; weight : [rows], for how many each stands."""
        known = np.isfinite(y)
        weight = np.broadcast_to(np.asarray(weight, float).reshape(-1, 1), known.shape)
        rows = np.maximum((known * weight).sum(0), 1)
        slope = np.where(known, (self.predict(x) - np.where(known, y, 0.0)) * weight, 0.0) / rows
        gradient = x.T @ slope
        if self.l2:
            away = self.weights.copy()
            away[: len(self.prior)] -= self.prior[:, None]
            gradient += self.l2 * away * known.any(0)
        self.bias = self.bias - self.intercept_rate * slope.sum(0)
        if self.adaptive:
            self.squares = self.squares + gradient**2
            gradient = gradient / np.sqrt(self.squares + self.adaptive)
        self.weights = self.weights - self.rate * gradient

    def state(self) -> dict[str, Any]:
        return {"weights": self.weights, "bias": self.bias, "squares": self.squares}


class Calibration:
    """Raw logits to probabilities, a head: counts by bin of the logit made at close, isotonic (pool adjacent
    violators), read off by linear interpolation. PRIOR made-up rows a bin, as the logits themselves say, keep bins with
    few rows sane and what the logits tell apart in order."""

    EDGES = np.linspace(-10, 10, 41)
    PRIOR = 5.0

    def __init__(self, heads: int) -> None:
        self.counts = np.zeros((2, heads, len(self.EDGES) + 1))
        self.curve = np.zeros((heads, len(self.EDGES) + 1))
        self.unfitted, self.total = 0, 0
        self._fit()

    def add(self, z: np.ndarray, y: np.ndarray, amount: np.ndarray | float = 1.0) -> None:
        """z, y: [rows, heads]; NaN in either is left out; amount: [rows], how many rows each stands for."""
        known = np.isfinite(y) & np.isfinite(z)
        if not known.any():
            return
        row, head = np.nonzero(known)
        cell = np.searchsorted(self.EDGES, z[row, head])
        amount = np.broadcast_to(amount, len(z))[row]
        np.add.at(self.counts, (y[row, head].astype(int), head, cell), amount)
        self.unfitted += len(row)
        self.total += len(row)
        # A refit for every window would cost more than the model: one percent more rows change little.
        if self.unfitted * 100 > self.total:
            self._fit()

    def apply(self, z: np.ndarray) -> np.ndarray:
        centres = self._centres()
        steps = np.stack([np.interp(z[:, h], centres, self.curve[h]) for h in range(z.shape[1])], 1)
        # Isotonic steps are flat in between: a thousandth of the logit keeps the order.
        return 0.999 * steps + 0.001 * sigmoid(z)

    def _centres(self) -> np.ndarray:
        return np.concatenate([[self.EDGES[0] - 0.25], (self.EDGES[1:] + self.EDGES[:-1]) / 2, [self.EDGES[-1] + 0.25]])

    def _fit(self) -> None:
        self.unfitted = 0
        own = sigmoid(self._centres())
        for h in range(self.counts.shape[1]):
            negative, positive = np.maximum(self.counts[:, h], 0.0)
            total = negative + positive
            rate = (positive + self.PRIOR * own) / (total + self.PRIOR)
            weight = total + self.PRIOR
            blocks: list[list[float]] = []
            for value, mass in zip(rate.tolist(), weight.tolist(), strict=True):
                blocks.append([value, mass, 1])
                while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
                    last, before = blocks.pop(), blocks.pop()
                    both = last[1] + before[1]
                    blocks.append([(last[0] * last[1] + before[0] * before[1]) / both, both, last[2] + before[2]])
            self.curve[h] = np.concatenate([np.full(int(n), value) for value, _, n in blocks])

    def state(self) -> dict[str, Any]:
        return {"counts": self.counts, "curve": self.curve, "unfitted": self.unfitted, "total": self.total}

    def restore(self, state: dict[str, Any]) -> None:
        self.counts, self.curve = state["counts"].copy(), state["curve"].copy()
        self.unfitted, self.total = state["unfitted"], state["total"]
