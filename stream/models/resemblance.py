"""Which traffic period an entity's traffic looks like, where it is another than the calendar says.

A sale that begins early, a holiday nobody wrote down: what is seen is compared with what the same time of day was on
the last days of each period (``features.superimposed`` keeps them). No labels, no look ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from stream.features.superimposed import BINS, DAY_MS, SETTLE, Superimposed, scaled
from stream.models.base import grown
from stream.models.periods import Moment

AGO = np.arange(1, 29)  # days; of each period the newest DAYS_MAX of them are looked at
DAYS_MAX = 7
# Chosen on seed 3 of the simulated site (see docs/models.md): what is seen fits another period better, over some half
# an hour, by so much that it is said; it is said until it fits hardly better any more.
SPAN_MS = 30 * 60_000
SAID, UNSAID = 1.5, 0.3
GAIN_MAX = 4.0  # one window says at most so much
OTHERS_MIN = 4  # from so many entities on, what most of them show counts half
FLOOR = 0.02  # of a deviation, on the scale of ``Superimposed``: 2 %
NONE = -1


class Calendar(Protocol):
    whole_days: bool

    def at(self, at_ms: int) -> Moment: ...


class Resemblance:
    """Per entity the period of the calendar, the evidence for each other one, and which is said (NONE: none).

    The evidence of a window: over its metrics, how much likelier its values are by the other period's days than by the
    calendar's own (Cauchy's distribution, which no single metric can outvote the others by), divided by the root of
    their number; forgotten over SPAN_MS. Traffic is many entities' at once, a fault one's: half of it is the median of
    the entities that share the calendar's period.
    """

    def __init__(self, window_ms: int) -> None:
        self._rate = float(1 - np.exp(-window_ms / max(SPAN_MS, 5 * window_ms)))
        self.names: list[str] = []
        self.evidence = np.zeros((0, 0), np.float32)  # [entities, periods]
        self.calendar = np.zeros(0, np.int16)
        self.said = np.zeros(0, np.int16)
        self._codes: dict[Moment, np.ndarray] = {}
        self._past: tuple[int, list[Moment]] = 0, []
        self._key: object = None
        self._usual: tuple[np.ndarray, np.ndarray] | None = None  # see ``_table``

    def grow(self, entities: int) -> None:
        self.calendar = grown(self.calendar, (entities,), NONE)
        self.said = grown(self.said, (entities,), NONE)
        self.evidence = grown(self.evidence, (entities, len(self.names)), 0.0)

    def step(
        self,
        rows: np.ndarray,
        names: Sequence[str],
        x: np.ndarray,
        over: Superimposed,
        start_ms: int,
        day_ms: int,
        calendar: Calendar,
        failing: np.ndarray,
    ) -> list[str]:
        """Return of each of the entities ``rows`` the period its traffic is more like, "" where it is the calendar's.

        names : of all entities, by number; x : float64[n, metrics], which ``over`` has taken in already;
        failing : bool[n], entities whose traffic says nothing now.
        """
        now = self._of(calendar.at(start_ms), names)[rows]
        low, high, share = self._table(self._before(calendar, start_ms, day_ms), names, over, start_ms, day_ms)
        self.grow(len(names))
        self._turn(rows, now)
        known = rows < low.shape[1]
        if len(low) > 1 and known.any():
            of = rows[known]
            usual = (1 - share) * low[:, of] + share * high[:, of]
            usual = np.where(np.isfinite(usual), usual, np.where(np.isfinite(low[:, of]), low[:, of], high[:, of]))
            gain = _gain(x[known], over, of, usual, now[known])
            gain[failing[known]] = np.nan
            gain = _with_others(gain, now[known])
            heard = np.isfinite(gain)
            moved = self._rate * (np.clip(np.nan_to_num(gain), -GAIN_MAX, GAIN_MAX) - self.evidence[of])
            self.evidence[of] += np.where(heard, moved, 0.0)
            self._say(of)
        return [self.names[code] if code != NONE else "" for code in self.said[rows].tolist()]

    def _turn(self, rows: np.ndarray, now: np.ndarray) -> None:
        """Begin anew where the calendar's period has changed; what was said stays until the new one says otherwise."""
        turned = rows[self.calendar[rows] != now]
        if len(turned):
            self.calendar[rows] = now
            self.said[turned] = np.where(self.said[turned] == self.calendar[turned], NONE, self.said[turned])
            self.evidence[turned] = 0.0
            still = turned[self.said[turned] != NONE]
            self.evidence[still, self.said[still]] = (SAID + UNSAID) / 2

    def _say(self, rows: np.ndarray) -> None:
        evidence, said = self.evidence[rows], self.said[rows]
        place = np.arange(len(rows))
        best = evidence.argmax(1)
        said = np.where((said == NONE) & (evidence[place, best] >= SAID), best, said)
        self.said[rows] = np.where((said != NONE) & (evidence[place, said] < UNSAID), NONE, said)

    def _before(self, calendar: Calendar, start_ms: int, day_ms: int) -> list[Moment]:
        """Return the periods of the days AGO at this time of day."""
        at_ms = start_ms - day_ms + DAY_MS // 2 if calendar.whole_days else start_ms
        if self._past[0] != at_ms or not self._past[1]:
            self._past = at_ms, [calendar.at(at_ms - int(days) * DAY_MS) for days in AGO]
        return self._past[1]

    def _of(self, moment: Moment, names: Sequence[str]) -> np.ndarray:
        """Return int16[entities], the period of each at a moment of the calendar."""
        known = self._codes.get(moment)
        if known is None or len(known) < len(names):
            if moment.some:
                had = 0 if known is None else len(known)
                new = np.array([self._code(moment.of(name)) for name in names[had:]], np.int16)
                known = new if known is None else np.concatenate([known, new])
            else:
                known = np.full(len(names), self._code(moment.rest), np.int16)
            if len(self._codes) > 4 * len(AGO):
                self._codes.clear()
            self._codes[moment] = known
        return known[: len(names)]

    def _code(self, period: str) -> int:
        if period not in self.names:
            self.names.append(period)
        return self.names.index(period)

    def _table(
        self, moments: list[Moment], names: Sequence[str], over: Superimposed, start_ms: int, day_ms: int
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Return what is usual in each period at the two hours around, float32[periods, entities, metrics], NaN where
        unknown, and how near the second is. Made anew when an hour has passed, as past days do not change."""
        today, at = round((start_ms - day_ms) / DAY_MS), day_ms / DAY_MS * BINS - 0.5
        first = int(np.floor(at))
        key = (today, first, moments, over.means.shape, over.told)
        if key != self._key or self._usual is None:
            codes = np.stack([self._of(moment, names)[: over.day.shape[1]] for moment in moments])
            rows = np.arange(over.day.shape[1])
            low, high = (self._mean(over.before(today, bin_, AGO, rows), codes) for bin_ in (first, first + 1))
            self._key, self._usual = key, (low, high)
        low, high = self._usual
        return low, high, float(at - first)

    def _mean(self, values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return float32[periods, entities, metrics] of values[days, entities, metrics], the newest day first: the mean
        of a period's newest days, without the highest and the lowest from four on, so that one odd day moves nothing.
        """
        out = np.full((len(self.names), *values.shape[1:]), np.nan, np.float32)
        there = np.isfinite(values).any(2)
        for code in range(len(self.names)):
            of = there & (codes == code)
            of &= np.cumsum(of, 0) <= DAYS_MAX
            days = np.flatnonzero(of.any(1))
            if len(days):
                part = np.where(of[days][:, :, None], values[days], np.nan)
                known = np.isfinite(part)
                count, total = known.sum(0), np.where(known, part, 0).sum(0)
                trim = count >= 4
                for outer in (np.where(known, part, -np.inf).max(0), np.where(known, part, np.inf).min(0)):
                    total = total - np.where(trim, outer, 0.0)
                out[code] = np.where(count > 0, total / np.maximum(count - 2 * trim, 1), np.nan)
        return out

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("names", "evidence", "calendar", "said")}

    def restore(self, state: dict[str, Any]) -> None:
        self.names = list(state["names"])
        for name in ("evidence", "calendar", "said"):
            setattr(self, name, state[name].copy())
        self._codes, self._key, self._usual = {}, None, None


def _gain(x: np.ndarray, over: Superimposed, rows: np.ndarray, usual: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Return float64[n, periods], by how much each fits better than that of the calendar; NaN where either is unknown.

    usual : [periods, n, metrics]; now : int[n], the calendar's.
    """
    unit, spread = over.unit[rows], over.spread[rows]
    settled = np.isfinite(x) & (over.count[rows] > SETTLE)
    off = np.where(settled, (scaled(x, unit) - usual) / (spread + FLOOR), np.nan)
    loss = np.log1p(off**2)
    better = loss[now, np.arange(len(x))] - loss
    known = np.isfinite(better)
    count = known.sum(2)
    gain = np.where(known, better, 0.0).sum(2) / np.sqrt(np.maximum(count, 1))
    return np.where(count > 0, gain, np.nan).T


def _with_others(gain: np.ndarray, now: np.ndarray) -> np.ndarray:
    out = gain.copy()
    for code in np.unique(now).tolist():
        same = now == code
        for period in range(gain.shape[1]):
            of = gain[same, period]
            there = of[np.isfinite(of)]
            if len(there) >= OTHERS_MIN:
                out[same, period] = (of + np.median(there)) / 2
    return out
