"""A bounded sample of labelled windows in which rare labels are as well kept as common ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.models.base import Learned, wide
from stream.models.sampling import uniform_of

NORMAL, FAR, NEAR, UNDER_WAY = range(4)
SIZES = (512, 128, 384, 160)
HARD = 100.0
SPAN_MS = 21 * 86_400_000  # a window so much older is e times less likely to be kept


class Reservoir:
    """Weighted sampling without replacement (Efraimidis, Spirakis 2006), a stratum a kind of label.

    Whether a window stays is decided by a number made of its place in the stream, not by a generator with a state: the
    same windows in the same order leave the same sample, wherever a snapshot was taken.
    ``x`` : float16[rows, features]; ``y`` : float32[rows, heads]; ``stratum`` : int8[rows].
    """

    def __init__(self, features: int, heads: int) -> None:
        self.x, self.y = np.zeros((0, features), np.float16), np.zeros((0, heads), np.float32)
        self.stratum, self.key = np.zeros(0, np.int8), np.zeros(0)

    def add(self, x: np.ndarray, block: Learned, near: int, *, borrowed: bool = False) -> bool:
        """Offer windows as x float16[n, features]; ``near`` : the head of the horizon that is shown alone.

        borrowed : they are of another traffic period: what is normal there says nothing here, an incident does.
        Return whether any was taken.
        """
        y = block.y
        stratum = np.where(y[:, 0] == 1, UNDER_WAY, np.where(y[:, near] == 1, NEAR, NORMAL))
        far = (stratum == NORMAL) & (y[:, 1:] == 1).any(1)
        stratum[far] = FAR
        if borrowed:
            stratum[stratum == NORMAL] = -1
        stratum[np.isnan(y[:, near]) & (stratum != UNDER_WAY)] = -1
        key = np.log(-np.log(_uniform(block.number))) - block.at_ms / SPAN_MS
        key = key - np.log(block.weight)
        # False alarms teach most: what is normal and looked like an incident is kept the likelier.
        key -= np.where(stratum == NORMAL, np.log1p(HARD * np.nan_to_num(block.risk)), 0.0)
        worst = np.full(4, np.inf)
        for s in range(4):
            kept = self.key[self.stratum == s]
            if len(kept) >= SIZES[s]:
                worst[s] = kept.max()
        taken = np.flatnonzero((stratum >= 0) & (key < worst[np.maximum(stratum, 0)]))
        if not len(taken):
            return False
        width = max(self.x.shape[1], x.shape[1])
        self.x = np.concatenate([wide(self.x, width), wide(x[taken].astype(np.float16), width)])
        self.y = np.concatenate([self.y, y[taken].astype(np.float32)])
        self.stratum = np.concatenate([self.stratum, stratum[taken].astype(np.int8)])
        self.key = np.concatenate([self.key, key[taken]])
        keep = np.ones(len(self.key), bool)
        for s in range(4):
            of = np.flatnonzero(self.stratum == s)
            if len(of) > SIZES[s]:
                keep[of[np.argsort(self.key[of], kind="stable")[SIZES[s] :]]] = False
        for name in ("x", "y", "stratum", "key"):
            setattr(self, name, getattr(self, name)[keep])
        return True

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("x", "y", "stratum", "key")}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Reservoir:
        one = cls(0, 0)
        for name, value in state.items():
            setattr(one, name, value.copy())
        return one


def _uniform(number: np.ndarray) -> np.ndarray:
    """Return float64[n] in (0, 1), of each window's number and the row in it alone."""
    first = np.flatnonzero(np.diff(number, prepend=number[:1] - 1))
    row = np.arange(len(number)) - np.repeat(first, np.diff(np.append(first, len(number))))
    return uniform_of((number.astype(np.uint64) << np.uint64(20)) + row.astype(np.uint64))
