"""How right a model has been: each score made at its window's close, against the label known later."""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 2000
SPAN = 14.0  # logits beyond ±SPAN share the outermost bins


class Figures:
    """Counts of scores by label in bins of their logit: bounded memory, exact to a bin's width."""

    def __init__(self) -> None:
        self.counts = np.zeros((2, BINS))
        self.squares = 0.0
        self.probability = np.zeros(BINS)

    def add(self, p: np.ndarray, y: np.ndarray, amount: np.ndarray | float = 1.0) -> None:
        """``amount`` : [n], how many windows each stands for; -1 takes back one whose label proved wrong."""
        known = np.isfinite(p) & np.isfinite(y)
        if not known.any():
            return
        amount = np.broadcast_to(amount, len(p))[known]
        p, label = p[known], y[known].astype(int)
        q = np.clip(p, 1e-9, 1 - 1e-9)
        z = np.log(q / (1 - q))
        cell = np.clip(((z + SPAN) / (2 * SPAN) * BINS).astype(int), 0, BINS - 1)
        np.add.at(self.counts, (label, cell), amount)
        np.add.at(self.probability, cell, amount * p)
        self.squares += float((amount * (p - label) ** 2).sum())

    def fade(self, factor: float) -> None:
        """Make everything so far count less."""
        self.counts, self.probability = self.counts * factor, self.probability * factor
        self.squares *= factor

    @property
    def windows(self) -> int:
        return int(self.counts.sum())

    @property
    def positives(self) -> int:
        return int(self.counts[1].sum())

    def roc_auc(self) -> float | None:
        negative, positive = self.counts
        if negative.sum() <= 0 or positive.sum() <= 0:
            return None
        below = np.cumsum(negative) - negative
        return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))

    def average_precision(self) -> float | None:
        negative, positive = self.counts[:, ::-1]
        if positive.sum() <= 0:
            return None
        hits, flagged = np.cumsum(positive), np.cumsum(positive + negative)
        return float((positive * hits / np.maximum(flagged, 1)).sum() / positive.sum())

    def brier(self) -> float | None:
        total = self.counts.sum()
        return float(self.squares / total) if total > 0 else None

    def roc_curve(self, points: int = 100) -> list[list[float]]:
        """Return ``[false positive rate, true positive rate]`` from (0, 0) to (1, 1)."""
        negative, positive = self.counts[:, ::-1]
        if negative.sum() <= 0 or positive.sum() <= 0:
            return []
        x = np.concatenate([[0.0], np.cumsum(negative) / negative.sum()])
        y = np.concatenate([[0.0], np.cumsum(positive) / positive.sum()])
        corner = np.flatnonzero(np.diff(x + y, prepend=-1.0) > 0)
        if len(corner) > points:
            at = np.searchsorted((x + y)[corner], np.linspace(0, 2, points))
            corner = corner[np.unique(np.minimum(at, len(corner) - 1))]
        return [[float(x[i]), float(y[i])] for i in corner]

    def calibration_curve(self, bins: int = 10) -> list[list[float]]:
        """Return ``[mean predicted, observed share, windows]`` a bin of equal numbers of windows."""
        total = self.counts.sum(0)
        if total.sum() <= 0:
            return []
        group = np.minimum(((np.cumsum(total) - total / 2) / total.sum() * bins).astype(int), bins - 1)
        out = []
        for k in range(bins):
            of = (group == k) & (total > 0)
            n = total[of].sum()
            if n > 0:
                out.append([float(self.probability[of].sum() / n), float(self.counts[1][of].sum() / n), float(n)])
        return out

    def calibration_error(self) -> float | None:
        curve = self.calibration_curve()
        n = sum(row[2] for row in curve)
        return sum(abs(row[0] - row[1]) * row[2] for row in curve) / n if n else None

    def state(self) -> dict[str, Any]:
        return {"counts": self.counts, "squares": self.squares, "probability": self.probability}

    def restore(self, state: dict[str, Any]) -> None:
        self.counts, self.probability = state["counts"].copy(), state["probability"].copy()
        self.squares = state["squares"]
