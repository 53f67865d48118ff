"""Relative-error quantile sketch: log buckets that merge by adding counts.

DDSketch (Masson, Rim, Lee, VLDB 2019): with gamma = (1 + a) / (1 - a), bucket k holds (gamma^(k-1), gamma^k] and its
estimate 2 gamma^k / (gamma + 1) is within the relative error a of every value in it; here a = 1 %.
Stored keys are int16 and sort as the values do: positive k + 8192, zero 0, negative the negated key of the magnitude.
"""

from __future__ import annotations

import numpy as np

GAMMA = 1.01 / 0.99
_LOG_GAMMA = float(np.log(GAMMA))
_SHIFT = 8192
_K_MAX = 8000


def keys_of(values: np.ndarray) -> np.ndarray:
    """Return the bucket key of each finite value, int16[n]; magnitudes beyond gamma^±8000 fall in the outermost."""
    with np.errstate(divide="ignore"):
        k = np.ceil(np.log(np.abs(values)) / _LOG_GAMMA)
    k = np.clip(k, -_K_MAX, _K_MAX) + _SHIFT
    return np.where(values == 0, 0, np.sign(values) * k).astype(np.int16)


def estimates(keys: np.ndarray) -> np.ndarray:
    """Return each bucket's value, float64[n]."""
    k = np.abs(keys.astype(np.float64)) - _SHIFT
    return np.where(keys == 0, 0.0, np.sign(keys) * 2 * np.exp(k * _LOG_GAMMA) / (GAMMA + 1))


def build(rows: np.ndarray, keys: np.ndarray, counts: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (offsets int64[n+1], keys int16, counts uint32) from entries in any order, equal ones added up.

    rows : int64[m] in 0…n-1, the row each entry belongs to.
    """
    packed = (rows.astype(np.int64) << 16) | (keys.astype(np.int64) + 32768)
    unique, inverse = np.unique(packed, return_inverse=True)
    total = np.bincount(inverse, weights=counts, minlength=len(unique)).astype(np.uint32)
    offsets = np.searchsorted(unique, np.arange(n + 1, dtype=np.int64) << 16)
    return offsets, ((unique & 0xFFFF) - 32768).astype(np.int16), total


def quantiles(
    offsets: np.ndarray, keys: np.ndarray, counts: np.ndarray, q: float, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Return the nearest-rank quantile of every row, float64[n], kept within [low, high]; every row has an entry."""
    running = np.cumsum(counts, dtype=np.int64)
    before = np.concatenate([[0], running])[offsets[:-1]]
    size = running[offsets[1:] - 1] - before
    rank = before + np.maximum(1, np.ceil(q * size)).astype(np.int64)
    return np.clip(estimates(keys[np.searchsorted(running, rank)]), low, high)
