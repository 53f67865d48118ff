"""A series' next values from its own past: time of day, where it is now, and how wrong that has been. Pure.

The seasonal part is the median of the same time of day (of the same day of the week where there are three weeks). What
is left returns to it as fast as it did before: for each lead the best linear predictor of the residual then from the
residual now. The interval is that of the errors this would have made over the past, lead by lead: empirical quantiles,
no distribution assumed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

DAY_MS = 86_400_000
COVERAGE = 0.9
ORIGINS_MIN = 20
_LEADS = 24  # leads at which errors are looked at; others lie between


class Forecast(NamedTuple):
    times_ms: np.ndarray  # int64[n]
    mean: np.ndarray  # float64[n]
    low: np.ndarray
    high: np.ndarray
    basis: str  # which past it is made of, in words


def forecast(values: np.ndarray, start_ms: int, step_ms: int, steps: int, *, offset_ms: int = 0) -> Forecast | None:
    """Return the next ``steps`` values after a regular series, or None where there is too little of it.

    values : float64[n], the oldest first, NaN where there is none, the first at ``start_ms``, a step apart.
    offset_ms : how far local time is ahead of UTC.
    """
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < ORIGINS_MIN or steps < 1:
        return None
    values = values[: known[-1] + 1]
    n, day = len(values), max(1, DAY_MS // step_ms)
    slots = (start_ms + offset_ms) // step_ms + np.arange(n + steps)
    weeks = n >= 21 * day and 7 * day <= 7 * 1440
    period = 7 * day if weeks else day if n >= 2 * day else 1
    season = _season(values, slots[:n] % period, period)
    residual = values - season[slots[:n] % period]
    residual_now = residual[-1]
    mean = season[slots[n:] % period].copy()
    low, high = mean.copy(), mean.copy()
    leads = np.unique(np.round(np.geomspace(1, steps, min(_LEADS, steps))).astype(int))
    share, under, over = np.zeros(len(leads)), np.zeros(len(leads)), np.zeros(len(leads))
    for i, lead in enumerate(leads.tolist()):
        now, then = residual[:-lead] if lead < n else residual[:0], residual[lead:]
        both = np.isfinite(now) & np.isfinite(then)
        if both.sum() >= ORIGINS_MIN:
            now, then = now[both], then[both]
            variance = float(now @ now)
            share[i] = np.clip(float(now @ then) / variance, 0.0, 1.0) if variance > 0 else 0.0
            under[i], over[i] = np.quantile(then - share[i] * now, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
        elif i:  # as wrong as at the longest lead that the past tells of, and no less
            share[i], under[i], over[i] = 0.0, under[i - 1], over[i - 1]
    widest_under, widest_over = np.minimum.accumulate(under), np.maximum.accumulate(over)
    ahead = np.arange(1, steps + 1)
    mean += np.interp(ahead, leads, share) * residual_now
    # The season was fitted to the same days: its own error is that of a median of so many of them.
    wider = 1 + 1 / max(1.0, n / period) if period > 1 else 1.0
    low = mean + wider * np.interp(ahead, leads, widest_under)
    high = mean + wider * np.interp(ahead, leads, widest_over)
    basis = {1: "its level", day: "its time of day"}.get(period, "its time of day and week")
    times_ms = start_ms + step_ms * (n + np.arange(steps))
    return Forecast(times_ms, mean, low, high, f"{basis}, over {n * step_ms / DAY_MS:.3g} days")


def _season(values: np.ndarray, slots: np.ndarray, period: int) -> np.ndarray:
    """Return float64[period]: the median of each slot, of its neighbours too where there are few, never NaN."""
    overall = float(np.nanmedian(values))
    if period == 1:
        return np.array([overall])
    rows = -(-len(values) // period)
    table = np.full((rows, period), np.nan)
    turn = np.arange(len(values)) // period
    table[turn, slots] = values
    width = max(1, period // 288)
    spread = np.concatenate([np.roll(table, shift, axis=1) for shift in range(-width, width + 1)])
    with np.errstate(all="ignore"):
        empty = ~np.isfinite(spread).any(0)
        spread[0, empty] = overall
        return np.nanmedian(spread, axis=0)
