"""The threshold of ``p_incident``: from windows known to be normal, and from the last weeks, for models learn."""

from __future__ import annotations

import numpy as np

from stream.models.threshold import Budget

SPAN_MS = 5 * 86_400_000
SHARE = 0.75  # of the budget of false alarms, once something was learned; the rest is left to ``anomaly_score``


class RiskBudget(Budget):
    """A budget that forgets: hours that lie SPAN_MS back count e times less.

    It is told of windows when their labels are known, so an alarm that was right uses nothing up.
    """

    def learn(self, rows: np.ndarray, score: np.ndarray, start_ms: int, normal: np.ndarray) -> None:
        ended = rows[(self.block[rows] != start_ms // self.block_ms) & np.isfinite(self.peak[rows])]
        if len(ended):
            keep = float(np.exp(-self.block_ms / SPAN_MS))
            self.counts[ended] *= np.float32(keep)
            self.pool *= 1 - (1 - keep) * len(ended) / max(len(self.cut), 1)
        super().learn(rows, score, start_ms, normal)

    def _known_days(self, rows: np.ndarray) -> np.ndarray:
        """A calibrated probability means the same for every entity, so the days of all count."""
        return np.full(len(rows), self.pool.sum() / self.blocks_per_day)
