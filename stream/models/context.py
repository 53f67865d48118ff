"""What a window's metrics alone do not say: how unusual the last minutes were, which past incident it is like, how long
ago the entity's last incident ended, and how long it was silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.incident import Incident
from stream.features.vector import SUMMARY
from stream.models.base import grown, logit
from stream.models.labels import Labels

if TYPE_CHECKING:
    from stream.models.entry import Entry

LINGER_MS = 20 * 60_000
RECOVERY_MS = (30 * 60_000, 120 * 60_000)
LOOKS_MAX = 256
ODDS = (-8.0, 12.0)
_NEVER = -(2**62)
ODDS_SCALE = 4.0  # the odds of the score, divided by it, are of the size of the other features


class Context:
    """Per entity the score's log-odds and the share of time without a window, forgotten over LINGER_MS; of the newest
    LOOKS_MAX incidents what they looked like: the mean of their windows' features without the summary, of length one.
    """

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._rate = float(1 - np.exp(-window_ms / LINGER_MS))
        self.lingering = np.zeros(0)
        self.silent = np.zeros(0)
        self.next_ms = np.zeros(0, np.int64)  # when the next window of each entity should begin
        self.looks: dict[str, np.ndarray] = {}
        self.due: dict[str, int] = {}  # incidents told before they ended → when they will have
        self._table: np.ndarray | None = None

    def grow(self, entities: int) -> None:
        self.lingering = grown(self.lingering, (entities,), ODDS[0])
        self.silent = grown(self.silent, (entities,), 0.0)
        self.next_ms = grown(self.next_ms, (entities,), _NEVER)

    def told(self, incident: Incident, entries: Sequence[Entry]) -> None:
        """Take in an incident whose end is known, from the scored windows; forget one that was withdrawn."""
        self._table = None
        self.looks.pop(incident.id, None)
        self.due.pop(incident.id, None)
        if incident.withdrawn or incident.end_ms is None:
            return
        if not entries or entries[-1].end_ms < incident.end_ms:
            self.due[incident.id] = incident.end_ms
            return
        total = np.zeros(0)
        for entry in entries:
            if entry.start_ms < incident.end_ms and entry.end_ms > incident.start_ms:
                if (j := entry.find(incident.entity)[1]) is not None:
                    own = entry.x[j, len(SUMMARY) :].astype(float)
                    total = grown(total, (max(len(total), len(own)),), 0.0)
                    total[: len(own)] += own
        size = float(np.linalg.norm(total))
        if size > 0:
            self.looks[incident.id] = (total / size).astype(np.float32)
            while len(self.looks) > LOOKS_MAX:
                del self.looks[next(iter(self.looks))]

    def settle(self, labels: Labels, entries: Sequence[Entry], now_ms: int) -> None:
        """Take in the incidents that have ended meanwhile."""
        for name in [name for name, end_ms in self.due.items() if end_ms <= now_ms]:
            del self.due[name]
            if (incident := labels.incidents.get(name)) is not None:
                self.told(incident, entries)

    def step(
        self, rows: np.ndarray, entities: list[str], score: np.ndarray, body: np.ndarray, labels: Labels, start_ms: int
    ) -> np.ndarray:
        """Return float64[n, 6]: the last of SUMMARY, as its comment there says.

        score : float64[n], 0…1. body : float64[n, features], the window's features without the summary.
        """
        odds = np.clip(logit(score), *ODDS)
        lingering = self.lingering[rows] + self._rate * (odds - self.lingering[rows])
        self.lingering[rows] = lingering
        silent = self._silence(rows, start_ms)
        since_ms = labels.since_end(entities, start_ms)
        recovering = [np.exp(-since_ms / span_ms) for span_ms in RECOVERY_MS]
        return np.stack([odds / ODDS_SCALE, lingering / ODDS_SCALE, self.likeness(body), *recovering, silent], 1)

    def _silence(self, rows: np.ndarray, start_ms: int) -> np.ndarray:
        """Return float64[n], 0…1: the share of the last minutes in which the entity had no window; note this one."""
        expected_ms = self.next_ms[rows]
        gap_ms = np.where(expected_ms == _NEVER, 0, np.maximum(start_ms - expected_ms, 0))
        kept = np.exp(-gap_ms / LINGER_MS)
        self.silent[rows] = (1 - self._rate) * (1 - kept * (1 - self.silent[rows]))
        self.next_ms[rows] = start_ms + self._window_ms
        return self.silent[rows]

    def likeness(self, body: np.ndarray) -> np.ndarray:
        """Return float64[n], the highest cosine with a past incident's look; 0 where there is none."""
        if not self.looks:
            return np.zeros(len(body))
        if self._table is None or self._table.shape[1] != body.shape[1]:
            width = max(body.shape[1], max(map(len, self.looks.values())))
            self._table = np.stack([grown(look, (width,), 0.0) for look in self.looks.values()])[:, : body.shape[1]]
        size = np.maximum(np.linalg.norm(body, axis=1), 1e-9)
        return ((body.astype(np.float32) @ self._table.T).max(1) / size).astype(float)

    def state(self) -> dict[str, Any]:
        names = ("lingering", "silent", "next_ms", "looks", "due")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any]) -> None:
        for name in ("lingering", "silent", "next_ms"):
            setattr(self, name, state[name].copy())
        self.looks, self.due = dict(state["looks"]), dict(state["due"])
        self._table = None
