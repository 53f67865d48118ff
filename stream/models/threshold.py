"""A threshold from a budget of false alarms: the share of blocks of time whose highest score may pass it."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.models.base import grown, logit

BINS = 400
SPAN = 12.0
HOLD_MS = 3_600_000
DAYS_TO_TRUST = 3.0  # after so many days a threshold below the first guess has gone half the way


class Budget:
    """One alarm holds for an hour, so what counts is the highest score of each hour. The threshold of an entity is
    the quantile of its hours' highest scores that as many hours a day pass as alarms are allowed; an entity with
    little history borrows a day of its group's."""

    def __init__(self, alarms_per_day: float, window_ms: int, first_guess: float) -> None:
        self.alarms_per_day, self.first_guess = alarms_per_day, first_guess
        self.block_ms = max(HOLD_MS, window_ms)
        self.blocks_per_day = 86_400_000 / self.block_ms
        self.counts = np.zeros((0, BINS), np.float32)
        self.pool = np.zeros(BINS)
        self.block = np.zeros(0, np.int64)
        self.peak = np.zeros(0)
        self.cut = np.zeros(0)

    def grow(self, entities: int) -> None:
        self.counts = grown(self.counts, (entities, BINS), 0.0)
        self.block = grown(self.block, (entities,), -1)
        self.peak = grown(self.peak, (entities,), -np.inf)
        self.cut = grown(self.cut, (entities,), np.nan)

    def passes(self, rows: np.ndarray, score: np.ndarray) -> np.ndarray:
        cut = self.cut[rows]
        return logit(score) >= np.where(np.isnan(cut), logit(np.array(self.first_guess)), cut)

    def learn(self, rows: np.ndarray, score: np.ndarray, start_ms: int, normal: np.ndarray) -> None:
        """Take in windows once their labels are known. ``normal`` False: an incident is under way or begins soon, so an
        alarm was right, or the score is of a warm-up; such windows set no threshold."""
        block = start_ms // self.block_ms
        done = rows[(self.block[rows] != block) & np.isfinite(self.peak[rows])]
        if len(done):
            cell = np.clip(((self.peak[done] + SPAN) / (2 * SPAN) * BINS).astype(int), 0, BINS - 1)
            np.add.at(self.counts, (done, cell), 1)
            np.add.at(self.pool, cell, 1)
            self.peak[done] = -np.inf
            self._cut(done)
        self.block[rows] = block
        self.peak[rows] = np.where(normal, np.maximum(self.peak[rows], logit(score)), self.peak[rows])

    def _cut(self, rows: np.ndarray) -> None:
        total = self.pool.sum()
        if total < self.blocks_per_day / 2:
            return
        counts = self.counts[rows] + self.pool * (min(self.blocks_per_day, total) / total)
        allowed = counts.sum(1) * min(self.alarms_per_day / self.blocks_per_day, 0.2)
        above = np.cumsum(counts[:, ::-1], 1)[:, ::-1]
        first = np.argmax(above <= allowed[:, None], 1)
        first = np.where((above <= allowed[:, None]).any(1), first, BINS)
        learned = first / BINS * 2 * SPAN - SPAN
        # A few calm hours say little of how loud a day can be: below the first guess it goes only with time.
        guess, known = float(logit(np.array(self.first_guess))), self._known_days(rows)
        lower = guess + known / (known + DAYS_TO_TRUST) * (learned - guess)
        self.cut[rows] = np.where(learned < guess, lower, learned)

    def _known_days(self, rows: np.ndarray) -> np.ndarray:
        """Return float[n], how many days say how low a threshold may be."""
        return self.counts[rows].sum(1) / self.blocks_per_day

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("counts", "pool", "block", "peak", "cut")}
