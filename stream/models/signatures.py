"""What past incidents looked like, before and while they lasted, to find those that a window resembles."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from schemas.incident import Incident
from stream.models.base import wide
from stream.models.history import EXCESS
from stream.models.labels import Labels

if TYPE_CHECKING:
    from stream.models.entry import Entry

SIGNATURES_MAX = 2000
SIMILAR_MIN = 0.5
BEFORE_MS = 1_800_000
SETTLED_MS = 600_000  # within so long after an incident's end the risk should have fallen
OPEN_MS = 4 * 3_600_000  # of an incident that stays open, its first hours
NOISE = np.log1p(1.5)  # residuals of up to one and a half usual deviations say nothing
_LAST = 5  # windows, the mean of which is compared


class Similar(NamedTuple):
    incident: Incident
    similarity: float


class _Look(NamedTuple):
    """Mean excess float64[metrics] while an incident lasted and in the time before."""

    during: np.ndarray
    before: np.ndarray


class Signatures:
    """Bounded by SIGNATURES_MAX incidents, the newest. ``fell`` : incident → whether the risk of its entity fell
    within SETTLED_MS after it ended, to less than half of what it was in the last such time of it."""

    def __init__(self) -> None:
        self._looks: dict[str, _Look] = {}
        self.fell: dict[str, bool] = {}
        self._open: dict[str, int] = {}  # incidents whose look may still change → until when
        self._table: tuple[list[str], np.ndarray] | None = None

    def told(self, incident: Incident, entries: Iterable[Entry], now_ms: int) -> None:
        """Take in a new or changed incident."""
        if incident.withdrawn:
            for of in (self._looks, self.fell, self._open):
                of.pop(incident.id, None)
            self._table = None
            return
        until = incident.start_ms + OPEN_MS if incident.end_ms is None else incident.end_ms + SETTLED_MS
        self._look(incident, entries)
        if now_ms < until:
            self._open[incident.id] = until

    def step(self, labels: Labels, entries: deque[Entry], now_ms: int) -> None:
        """Look at the incidents that ended SETTLED_MS ago, or are open for OPEN_MS."""
        for incident_id in [name for name, until in self._open.items() if now_ms >= until]:
            del self._open[incident_id]
            if incident := labels.incidents.get(incident_id):
                self._look(incident, _since(entries, incident.start_ms - BEFORE_MS))

    def _look(self, incident: Incident, entries: Iterable[Entry]) -> None:
        end_ms = 2**62 if incident.end_ms is None else incident.end_ms
        rows: dict[str, list[np.ndarray]] = {"during": [], "before": []}
        last, after = [], []
        for entry in entries:
            if entry.end_ms <= incident.start_ms - BEFORE_MS or entry.start_ms >= end_ms + SETTLED_MS:
                continue
            i, j = entry.find(incident.entity)
            if i is None:
                continue
            if entry.start_ms >= end_ms:
                after.append(_risk(entry, i))
                continue
            if entry.end_ms > end_ms - SETTLED_MS:
                last.append(_risk(entry, i))
            phase = "during" if entry.end_ms > incident.start_ms else "before"
            if j is not None:
                rows[phase].append(entry.excess(j))
        if not rows["during"]:
            return
        width = max(len(r) for part in rows.values() for r in part)
        during, before = (
            np.mean([wide(r[None], width)[0] for r in rows[name]], 0) if rows[name] else np.zeros(width)
            for name in ("during", "before")
        )
        if incident.id not in self._looks and len(self._looks) >= SIGNATURES_MAX:
            oldest = next(iter(self._looks))
            del self._looks[oldest]
            self.fell.pop(oldest, None)
        self._looks[incident.id] = _Look(during, before)
        self._table = None
        if last and after:
            self.fell[incident.id] = float(np.mean(after)) < float(np.mean(last)) / 2

    def similar(self, past: np.ndarray, labels: Labels, before_ms: int) -> list[Similar]:
        """Return past incidents by the cosine of what was off, the most similar first.

        past : float16[length, metrics, channels], the last windows of the entity.
        """
        if self._table is None:
            width = max((len(look.during) for look in self._looks.values()), default=0)
            parts = [wide(np.array([look.during, look.before]), width) for look in self._looks.values()]
            table = np.concatenate(parts) if parts else np.zeros((0, width))
            self._table = list(self._looks), _unit(_clear(table))
        names, table = self._table
        if not names:
            return []
        now = past[-_LAST:, :, EXCESS].astype(float).mean(0)[None]
        own = _unit(_clear(wide(now[:, : table.shape[1]], table.shape[1])))[0]
        cosine = (table @ own).reshape(-1, 2).max(1)
        found = []
        for i in np.argsort(-cosine, kind="stable").tolist():
            if cosine[i] < SIMILAR_MIN:
                break
            incident = labels.incidents.get(names[i])
            if incident and not incident.withdrawn and incident.end_ms is not None and incident.end_ms <= before_ms:
                found.append(Similar(incident, float(min(cosine[i], 1.0))))
        return found

    def record(self, resolution: str, labels: Labels) -> tuple[int, int]:
        """Return how often a resolution was tried, as far as is known what came of it, and after how many it fell."""
        known = [
            fell
            for name, fell in self.fell.items()
            if (i := labels.incidents.get(name)) and not i.withdrawn and i.resolution == resolution
        ]
        return len(known), sum(known)

    def state(self) -> dict[str, Any]:
        looks = [[name, look.during, look.before] for name, look in self._looks.items()]
        return {"looks": looks, "fell": self.fell, "open": self._open}

    def restore(self, state: dict[str, Any]) -> None:
        self._looks = {name: _Look(during, before) for name, during, before in state["looks"]}
        self.fell, self._open, self._table = dict(state["fell"]), dict(state["open"]), None


def _risk(entry: Entry, i: int) -> float:
    return float(np.nanmax([entry.p[i], entry.score[i]]))


def _clear(table: np.ndarray) -> np.ndarray:
    return np.sign(table) * np.maximum(np.abs(table) - NOISE / 2, 0)


def _unit(table: np.ndarray) -> np.ndarray:
    return table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)


def _since(entries: deque[Entry], low_ms: int) -> list[Entry]:
    """Return the newest entries down to the first run of older ones."""
    out: list[Entry] = []
    for entry in reversed(entries):
        if entry.end_ms <= low_ms:
            break
        out.append(entry)
    return out[::-1]
