"""One rollup of one partition: every closed window is scored, later learned. Pure: time comes with the windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.incident import Feedback, Incident
from schemas.verdict import Verdict
from stream.actions.runbook import Rule
from stream.features.frame import Frame
from stream.features.vector import features
from stream.models.bank import Bank
from stream.models.base import sigmoid
from stream.models.explain import Explainer, Signatures
from stream.models.labels import Labels
from stream.models.periods import POOLED, Periods
from stream.models.ring import Entry, Ring
from stream.models.sequence import Sequences, together
from stream.models.threshold import Budget
from stream.models.unusual import Residuals, Unusual

METRICS_MAX = 4000


@dataclass(frozen=True)
class EngineSettings:
    """``horizons_ms`` rising; the middle one is the one that is shown alone."""

    horizons_ms: tuple[int, ...] = (300_000, 1_800_000, 7_200_000)
    alarms_per_day: float = 1.0
    quarantine_ms: int = 600_000
    label_delay_ms: int = 3_600_000  # so long a window waits after its horizon: incidents are told late
    ring_bytes_max: int = 64 << 20
    runbook: tuple[Rule, ...] = ()
    explained_max: int = 200  # so many verdicts a close carry their reasons, those with the highest risk; flags always

    @property
    def middle(self) -> int:
        return len(self.horizons_ms) // 2


@dataclass
class Counters:
    windows: int = 0
    out_of_order: int = 0
    metrics_ignored: int = 0
    flags: int = 0


class Engine:
    def __init__(self, rollup: str, size_ms: int, hop_ms: int, settings: EngineSettings, periods: Periods) -> None:
        self.rollup, self.settings, self._periods = rollup, settings, periods
        self._size_ms, self._hop_ms = size_ms, hop_ms
        heads = 1 + len(settings.horizons_ms)
        self.entities: dict[str, int] = {}
        self.metrics: dict[str, int] = {}
        self.labels = Labels(settings.horizons_ms, max(settings.quarantine_ms, 2 * size_ms))
        self.unusual = Unusual(hop_ms)
        wait_ms = max(settings.horizons_ms) + settings.label_delay_ms
        self.ring = Ring(Bank(heads, 1 + settings.middle), self.labels, settings.ring_bytes_max, wait_ms)
        self.budget = Budget(settings.alarms_per_day / 2, hop_ms, 0.95)
        self.risk_budget = Budget(settings.alarms_per_day / 2, hop_ms, 0.9)
        self.signatures = Signatures()
        self.sequences = Sequences()
        self.last_scores = np.zeros(0)  # of the last window, as precise as they are
        self.counters = Counters()
        self._last_start = np.zeros(0, np.int64)
        self._stale = False

    def incident(self, incident: Incident) -> None:
        """Take in a new or changed incident; what was learned with another label is learned anew by ``refresh``."""
        changed = self.labels.incident(incident)
        if changed and self.ring.touches_learned(incident.entity, *changed):
            self._stale = True

    def feedback(self, said: Feedback) -> None:
        if said.rollup == self.rollup and self.ring.touches_learned(said.entity, *self.labels.feedback(said)):
            self._stale = True

    def refresh(self) -> bool:
        """Learn anew if labels changed; return whether."""
        if self._stale:
            self._stale = False
            self.ring.relearn()
            return True
        return False

    def step(self, frame: Frame, *, lane: str = "", version: int = 0) -> list[Verdict]:
        """Score a closed window and learn those whose horizon has passed; return a verdict an entity.

        An entity's windows are taken in order of time; one that starts no later than the entity's last is left out.
        """
        rows, columns, keep = self._rows(frame)
        if not len(rows):
            return []
        entities = [frame.entities[i] for i in keep]
        x = np.full((len(rows), len(self.metrics)), np.nan)
        known = columns >= 0
        x[:, columns[known]] = frame.values[keep][:, known]
        day_ms = self._periods.day_ms(frame.start_ms)
        period = self._periods.name(frame.start_ms)
        under_way = self.labels.under_way(entities, frame.start_ms, frame.end_ms)
        residuals = self.unusual.step(rows, x, day_ms, ~under_way)
        self._sequences(rows, x, residuals)
        self.last_scores = residuals.score
        vector = features(residuals, self.unusual.seen[rows])
        self.ring.mature(lane, frame.end_ms)
        z = self.ring.bank.logits(period, vector.astype(float))
        champion = self.ring.bank.champion(period)
        own = champion != POOLED
        cell = self.ring.bank.cells[champion]
        p, within = cell.probabilities(z[int(own)])
        risk = within[:, self.settings.middle]
        flag = self._flags(rows, residuals, risk, frame, ~under_way, trained=cell.trained)
        self.ring.add(
            Entry(
                self.ring.next_number,
                lane,
                frame.start_ms,
                frame.end_ms,
                period,
                entities,
                vector,
                z.astype(np.float32),
                flag,
            )
        )
        self.signatures.learn(entities, frame, vector, self.labels)
        self.counters.windows += len(rows)
        self.counters.flags += int(flag.sum())
        explainer = Explainer(self, frame, residuals, vector, p, cell, f"{self.rollup}.{champion}.logistic")
        return explainer.verdicts(entities, period, within, flag, version)

    def _sequences(self, rows: np.ndarray, x: np.ndarray, residuals: Residuals) -> None:
        """Where an entity has few metrics, how rare their last sequences are says more than how far off they are."""
        residuals.rarity, scored = self.sequences.step(rows, x, self.unusual.seen[rows] > 10)
        for i in np.flatnonzero(scored).tolist():
            shares, base = together(residuals.rarity[i])
            residuals.score[i] = sigmoid(np.array(shares.sum() + base))
            residuals.ready[i] = True
        residuals.by_rarity = scored

    def _rows(self, frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        for entity in frame.entities:
            self.entities.setdefault(entity, len(self.entities))
        for metric in frame.metrics:
            if metric not in self.metrics:
                if len(self.metrics) < METRICS_MAX:
                    self.metrics[metric] = len(self.metrics)
                else:
                    self.counters.metrics_ignored += 1
        n = len(self.entities)
        last = self._last_start
        if len(last) < n:
            last = self._last_start = np.concatenate([last, np.full(n - len(last), -(2**62), np.int64)])
        self.unusual.grow(n, len(self.metrics))
        self.budget.grow(n)
        self.risk_budget.grow(n)
        rows = np.array([self.entities[e] for e in frame.entities], np.intp)
        columns = np.array([self.metrics.get(m, -1) for m in frame.metrics], np.intp)
        keep = np.flatnonzero(frame.start_ms > last[rows])
        self.counters.out_of_order += len(rows) - len(keep)
        rows = rows[keep]
        last[rows] = frame.start_ms
        return rows, columns, keep

    def _flags(
        self,
        rows: np.ndarray,
        residuals: Residuals,
        risk: np.ndarray,
        frame: Frame,
        normal: np.ndarray,
        *,
        trained: bool,
    ) -> np.ndarray:
        flag = residuals.ready & self.budget.passes(rows, residuals.score)
        self.budget.learn(rows, residuals.score, frame.start_ms, normal & residuals.ready)
        if trained:
            flag |= residuals.ready & self.risk_budget.passes(rows, risk)
            self.risk_budget.learn(rows, risk, frame.start_ms, normal & residuals.ready)
        return flag

    def model_cards(self) -> list[dict[str, Any]]:
        """Return what ``GET /api/v1/models/{id}`` shows of each model, JSON-ready."""
        leads = self._lead_times()
        incidents = len({i for those in self.labels.starts().items() for i in [(those[0], s) for s in those[1]]})
        out = []
        for period, cell in sorted(self.ring.bank.cells.items()):
            figures = cell.figures
            out.append(
                {
                    "id": f"{self.rollup}.{period}.logistic",
                    "rollup": self.rollup,
                    "period": period,
                    "kind": "logistic",
                    "champion": period == POOLED or self.ring.bank.champion(period) == period,
                    "horizon_s": self.settings.horizons_ms[self.settings.middle] // 1000,
                    "windows": figures.windows,
                    "windows_positive": figures.positives,
                    "incidents": incidents,
                    "relearned": self.ring.relearned,
                    "roc_auc": figures.roc_auc(),
                    "average_precision": figures.average_precision(),
                    "brier": figures.brier(),
                    "calibration_error": figures.calibration_error(),
                    "roc_auc_pooled": cell.pooled.roc_auc(),
                    "ahead": {"windows": cell.ahead.windows, "roc_auc": cell.ahead.roc_auc()},
                    "lead_time": leads,
                    "roc_curve": figures.roc_curve(),
                    "calibration_curve": figures.calibration_curve(),
                }
            )
        return out

    def _lead_times(self) -> dict[str, Any]:
        """Of the incidents that began within the ring: how many were flagged within the middle horizon before."""
        span_ms = self.settings.horizons_ms[self.settings.middle]
        oldest = min((entry.start_ms for entry in self.ring.entries), default=0)
        leads, count = [], 0
        flagged: dict[str, list[int]] = {}
        for entry in self.ring.entries:
            for i in np.flatnonzero(entry.flag).tolist():
                flagged.setdefault(entry.entities[i], []).append(entry.end_ms)
        for entity, starts in self.labels.starts().items():
            for start_ms in starts:
                if start_ms < oldest:
                    continue
                count += 1
                before = [end for end in flagged.get(entity, []) if start_ms - span_ms <= end <= start_ms]
                if before:
                    leads.append((start_ms - min(before)) / 1000)
        median = float(np.median(leads)) if leads else None
        return {"incidents": count, "warned": len(leads), "median_s": median}

    def state(self) -> dict[str, Any]:
        """Return everything but the ring's entries."""
        return {
            "entities": list(self.entities),
            "metrics": list(self.metrics),
            "last_start": self._last_start,
            "counts": [getattr(self.counters, n) for n in ("windows", "out_of_order", "metrics_ignored", "flags")],
            "labels": self.labels.state(),
            "unusual": self.unusual.state(),
            "budget": self.budget.state(),
            "risk_budget": self.risk_budget.state(),
            "signatures": self.signatures.state(),
            "sequences": self.sequences.state(),
            "ring": self.ring.state(),
        }

    def restore(self, state: dict[str, Any], entries: list[Entry]) -> None:
        self.entities = {entity: i for i, entity in enumerate(state["entities"])}
        self.metrics = {metric: i for i, metric in enumerate(state["metrics"])}
        self.counters = Counters(*state["counts"])
        self._last_start = state["last_start"]
        self.labels.restore(state["labels"])
        self.unusual.restore(state["unusual"])
        for name in ("budget", "risk_budget"):
            for key, value in state[name].items():
                setattr(getattr(self, name), key, value)
        self.signatures.restore(state["signatures"])
        self.sequences.restore(state["sequences"])
        self.ring.restore(state["ring"], entries, 1 + len(self.settings.horizons_ms), 1 + self.settings.middle)


def pack_entries(entries: list[Entry]) -> dict[str, Any]:
    """Return entries as a state for ``base.pack``."""
    names = Entry.__slots__
    return {"entries": [[getattr(entry, name) for name in names] for entry in entries]}


def unpack_entries(state: dict[str, Any]) -> list[Entry]:
    return [Entry(*fields) for fields in state["entries"]]
