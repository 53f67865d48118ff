"""Relative-error quantile sketch: log buckets that merge by adding counts.

DDSketch (Masson, Rim, Lee, VLDB 2019): with gamma = (1 + a) / (1 - a), bucket k holds (gamma^(k-1), gamma^k] and its
estimate 2 gamma^k / (gamma + 1) is within the relative error a of every value in it; here a = 1 %.
Stored keys are those of ``schemas.buckets``.
In memory many sketches are one rising int64 array of entries: row (24 bits), key + 32768 (16 bits), count (24 bits); a
bucket that holds more than 2^24 - 1 samples has several entries.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.buckets import estimates, keys_of

ROWS_MAX = 1 << 23
_COUNT_BITS = 24
_COUNT_MAX = (1 << _COUNT_BITS) - 1
_DENSE_MAX = 2  # buckets a sample, empty ones too, up to which they are counted and not sorted


def entries_of(
    rows: np.ndarray, count: np.ndarray, values: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Return the entries of samples grouped by series: rows rising, each below ROWS_MAX, ``count`` samples of each.

    low, high : the least and greatest value of each series: buckets between are counted in one go where they are few,
        else sorted.
    """
    keys = keys_of(values)
    if len(values) == len(rows):
        return _packed(_buckets(rows, keys), np.ones(len(rows), np.int64))
    lowest = keys_of(low).astype(np.int64)
    width = keys_of(high) - lowest + 1
    ends = np.cumsum(width)
    if ends[-1] > _DENSE_MAX * len(values):
        buckets = _buckets(np.repeat(rows, count), keys)
        buckets.sort(kind="stable")  # short disordered runs: several times faster than NumPy's default
        heads = np.concatenate([[0], np.flatnonzero(buckets[1:] != buckets[:-1]) + 1])
        return _packed(buckets[heads], np.diff(np.append(heads, len(buckets))))
    base = ends - width - lowest
    at = np.repeat(base, count)
    at += keys
    return _counted(rows, base, width, np.bincount(at, minlength=int(ends[-1])))


def _counted(rows: np.ndarray, base: np.ndarray, width: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the entries of a count a bucket: ``width`` buckets a row, the one of key k at ``base`` + k."""
    found = np.flatnonzero(counted > 0)  # of booleans: several times faster than of numbers
    buckets = np.repeat(_first_bucket(rows, base), width)[found]
    buckets += found
    return _packed(buckets, counted[found])


def _first_bucket(rows: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return what a row's places among all that are counted are less than its buckets."""
    return (rows.astype(np.int64) << 16) + 32768 - base


def _buckets(rows: np.ndarray, keys: np.ndarray) -> np.ndarray:
    buckets = rows.astype(np.int64) << 16
    buckets |= keys.astype(np.int64) + 32768
    return buckets


def merged(parts: Sequence[np.ndarray], rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the entries of several lists of them, equal buckets added up.

    rows : all that occur, rising; low, high : the least and greatest value of each.
    """
    lowest = keys_of(low).astype(np.int64)
    width = keys_of(high) - lowest + 1
    ends = np.cumsum(width)
    if ends[-1] <= _DENSE_MAX * sum(map(len, parts)):
        base = ends - width - lowest
        to_place = np.zeros(int(rows[-1]) + 1, np.int64)
        to_place[rows] = -_first_bucket(rows, base)
        counted = np.zeros(int(ends[-1]), np.int64)
        for entries in parts:
            at = entries >> _COUNT_BITS
            at += to_place[entries >> (16 + _COUNT_BITS)]
            _count(counted, at, entries & _COUNT_MAX)
        return _counted(rows, base, width, counted)
    entries = np.concatenate(parts)
    entries.sort(kind="stable")  # a merge of rising runs
    buckets = entries >> _COUNT_BITS
    heads = np.concatenate([[0], np.flatnonzero(buckets[1:] != buckets[:-1]) + 1])
    return _packed(buckets[heads], np.add.reduceat(entries & _COUNT_MAX, heads))


def _count(counted: np.ndarray, at: np.ndarray, counts: np.ndarray) -> None:
    if len(counts) and int(counts.max()) == _COUNT_MAX:
        np.add.at(counted, at, counts)  # a bucket may have several entries
    else:
        counted[at] += counts


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
    return several_quantiles(offsets, keys, counts, (q,), low, high)[0]


def several_quantiles(
    offsets: np.ndarray,
    keys: np.ndarray,
    counts: np.ndarray,
    qs: Sequence[float],
    low: np.ndarray,
    high: np.ndarray,
) -> list[np.ndarray]:
    """Return ``quantiles`` for each of ``qs``."""
    if len(keys) == len(low):  # one bucket a row
        every = np.clip(estimates(keys), low, high)
        return [every] * len(qs)
    running = np.cumsum(counts, dtype=np.int64)
    ends = running[offsets[1:] - 1]
    before = np.concatenate([[0], ends[:-1]])
    size = ends - before
    out = []
    for q in qs:
        rank = before + np.maximum(1, np.ceil(q * size)).astype(np.int64)
        out.append(np.clip(estimates(keys[np.searchsorted(running, rank)]), low, high))
    return out
