"""How far a metric has moved from its last hours, more than those of the other entities have, against what is usual.

What builds up before an incident moves slowly: a minute of it is no further off than noise, eight minutes together are.
What moves everybody at once, as the hour or a sale does, is no trouble of one. And some series wander more than others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.models.base import grown

NOW_MS, HOURS_MS, USUAL_MS = 8 * 60_000, 4 * 3_600_000, 4 * 86_400_000
WINDOWS_MIN = (3, 12, 60)  # of each: longer windows are compared over longer spans
SETTLE = 60  # windows after which a series is told of
PEERS_MIN = 4  # entities with a metric, from which on what they share is taken off
SMALLEST = 0.01  # added to what is usual; a hundredth of a series' value, about
_FIELDS = ("count", "now", "hours", "usual")


class Drift:
    """Per entity and metric the level of the last minutes and of the last hours, both by exponential forgetting, and
    the mean size of their difference: 16 bytes a series."""

    def __init__(self, window_ms: int) -> None:
        spans = zip((NOW_MS, HOURS_MS, USUAL_MS), WINDOWS_MIN, strict=True)
        self._now, self._hours, self._usual = (
            float(1 - np.exp(-window_ms / max(span_ms, windows * window_ms))) for span_ms, windows in spans
        )
        for name in _FIELDS:
            setattr(self, name, np.zeros((0, 0), np.float32))
        self.count: np.ndarray

    def grow(self, entities: int, metrics: int) -> None:
        if self.count.shape != (entities, metrics):
            for name in _FIELDS:
                setattr(self, name, grown(getattr(self, name), (entities, metrics), 0.0))

    def step(self, rows: np.ndarray, value: np.ndarray, there: np.ndarray, failing: np.ndarray) -> np.ndarray:
        """Return float32[n, metrics]: how far each has moved, in units of what is usual; 0 while too little is known.

        value : float[n, metrics], on a logarithmic scale; there : bool[n, metrics]; failing : bool[n], entities of
        which nothing is learned as usual. The rows are of one window. A metric that stays away drifts back.
        """
        count, now, hours, usual = (getattr(self, name)[rows] for name in _FIELDS)
        value = value.astype(np.float32)
        new = there & (count == 0)
        now, hours = np.where(new, value, now), np.where(new, value, hours)
        now = now + np.float32(self._now) * (np.where(there, value, hours) - now)
        known = count >= SETTLE
        moved = now - hours
        moved = moved - _shared(moved, known)
        out = np.where(known, moved / (usual + np.float32(SMALLEST)), np.float32(0))
        learn = there & ~failing[:, None]
        pace = np.maximum(np.float32(self._usual), 1 / np.maximum(count - SETTLE + 1, 1))
        size = np.where(count == SETTLE, np.abs(moved), np.minimum(np.abs(moved), 6 * usual + np.float32(0.05)))
        usual = np.where(learn & known, usual + pace * (size - usual), usual)
        hours = np.where(learn, hours + np.maximum(np.float32(self._hours), 1 / (count + 1)) * (value - hours), hours)
        for name, field in zip(_FIELDS, (count + there, now, hours, usual), strict=True):
            getattr(self, name)[rows] = field
        return out

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _FIELDS}

    def restore(self, state: dict[str, Any]) -> None:
        for name in _FIELDS:
            setattr(self, name, state[name].copy())


def _shared(moved: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return float32[metrics]: how far most entities have moved (the median), 0 where too few are known."""
    enough = known.sum(0) >= PEERS_MIN
    out = np.zeros(moved.shape[1], np.float32)
    for metric in np.flatnonzero(enough).tolist():
        out[metric] = np.median(moved[known[:, metric], metric])
    return out
