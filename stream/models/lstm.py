"""A long short-term memory over the sequence of an entity's last windows (Hochreiter, Schmidhuber 1997).

It answers with NumPy and is trained with JAX, in a thread of its own: the weights that come of one training answer from
the next one on, at a fixed event time, so that what is said does not depend on how fast the training was.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from stream.models.base import Learned, Seen, grown, sigmoid
from stream.models.history import CHANNELS, LENGTH
from stream.models.occlusion import occlusion
from stream.models.reservoir import NEAR, UNDER_WAY, Reservoir

HIDDEN = 16
INPUTS = len(CHANNELS) + 1  # a metric: its channels, and the size of its last step
TRAIN_EVERY_MS = 6 * 3_600_000
STEPS = 120
LABELLED_MIN = 60
PRIOR = -5.0
_BLOCK = 512

Weights = dict[str, np.ndarray]


def absent() -> str:
    """Return why it cannot be had, empty if it can."""
    return "" if find_spec("jax") else "JAX is not installed: pip install 'jax[cpu]'"


@cache
def _trainer() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "lstm")


class Lstm:
    """Bounded: the sample of ``reservoir.py``, as sequences, and the weights."""

    needs_past = True
    relearns = False

    def __init__(self, heads: int, middle: int) -> None:
        self._heads, self._middle = heads, middle
        self.sample = Reservoir(0, heads)
        self.weights = begin(heads)
        self._training: Future[Weights] | None = None
        self._trained_ms = 0
        self._news = False  # whether windows before or in an incident were taken in since the last training
        self.trainings = 0

    def logits(self, seen: Seen) -> np.ndarray:
        if not self.trainings:
            return np.full((len(seen.x), self._heads), PRIOR)
        weights = fitted(self.weights, seen.past.shape[2])
        parts = [forward(weights, inputs(seen.past[at : at + _BLOCK])) for at in range(0, len(seen.past), _BLOCK)]
        return np.concatenate(parts)

    def shares(self, seen: Seen, head: int, surprise: np.ndarray) -> tuple[np.ndarray, float]:
        return occlusion(self.logits, seen, head, surprise)

    def learn(self, block: Learned, *, borrowed: bool = False) -> None:
        n, length, metrics, channels = block.seen.past.shape
        # A metric after the other, so that new metrics only append.
        flat = block.seen.past.transpose(0, 2, 1, 3).reshape(n, metrics * length * channels)
        if self.sample.add(flat, block, self._middle, borrowed=borrowed):
            self._news |= bool((block.y == 1).any())

    def borrow(self, block: Learned) -> None:
        self.learn(block, borrowed=True)

    def train(self, at_ms: int) -> None:
        if at_ms - self._trained_ms >= TRAIN_EVERY_MS:
            self._trained_ms = at_ms
            self._take()
            labelled = int(((self.sample.stratum == NEAR) | (self.sample.stratum == UNDER_WAY)).sum())
            if self._news and labelled >= LABELLED_MIN and not absent():
                self._news = False
                metrics = self.sample.x.shape[1] // (LENGTH * len(CHANNELS))
                past = self.sample.x.reshape(-1, metrics, LENGTH, len(CHANNELS)).transpose(0, 2, 1, 3)
                given = (fitted(self.weights, metrics), inputs(past), self.sample.y, self.trainings)
                self._training = _trainer().submit(_train, *given)

    def _take(self) -> None:
        """Answer with what the last training gave; waits for it where event time runs faster than it."""
        if self._training is not None:
            self.weights = self._training.result()
            self.trainings += 1
            self._training = None

    def state(self) -> dict[str, Any]:
        following = self._training.result() if self._training is not None else None
        out = {"sample": self.sample.state(), "weights": self.weights, "following": following}
        return out | {"trained_ms": self._trained_ms, "trainings": self.trainings, "news": self._news}

    def restore(self, state: dict[str, Any]) -> None:
        self.sample, self.weights = Reservoir.of(state["sample"]), dict(state["weights"])
        self._trained_ms, self.trainings, self._news = (state[k] for k in ("trained_ms", "trainings", "news"))
        self._training = None
        if state["following"] is not None:
            self._training = Future()
            self._training.set_result(dict(state["following"]))

    def carry(self, before: Lstm) -> None:
        before._take()
        self.weights, self.trainings, self._trained_ms = before.weights, before.trainings, before._trained_ms
        self._training = None


def _train(weights: Weights, x: np.ndarray, y: np.ndarray, seed: int) -> Weights:
    from stream.models.lstm_training import train

    return train(weights, x, y, seed, STEPS)


def begin(heads: int) -> Weights:
    rng = np.random.default_rng(0)
    bias = np.zeros(4 * HIDDEN, np.float32)
    bias[HIDDEN : 2 * HIDDEN] = 1.0  # it remembers at first
    return {
        "input": np.zeros((0, 4 * HIDDEN), np.float32),
        "hidden": (rng.normal(0, 1, (HIDDEN, 4 * HIDDEN)) / np.sqrt(HIDDEN)).astype(np.float32),
        "bias": bias,
        "output": np.zeros((2 * HIDDEN, heads), np.float32),
        "output_bias": np.full(heads, -1.0, np.float32),
    }


def fitted(weights: Weights, metrics: int) -> Weights:
    """Return weights for so many metrics: new ones begin with small numbers that depend only on their place."""
    have = len(weights["input"]) // INPUTS
    if have >= metrics:
        return weights
    new = grown(weights["input"], (metrics * INPUTS, 4 * HIDDEN), 0.0)
    for metric in range(have, metrics):
        rng = np.random.default_rng(metric + 1)
        new[metric * INPUTS : (metric + 1) * INPUTS] = rng.normal(0, 0.15, (INPUTS, 4 * HIDDEN))
    return {**weights, "input": new}


def inputs(past: np.ndarray) -> np.ndarray:
    """Return float32[n, length, metrics * INPUTS] of past[n, length, metrics, channels]."""
    x = past.astype(np.float32)
    step = np.abs(np.diff(x[:, :, :, -1], axis=1, prepend=x[:, :1, :, -1]))
    return np.concatenate([x, step[:, :, :, None]], 3).reshape(len(x), x.shape[1], -1)


def forward(weights: Weights, x: np.ndarray) -> np.ndarray:
    """Return float64[n, heads] of x[n, length, features]; features beyond those known count nothing."""
    width = min(x.shape[2], len(weights["input"]))
    driven = x[:, :, :width] @ weights["input"][:width] + weights["bias"]
    h = c = total = np.zeros((len(x), HIDDEN), np.float32)
    for t in range(x.shape[1]):
        i, f, g, o = np.split(driven[:, t] + h @ weights["hidden"], 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        total = total + h
    both = np.concatenate([h, total / x.shape[1]], 1)
    return (both @ weights["output"] + weights["output_bias"]).astype(float)
