"""Buckets of values, 1 % wide: the keys that sketches are made of, in memory, on the log and in the store.

DDSketch (Masson, Rim, Lee, VLDB 2019): with gamma = (1 + a) / (1 - a), bucket k holds (gamma^(k-1), gamma^k] and its
estimate 2 gamma^k / (gamma + 1) is within the relative error a of every value in it; here a = 1 %.
Keys are int16 and sort as the values do: positive k + 8192, zero 0, negative the negated key of the magnitude.
"""

from __future__ import annotations

import numpy as np

GAMMA = 1.01 / 0.99
LOG_GAMMA = float(np.log(GAMMA))
_SHIFT = 8192
_K_MAX = 8000


def keys_of(values: np.ndarray) -> np.ndarray:
    """Return the bucket key of each finite value, int16[n]; magnitudes beyond gamma^±8000 fall in the outermost."""
    k = np.abs(values)
    with np.errstate(divide="ignore"):
        np.log(k, out=k)
    k *= 1 / LOG_GAMMA
    np.ceil(k, out=k)
    np.clip(k, -_K_MAX, _K_MAX, out=k)
    k += _SHIFT
    np.copysign(k, values, out=k)
    keys = k.astype(np.int16)
    keys[values == 0] = 0
    return keys


def estimates(keys: np.ndarray) -> np.ndarray:
    """Return each bucket's value, float64[n]."""
    k = np.abs(keys.astype(np.float64)) - _SHIFT
    return np.where(keys == 0, 0.0, np.sign(keys) * 2 * np.exp(k * LOG_GAMMA) / (GAMMA + 1))
