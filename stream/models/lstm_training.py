"""How the LSTM learns: Adam on the cross-entropy of a balanced sample, in JAX."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stream.models.lstm import INPUTS

BATCH = 128
RATE = 3e-3
DECAY = 1e-4  # of the weights, a step
DROPPED = 0.15  # share of metrics left out of a row, so that none is relied on alone
_FEATURES_STEP = 24  # inputs are padded to a multiple: each shape is compiled once


def train(weights: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray, seed: int, steps: int) -> dict[str, np.ndarray]:
    """Return weights after so many steps; the same arguments give the same weights.

    x : float32[rows, length, features]; y : float32[rows, heads] of 0 and 1, NaN unknown.
    """
    rng = np.random.default_rng(seed)
    features = x.shape[2]
    padding = -features % _FEATURES_STEP
    x = np.pad(x, ((0, 0), (0, 0), (0, padding)))
    now: Any = {name: jnp.asarray(w) for name, w in weights.items()}
    now["input"] = jnp.pad(now["input"], ((0, x.shape[2] - len(weights["input"])), (0, 0)))
    mean = jax.tree.map(jnp.zeros_like, now)
    square = jax.tree.map(jnp.zeros_like, now)
    for step in range(1, steps + 1):
        rows = rng.integers(0, len(x), BATCH)
        kept = np.repeat(rng.random((BATCH, 1, features // INPUTS)) >= DROPPED, INPUTS, axis=2)
        batch = x[rows].copy()
        batch[:, :, :features] *= kept
        now, mean, square = _step(now, mean, square, batch, y[rows], step)
    out = {name: np.asarray(w) for name, w in now.items()}
    out["input"] = out["input"][:features]
    return out


@partial(jax.jit, donate_argnums=(0, 1, 2))
def _step(now: Any, mean: Any, square: Any, x: Any, y: Any, step: Any) -> Any:
    slope = jax.grad(_loss)(now, x, y)
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, slope)
    square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, square, slope)

    def moved(w: Any, m: Any, s: Any) -> Any:
        by = (m / (1 - 0.9**step)) / (jnp.sqrt(s / (1 - 0.999**step)) + 1e-8)
        return w - RATE * by - DECAY * w

    return jax.tree.map(moved, now, mean, square), mean, square


def _loss(weights: Any, x: Any, y: Any) -> Any:
    driven = x @ weights["input"] + weights["bias"]
    size = weights["hidden"].shape[0]

    def one(state: Any, now: Any) -> Any:
        h, c, total = state
        i, f, g, o = jnp.split(now + h @ weights["hidden"], 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c, total + h), None

    zero = jnp.zeros((x.shape[0], size))
    (h, _, total), _ = jax.lax.scan(one, (zero, zero, zero), jnp.swapaxes(driven, 0, 1))
    z = jnp.concatenate([h, total / x.shape[1]], 1) @ weights["output"] + weights["output_bias"]
    known = jnp.isfinite(y)
    label = jnp.where(known, y, 0.0)
    loss = jnp.where(known, jnp.logaddexp(0.0, z) - label * z, 0.0)
    return loss.sum() / jnp.maximum(known.sum(), 1)
