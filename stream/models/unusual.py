"""How unusual a window is: no labels, no look ahead, all entities and metrics at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.features.narrow import Narrow
from stream.models.base import grown
from stream.models.beyond import RARE, Beyond
from stream.models.slots import Slots

DAY_MS = 86_400_000
SEASON_BINS = 48
CLIP = 12.0
# Chosen on the eight development machines (see docs/models.md), neighbouring values do nearly as well: how much being
# far from the usual of days weighs against being far from the last minutes, and how much a window weighs against those
# before it.
LONG_WEIGHT = 0.3
FRESH = 0.3
# The score's log-odds: so much a deviation of an entity's surprise from its mean, and one a unit by which metrics are
# rarer than RARE, over the last few windows. Together they reach one half at MIDDLE.
STEEPNESS = 0.24
SUDDEN = 0.5
MIDDLE = 2.7
FIELDS = ("seen", "fast", "slow", "noise", "spread", "last")


@dataclass(slots=True)
class Residuals:
    """Of one window, [E, M]: value, what was expected, and how far off in units of the usual deviation."""

    value: np.ndarray
    expected: np.ndarray
    short: np.ndarray
    long: np.ndarray
    surprise: np.ndarray
    score: np.ndarray  # [E]
    shares: np.ndarray  # [E, M], of the score's log-odds, and what they leave of it: the past and the usual
    base: np.ndarray  # [E]
    ready: np.ndarray  # bool[E]
    rarity: np.ndarray | None = None  # [E, M], of sequences (see sequence.py)
    by_rarity: np.ndarray | None = None  # bool[E], whether the score is that of sequences


class Unusual:
    """Levels and deviations by exponential forgetting over spans of time: minutes (fast), days (slow), and a baseline
    by time of day once two days are known. An entity's residuals together are compared with its own past, and each
    alone too (``beyond``): the first says that much is somewhat off, the second that something is as never before."""

    FAST_MS = 20 * 60_000
    SLOW_MS = 8 * DAY_MS

    def __init__(self, window_ms: int) -> None:
        self.window_ms = window_ms
        self.shape = (0, 0)
        for name in FIELDS:
            setattr(self, name, np.zeros((0, 0)))
        self.seen: np.ndarray
        self.slots = Slots()
        self.season = np.zeros((SEASON_BINS, 1), np.float32)  # by series
        self.season_days = np.zeros((SEASON_BINS, 1), np.float32)
        self.windows = np.zeros(0)
        self.mean = np.zeros(0)
        self.deviation = np.zeros(0)
        self.memory = np.zeros(0)
        self.sudden = np.zeros(0)
        self.beyond = Beyond(window_ms)

    def grow(self, entities: int, metrics: int) -> None:
        if self.shape == (entities, metrics):
            return
        self.shape = (entities, metrics)
        for name in FIELDS:
            setattr(self, name, grown(getattr(self, name), self.shape, 0.0))
        self.slots.grow(entities, metrics)
        for name in ("windows", "mean", "deviation", "memory", "sudden"):
            setattr(self, name, grown(getattr(self, name), (entities,), 0.0))
        self.beyond.grow(entities, metrics)

    def step(self, rows: np.ndarray, x: np.ndarray, day_ms: int, learn: np.ndarray) -> Residuals:
        """Score the window's values x[len(rows), M] against the past, then learn them where ``learn``."""
        wide_x, narrow = x, Narrow(rows, np.isfinite(x) | (self.seen[rows] > 0))
        at, x = narrow.at, narrow.take(x)
        own = {name: getattr(self, name)[at] for name in FIELDS}
        seen, fast, slow, noise, spread = (own[n] for n in ("seen", "fast", "slow", "noise", "spread"))
        there = np.isfinite(x)
        value = np.where(there, x, 0.0)
        known = there & (seen > 0)
        cell = int(day_ms * SEASON_BINS // DAY_MS) % SEASON_BINS
        seasonal = self.window_ms <= DAY_MS // 4
        update = there & learn[:, None]
        days, baseline = np.zeros_like(seen), slow
        if seasonal:
            slots = self.slots.take(at, update)
            shape = (SEASON_BINS, self.slots.room)
            self.season, self.season_days = grown(self.season, shape, 0.0), grown(self.season_days, shape, 0.0)
            days, baseline = self.season_days[cell][slots], self.season[cell][slots].astype(float)
        trusted = days >= 2
        floor = 1e-9 + 1e-3 * np.abs(slow)
        short = np.where(known, (value - fast) / (noise + 0.1 * spread + floor), 0.0)
        long = np.where(known, (value - slow) / (spread + floor), 0.0)
        off = np.where(known & trusted, (value - baseline) / (spread + floor), long)
        size = np.where(np.abs(off) < np.abs(long), off, long)
        rarity = self.beyond.step(rows, np.abs(size), known, update, at)
        short, size = np.clip(short, -CLIP, CLIP), np.clip(size, -CLIP, CLIP)
        trust = np.minimum(seen / 30.0, 1.0)
        surprise = trust * (np.log1p(short**2 / 9) + LONG_WEIGHT * np.log1p(size**2 / 9))
        count = np.maximum(there.sum(1), 1)
        raw = surprise.sum(1) / np.sqrt(count)

        windows = self.windows[rows]
        memory = (1 - FRESH) * self.memory[rows] + FRESH * raw
        scale = STEEPNESS / (self.deviation[rows] + 0.1)
        excess = SUDDEN * np.maximum(rarity - RARE, 0.0)
        sudden = (1 - SUDDEN) * self.sudden[rows] + excess.sum(1)
        ready = windows >= 60
        odds = (memory - self.mean[rows]) * scale + sudden - MIDDLE
        score = np.where(ready, 1.0 / (1.0 + np.exp(-np.clip(odds, -30, 30))), 0.0)
        expected = np.where(trusted, baseline, fast)
        shares = excess + surprise * (FRESH * scale / np.sqrt(count))[:, None]
        base = ((1 - FRESH) * self.memory[rows] - self.mean[rows]) * scale + (1 - SUDDEN) * self.sudden[rows] - MIDDLE
        expected = np.where(seen > 0, expected, np.nan)
        short_wide, size_wide, surprise_wide = (narrow.widened(one, 0.0) for one in (short, size, surprise))
        expected, shares = narrow.widened(expected, np.nan), narrow.widened(shares, 0.0)
        residuals = Residuals(wide_x, expected, short_wide, size_wide, surprise_wide, score, shares, base, ready)

        first = update & (seen == 0)
        a_fast = np.maximum(self._rate(self.FAST_MS), 1 / (seen + 1))
        a_slow = np.maximum(self._rate(self.SLOW_MS), 1 / (seen + 1))
        # A residual counts at most as six usual ones, so one outlier does not blind the scale.
        step_noise, step_spread = np.abs(value - fast), np.abs(value - slow)
        early = seen < 10
        step_noise = np.where(early, step_noise, np.minimum(step_noise, 6 * noise + floor * 6))
        step_spread = np.where(early, step_spread, np.minimum(step_spread, 6 * spread + floor * 6))
        new = {
            "seen": seen + update,
            "fast": np.where(first, value, fast + a_fast * (value - fast)),
            "slow": np.where(first, value, slow + a_slow * (value - slow)),
            "noise": np.where(first, 0.0, noise + a_slow * (step_noise - noise)),
            "spread": np.where(first, 0.0, spread + a_slow * (step_spread - spread)),
            "last": value,
        }
        for name in FIELDS:
            getattr(self, name)[at] = np.where(update, new[name], own[name])
        if seasonal:
            share = min(1.0, self.window_ms * SEASON_BINS / DAY_MS)  # of a bin that one window fills
            weight = np.maximum(share / 5, share / (days + share))
            fresh = baseline + weight * (value - baseline)
            self.season[cell][slots[update]] = fresh[update]
            self.season_days[cell][slots[update]] = (days + share)[update]
        self.memory[rows], self.sudden[rows] = memory, sudden
        rate = np.maximum(self._rate(self.SLOW_MS), 1 / (windows + 1))
        kept = np.where(windows > 20, np.minimum(memory, self.mean[rows] + 6 * self.deviation[rows] + 0.5), memory)
        self.deviation[rows] = np.where(
            learn,
            self.deviation[rows] + rate * (np.abs(kept - self.mean[rows]) - self.deviation[rows]),
            self.deviation[rows],
        )
        self.mean[rows] = np.where(learn, self.mean[rows] + rate * (kept - self.mean[rows]), self.mean[rows])
        self.windows[rows] = windows + learn
        return residuals

    def shares(self, residuals: Residuals, row: int) -> tuple[np.ndarray, float]:
        """Return each metric's share of the score's log-odds, float64[M], and the rest: together they sum to it."""
        return residuals.shares[row], float(residuals.base[row])

    def _rate(self, span_ms: int) -> float:
        return float(1 - np.exp(-self.window_ms / max(span_ms, 5 * self.window_ms)))

    def state(self) -> dict[str, Any]:
        names = (*FIELDS, "season", "season_days", "windows", "mean", "deviation", "memory", "sudden")
        arrays = {name: getattr(self, name) for name in names}
        return {"shape": list(self.shape), "beyond": self.beyond.state(), "slots": self.slots.state(), **arrays}

    def restore(self, state: dict[str, Any]) -> None:
        self.beyond.restore(state["beyond"])
        self.slots = Slots.at(state["slots"])
        self.shape = tuple(state["shape"])
        for name in state.keys() - {"beyond", "shape", "slots"}:
            setattr(self, name, state[name])
