"""Which entities of a window wait for their labels with their features, where not all fit into memory.

A window of many entities keeps a sample of them (Poisson sampling: Hájek 1964): the likelier what was said of one can
prove wrong, the likelier it stays. Each that stays counts as many windows as it stands for (Horvitz, Thompson 1952), so
what is learned, counted and calibrated is, in the mean, what all of them would have taught.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.models.base import grown

HARD = 100.0  # a window that was surely taken for an incident stays so much likelier than one that was surely not
PEAK_MS = 3_600_000  # thresholds are made of the highest score of each hour


def worth(score: np.ndarray, p: np.ndarray, under_way: np.ndarray) -> np.ndarray:
    """Return float32[n], how much likelier each window stays than one of which nothing was said.

    score, p : 0…1, NaN unknown; under_way : whether it is known to be of an incident.
    """
    said = np.maximum(np.nan_to_num(p), score.astype(float) ** 2)
    return (1 + HARD * np.where(under_way, 1.0, said)).astype(np.float32)


def share_for(worth: np.ndarray, rows: int) -> float:
    """Return the factor by which chances ``min(1, factor * worth)`` add up to so many rows; inf where all fit."""
    if len(worth) <= rows:
        return float("inf")
    value = np.sort(worth.astype(float))[::-1]
    rest = np.cumsum(value[::-1])[::-1]  # of the values from each on
    sure = np.arange(len(value))
    fits = (rows - sure) / np.maximum(rest, 1e-300)  # were those before it sure to stay
    return float(fits[np.argmax(fits * value <= 1)])


def chances(worth: np.ndarray, share: float) -> np.ndarray:
    """Return float64[n], the probability with which each stays, 0…1."""
    return np.minimum(1.0, share * worth.astype(float)) if np.isfinite(share) else np.ones(len(worth))


def uniform(number: int, rows: np.ndarray) -> np.ndarray:
    """Return float64[n] in (0, 1), of a window's number and each entity's alone: no state to keep."""
    with np.errstate(over="ignore"):
        return uniform_of(
            np.full(len(rows), number, np.uint64) * np.uint64(0xD1342543DE82EF95) + rows.astype(np.uint64)
        )


def uniform_of(keys: np.ndarray) -> np.ndarray:
    """Return float64[n] in (0, 1), of keys uint64[n] that are all different (SplitMix64: Steele, Lea, Flood 2014)."""
    with np.errstate(over="ignore"):
        z = (keys + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(11)).astype(float) + 0.5) / (1 << 53)


class Peaks:
    """The highest score and risk of each entity in its present hour: what reaches them may become a threshold."""

    def __init__(self) -> None:
        self._hour = np.zeros(0, np.int64)
        self._highest = np.zeros((2, 0), np.float32)

    def step(self, rows: np.ndarray, score: np.ndarray, p: np.ndarray, start_ms: int) -> np.ndarray:
        """Return bool[n], which windows are the highest so far of their hour."""
        entities = max(len(self._hour), int(rows.max(initial=-1)) + 1)
        self._hour = grown(self._hour, (entities,), -1)
        self._highest = grown(self._highest, (2, entities), 0.0)
        now = np.stack([score, np.nan_to_num(p)]).astype(np.float32)
        before = np.where(self._hour[rows] == start_ms // PEAK_MS, self._highest[:, rows], np.float32(-1))
        self._hour[rows] = start_ms // PEAK_MS
        self._highest[:, rows] = np.maximum(before, now)
        return np.asarray((now > before).any(0))

    def state(self) -> dict[str, Any]:
        return {"hour": self._hour, "highest": self._highest}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Peaks:
        one = cls()
        one._hour, one._highest = state["hour"].copy(), state["highest"].copy()
        return one
