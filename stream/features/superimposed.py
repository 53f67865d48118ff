"""Today laid over the same time a day, a week and a month ago, and how that has changed in the last hours."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.features.drift import Drift
from stream.features.narrow import Narrow
from stream.features.vector import squeeze
from stream.models.base import grown

DAY_MS = 86_400_000
BINS = 24  # a day; between their middles, references are interpolated
DAYS = 29
# Days ago that are looked at for each, in this order: the first that is known and held no incident of the entity.
REFERENCES = ((1, 2, 3), (7, 14, 21), (28, 21, 14))
_AGO = sorted({ago for choices in REFERENCES for ago in choices})
CHANNELS = ("day", "week", "month", "excess", "drift")
EXCESS = CHANNELS.index("excess")
BYTES_MAX = 96 << 20  # of the references; entities beyond, by order of appearance, have none
SETTLE = 30  # windows after which the scale of a series is fixed
LEVEL_MS = 4 * 3_600_000
SCALE_MS = 4 * DAY_MS
CLIP = 20.0
_FIELDS = ("count", "unit", "level", "level_reference", "spread", "spread_excess")


class Superimposed:
    """A series' values on a logarithmic scale (arsinh, in units of a fifth of its first windows' mean size), their
    hourly means of the last four weeks, and how far off them it usually is; and its ``Drift``."""

    def __init__(self, window_ms: int) -> None:
        self.window_ms = window_ms
        for name in _FIELDS:
            setattr(self, name, np.zeros((0, 0)))
        self.count: np.ndarray
        self.unit: np.ndarray
        self.spread: np.ndarray
        self.drift = Drift(window_ms)
        self.means = np.full((DAYS, BINS, 0, 0), np.nan, np.float16)
        self.day = np.full((DAYS, 0), -1, np.int32)  # which day each slot holds, an entity
        self.held = np.zeros((DAYS, 0), bool)  # whether that day held an incident
        self.filled = np.zeros(0, np.int32)  # windows in the newest bin
        self.newest = np.full(0, -1, np.int64)
        self.told = 0  # how often days that are kept were left out afterwards

    def grow(self, entities: int, metrics: int) -> None:
        if self.count.shape != (entities, metrics):
            for name in _FIELDS:
                setattr(self, name, grown(getattr(self, name), (entities, metrics), 0.0))
        self.drift.grow(entities, metrics)
        kept = min(entities, BYTES_MAX // (DAYS * BINS * 2 * max(metrics, 1)))
        kept = max(kept, self.means.shape[2])
        if self.means.shape[2:] != (kept, metrics):
            self.means = grown(self.means, (DAYS, BINS, kept, metrics), np.nan)
            self.day = grown(self.day, (DAYS, kept), -1)
            self.held = grown(self.held, (DAYS, kept), False)
            self.filled, self.newest = grown(self.filled, (kept,), 0), grown(self.newest, (kept,), -1)

    def incident(self, row: int, first_day: int, last_day: int) -> None:
        """Leave an entity's days out as references: they held an incident."""
        if row < self.day.shape[1]:
            self.told += 1
            self.held[:, row] |= (self.day[:, row] >= first_day) & (self.day[:, row] <= last_day)

    def step(self, rows: np.ndarray, x: np.ndarray, start_ms: int, day_ms: int, failing: np.ndarray) -> np.ndarray:
        """Return float16[n, metrics * 5] of the window's values x[n, metrics], then learn them.

        A metric's five: how far it is from a day, a week, a month ago, in units of what is usual; how much further than
        in the last hours; and its drift. 0 where unknown. failing : bool[n], entities of which nothing is learned as
        usual.
        """
        wide_shape, narrow = x.shape, Narrow(rows, np.isfinite(x) | (self.count[rows] > 0))
        at, x = narrow.at, narrow.take(x)
        there = np.isfinite(x)
        own = {name: getattr(self, name)[at] for name in _FIELDS}
        count, unit = own["count"], own["unit"]
        settled = there & (count >= SETTLE)
        value = scaled(x, unit)
        reference = narrow.take(self._references(rows, start_ms - day_ms, day_ms, wide_shape[1]))  # [3, n, metrics]
        known = np.isfinite(reference) & settled
        off = np.where(known, value - np.nan_to_num(reference), 0.0)
        times = known.sum(0)
        mean = np.where(known, np.nan_to_num(reference), 0.0).sum(0) / np.maximum(times, 1)
        fresh = settled & (count < 2 * SETTLE)
        level = np.where(settled & (count == SETTLE), value, own["level"])
        # A reference that comes up, or goes, is no change of the series: only how it moves since counts.
        expected = np.where(times > 0, mean, own["level_reference"])
        level_reference = np.where((own["level_reference"] == 0) & (times > 0), mean, own["level_reference"])
        excess = np.where(settled, (value - level) - (expected - level_reference), 0.0)
        scale, scale_excess = own["spread"] + 0.01, own["spread_excess"] + 0.01
        out = np.zeros((*x.shape, len(CHANNELS)))
        for channel in range(3):
            out[:, :, channel] = np.where(known[channel], off[channel] / scale, 0.0)
        out[:, :, 3] = np.where(fresh, 0.0, excess / scale_excess)
        wide_value, wide_settled = narrow.widened(value, 0.0), narrow.widened(settled, False)
        out[:, :, 4] = narrow.take(self.drift.step(rows, wide_value, wide_settled, failing))

        learn = settled & ~failing[:, None]
        rate = _rate(self.window_ms, SCALE_MS)
        nearest = np.where(times > 0, np.abs(np.where(known, off, np.inf)).min(0), 0.0)
        pace = np.maximum(rate, 1 / np.maximum(count - SETTLE + 1, 1))
        step_spread = np.minimum(nearest, 6 * own["spread"] + 0.05)
        step_excess = np.minimum(np.abs(excess), 6 * own["spread_excess"] + 0.05)
        drift = _rate(self.window_ms, LEVEL_MS)
        further, wider = learn & (times > 0), learn & ~fresh
        new = {
            "count": count + there,
            "unit": _unit(count, unit, np.abs(np.where(there, x, 0.0)), there),
            "level": np.where(learn, level + drift * (value - level), level),
            "level_reference": level_reference + np.where(learn, drift * (expected - level_reference), 0.0),
            "spread": own["spread"] + np.where(further, pace * (step_spread - own["spread"]), 0.0),
            "spread_excess": own["spread_excess"] + np.where(wider, pace * (step_excess - own["spread_excess"]), 0.0),
        }
        for name in _FIELDS:
            getattr(self, name)[at] = new[name]
        self._keep(rows, np.where(wide_settled, wide_value, np.nan), start_ms - day_ms, day_ms, failing)
        squeezed = squeeze(np.clip(out, -CLIP, CLIP)).astype(np.float16)
        return narrow.widened(squeezed, 0.0).reshape(len(x), -1)

    def _references(self, rows: np.ndarray, midnight_ms: int, day_ms: int, metrics: int) -> np.ndarray:
        today = round(midnight_ms / DAY_MS)
        at = day_ms / DAY_MS * BINS - 0.5
        low, share = int(np.floor(at)), at - np.floor(at)
        out = np.full((len(REFERENCES), len(rows), metrics), np.nan)
        known = np.flatnonzero(rows < self.day.shape[1])
        of = rows[known]
        days = today - np.array(_AGO)
        good = (self.day[days[:, None] % DAYS, of] == days[:, None]) & ~self.held[days[:, None] % DAYS, of]
        if not good.any():
            return out
        ends = [self._bins(days + bin_ // BINS, bin_ % BINS, of) for bin_ in (low, low + 1)]
        both = (1 - share) * ends[0] + share * ends[1]
        both = np.where(np.isfinite(both), both, np.where(np.isfinite(ends[0]), ends[0], ends[1]))
        both[~good] = np.nan
        for i, choices in enumerate(REFERENCES):
            best = np.full(both.shape[1:], np.nan)
            for ago in choices:
                best = np.where(np.isfinite(best), best, both[_AGO.index(ago)])
            out[i, known] = best
        return out

    def before(self, today: int, bin_: int, ago: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return float32[days ago, n, metrics] of an hour of the day (-1 and BINS: of the day beside).

        NaN where a day is not kept, or held an incident.
        """
        days = today - ago + bin_ // BINS
        values = self._bins(days, bin_ % BINS, rows).astype(np.float32)
        values[self.held[days[:, None] % DAYS, rows]] = np.nan
        return values

    def _bins(self, days: np.ndarray, bin_: int, rows: np.ndarray) -> np.ndarray:
        """Return float64[days, n, metrics], NaN where a day is not kept any more."""
        slots = days[:, None] % DAYS
        values = self.means[slots, bin_, rows].astype(float)
        return np.where((self.day[slots, rows] == days[:, None])[:, :, None], values, np.nan)

    def _keep(self, rows: np.ndarray, value: np.ndarray, midnight_ms: int, day_ms: int, failing: np.ndarray) -> None:
        today, bin_ = round(midnight_ms / DAY_MS), day_ms * BINS // DAY_MS
        slot, known = today % DAYS, rows < self.day.shape[1]
        of, value = rows[known], value[known]
        new = of[self.day[slot, of] != today]
        self.means[slot, :, new] = np.nan
        self.day[slot, new], self.held[slot, new] = today, False
        self.held[slot, of] |= failing[known]
        began = self.newest[of] != today * BINS + bin_
        self.filled[of] = np.where(began, 1, self.filled[of] + 1)
        self.newest[of] = today * BINS + bin_
        mean = self.means[slot, bin_][of].astype(float)
        moved = mean + (value - mean) / self.filled[of][:, None]
        moved = np.where(np.isfinite(mean), np.where(np.isfinite(value), moved, mean), value)
        self.means[slot, bin_, of] = moved

    def state(self) -> dict[str, Any]:
        names = (*_FIELDS, "means", "day", "held", "filled", "newest")
        return {name: getattr(self, name) for name in names} | {"drift": self.drift.state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.drift.restore(state["drift"])
        for name in state.keys() - {"drift"}:
            setattr(self, name, state[name].copy())


def scaled(x: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return values on the scale on which days are laid over each other, 0 of what is missing."""
    return np.arcsinh(np.where(np.isfinite(x), x, 0.0) / np.where(unit > 0, unit, 1.0))


def channel(over: np.ndarray, name: str) -> np.ndarray:
    """Return float16[n, metrics], one of CHANNELS of what ``Superimposed.step`` gave."""
    return over[:, CHANNELS.index(name) :: len(CHANNELS)]


def _unit(count: np.ndarray, unit: np.ndarray, size: np.ndarray, there: np.ndarray) -> np.ndarray:
    """A fifth of the mean size of the first windows; 1 where those were all 0."""
    moved = unit + (0.2 * size - unit) / (count + 1)
    last = there & (count == SETTLE - 1)
    moved = np.where(last & (moved <= 0), 1.0, moved)
    return np.where(there & (count < SETTLE), moved, unit)


def _rate(window_ms: int, span_ms: int) -> float:
    return float(1 - np.exp(-window_ms / max(span_ms, 5 * window_ms)))
