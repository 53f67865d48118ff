"""k nearest neighbours among past windows, by their features and the shape of what led to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.features.vector import SUMMARY
from stream.models.base import Learned, Seen, wide
from stream.models.history import DRIFT, EXCESS, LENGTH
from stream.models.occlusion import occlusion
from stream.models.reservoir import NEAR, NORMAL, UNDER_WAY, Reservoir

NEIGHBOURS = 25
TELLING = 32  # so many features count, those that tell windows before and in an incident from others best
LABELLED_MIN = 60  # some incidents' worth
PLACE_EVERY_MS = 1_800_000
PRIOR = -5.0
SHAPES = 4
_BLOCK = 1024


class Knn:
    """Bounded: the sample of ``reservoir.py``, however long it learns, so its cost does not grow with time.

    The vote of the nearest, weighted by a Gaussian as wide as the distance to the furthest of them, is a share of a
    sample in which rare labels are over-represented; calibration makes a probability of it.
    """

    needs_past = True
    relearns = True

    def __init__(self, heads: int, middle: int) -> None:
        self._heads, self._middle = heads, middle
        self.sample = Reservoir(0, heads)
        self._placed: dict[str, np.ndarray] = {}  # the sample as it answers
        self._placed_ms, self._changed = 0, False

    def logits(self, seen: Seen) -> np.ndarray:
        out = np.full((len(seen.x), self._heads), PRIOR)
        if not self._placed:
            return out
        centre, weight, points = (self._placed[name] for name in ("centre", "weight", "points"))
        squares, known, y = (self._placed[name] for name in ("squares", "known", "y"))
        telling = np.flatnonzero(weight)
        x = wide(describe(seen)[:, : len(weight)], len(weight))[:, telling]
        x = ((x - centre[telling]) * weight[telling]).astype(np.float32)
        for at in range(0, len(x), _BLOCK):
            part = x[at : at + _BLOCK]
            distance = np.maximum((part**2).sum(1)[:, None] + squares - 2 * part @ points.T, 0)
            k = min(NEIGHBOURS, distance.shape[1]) - 1
            near = np.argpartition(distance, k, 1)[:, : k + 1]
            d = np.take_along_axis(distance, near, 1)
            vote = np.exp(-2 * d / (d.max(1, keepdims=True) + 1e-9))[:, :, None] * known[near]
            positive, total = (vote * y[near]).sum(1), vote.sum(1)
            out[at : at + _BLOCK] = np.log((positive + 0.2) / (total - positive + 0.2))
        return out

    @property
    def labelled(self) -> int:
        return int(((self.sample.stratum == NEAR) | (self.sample.stratum == UNDER_WAY)).sum())

    def shares(self, seen: Seen, head: int, surprise: np.ndarray) -> tuple[np.ndarray, float]:
        return occlusion(self.logits, seen, head, surprise)

    def learn(self, block: Learned) -> None:
        self._changed |= self.sample.add(describe(block.seen), block, self._middle)

    def borrow(self, block: Learned) -> None:
        self._changed |= self.sample.add(describe(block.seen), block, self._middle, borrowed=True)

    def train(self, at_ms: int) -> None:
        if self._changed and abs(at_ms - self._placed_ms) >= PLACE_EVERY_MS and self.labelled >= LABELLED_MIN:
            self._placed_ms, self._changed = at_ms, False
            self._place()

    def _place(self) -> None:
        """Weigh each feature by how well it alone tells the strata apart (Fisher's ratio), and place the sample."""
        x, stratum = self.sample.x.astype(np.float32), self.sample.stratum
        normal = x[stratum == NORMAL] if (stratum == NORMAL).any() else x
        centre, spread = normal.mean(0), normal.var(0) + 1e-4
        ratio = np.zeros(x.shape[1])
        for label in (NEAR, UNDER_WAY):
            of = x[stratum == label]
            if len(of) >= LABELLED_MIN // 4:
                shift = np.abs(of - centre).mean(0) - np.abs(normal - centre).mean(0)
                ratio = np.maximum(ratio, np.maximum(shift, 0) ** 2 / (spread + of.var(0)))
        best = np.sort(np.argsort(-ratio, kind="stable")[:TELLING])
        weight = np.zeros(x.shape[1])
        weight[best] = np.sqrt(ratio[best] / max(float(ratio.max()), 1e-9)) / np.sqrt(spread[best])
        points = ((x - centre) * weight)[:, np.flatnonzero(weight)].astype(np.float32)
        labels = {"known": np.isfinite(self.sample.y).astype(np.float32), "y": np.nan_to_num(self.sample.y)}
        squares = (points**2).sum(1)
        self._placed = {"centre": centre, "weight": weight, "points": points, "squares": squares, **labels}

    def carry(self, before: Knn) -> None:
        pass

    def state(self) -> dict[str, Any]:
        out = {"sample": self.sample.state(), "placed": self._placed}
        return out | {"placed_ms": self._placed_ms, "changed": self._changed}

    def restore(self, state: dict[str, Any]) -> None:
        self.sample, self._placed = Reservoir.of(state["sample"]), dict(state["placed"])
        self._placed_ms, self._changed = state["placed_ms"], state["changed"]


def describe(seen: Seen) -> np.ndarray:
    """Return float32[n, summary + SHAPES a metric]: the last LENGTH windows in few numbers.

    A metric's: its drift, how far off it was in the mean, how that has changed, and its roughness, the mean squared
    step over the variance (von Neumann 1941): 2 where each value is independent of the one before, less where they
    wander, more where they alternate.
    """
    if "shape" in seen.memo:
        return seen.memo["shape"]
    n, _, metrics, _ = seen.past.shape
    excess, short = seen.past[:, :, :, EXCESS].astype(np.float32), seen.past[:, :, :, -1].astype(np.float32)
    third = LENGTH // 3
    variance = short.var(1)
    out = np.zeros((n, len(SUMMARY) + SHAPES * metrics), np.float32)
    out[:, : len(SUMMARY)] = seen.x[:, : len(SUMMARY)]
    body = out[:, len(SUMMARY) :].reshape(n, metrics, SHAPES)
    body[:, :, 0] = seen.past[:, -1, :, DRIFT]
    body[:, :, 1] = excess.mean(1)
    body[:, :, 2] = excess[:, -third:].mean(1) - excess[:, :third].mean(1)
    body[:, :, 3] = (np.diff(short, axis=1) ** 2).mean(1) / (variance + 0.02)
    seen.memo["shape"] = out
    return out
