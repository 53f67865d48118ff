"""Relative-error quantile sketch: log buckets that merge by adding counts.

DDSketch (Masson, Rim, Lee, VLDB 2019): with gamma = (1 + a) / (1 - a), bucket k holds (gamma^(k-1), gamma^k] and its
estimate 2 gamma^k / (gamma + 1) is within the relative error a of every value in it; here a = 1 %.
Stored keys are int16 and sort as the values do: positive k + 8192, zero 0, negative the negated key of the magnitude.
In memory many sketches are one rising int64 array of entries: row (24 bits), key + 32768 (16 bits), count (24 bits); a
bucket that holds more than 2^24 - 1 samples has several entries.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

GAMMA = 1.01 / 0.99
ROWS_MAX = 1 << 23
_LOG_GAMMA = float(np.log(GAMMA))
_SHIFT = 8192
_K_MAX = 8000
_COUNT_BITS = 24
_COUNT_MAX = (1 << _COUNT_BITS) - 1


def keys_of(values: np.ndarray) -> np.ndarray:
    """Return the bucket key of each finite value, int16[n]; magnitudes beyond gamma^±8000 fall in the outermost."""
    k = np.abs(values)
    with np.errstate(divide="ignore"):
        np.log(k, out=k)
    k *= 1 / _LOG_GAMMA
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
    return np.where(keys == 0, 0.0, np.sign(keys) * 2 * np.exp(k * _LOG_GAMMA) / (GAMMA + 1))


def entries_of(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the entries of samples, grouped by rising row, each below ROWS_MAX."""
    packed = rows.astype(np.int64) << 16
    packed |= keys_of(values).astype(np.int64) + 32768
    packed.sort(kind="stable")  # short disordered runs: several times faster than NumPy's default
    heads = np.concatenate([[0], np.flatnonzero(packed[1:] != packed[:-1]) + 1])
    return _packed(packed[heads], np.diff(np.append(heads, len(packed))))


def merged(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the entries of several lists of them, equal buckets added up."""
    entries = np.concatenate(parts)
    entries.sort(kind="stable")  # a merge of rising runs
    buckets = entries >> _COUNT_BITS
    heads = np.concatenate([[0], np.flatnonzero(buckets[1:] != buckets[:-1]) + 1])
    return _packed(buckets[heads], np.add.reduceat(entries & _COUNT_MAX, heads))


def _packed(buckets: np.ndarray, counts: np.ndarray) -> np.ndarray:
    if len(counts) and int(counts.max()) > _COUNT_MAX:
        repeats = -(-counts // _COUNT_MAX)
        last = np.cumsum(repeats) - 1
        rest = counts - (repeats - 1) * _COUNT_MAX
        buckets, counts = np.repeat(buckets, repeats), np.full(int(repeats.sum()), _COUNT_MAX)
        counts[last] = rest
    return (buckets << _COUNT_BITS) | counts


def unpacked(entries: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (offsets int64[n+1], keys int16, counts uint32) of entries whose rows are exactly those, rising."""
    offsets = np.append(np.searchsorted(entries, rows.astype(np.int64) << (16 + _COUNT_BITS)), len(entries))
    keys = (((entries >> _COUNT_BITS) & 0xFFFF) - 32768).astype(np.int16)
    return offsets, keys, (entries & _COUNT_MAX).astype(np.uint32)


def moved(entries: np.ndarray, new_rows: np.ndarray) -> np.ndarray:
    """Return the entries with each row replaced by ``new_rows[row]``, which rises with it."""
    bits = 16 + _COUNT_BITS
    return (new_rows[entries >> bits].astype(np.int64) << bits) | (entries & ((1 << bits) - 1))


def build(rows: np.ndarray, keys: np.ndarray, counts: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (offsets int64[n+1], keys int16, counts uint32) from stored buckets in any order, equal ones added up.

    rows : int64[m] in 0…n-1, the row each bucket belongs to.
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
