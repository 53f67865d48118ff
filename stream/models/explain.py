"""Why a window was scored as it was, what was similar before, and what ended it then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.verdict import Action, Contribution, HorizonProbability, SimilarIncident, Verdict, verdict_id
from stream.actions.runbook import recommended
from stream.features.frame import Frame
from stream.features.vector import PER_METRIC, SUMMARY
from stream.models.bank import Cell
from stream.models.labels import Labels
from stream.models.sequence import together
from stream.models.unusual import Residuals

if TYPE_CHECKING:
    from stream.models.engine import Engine

SHOWN = 8
SIMILAR_MIN = 0.5
SIGNATURES_MAX = 2000
REST = "(other metrics)"
BASE = "(base rate)"


class Signatures:
    """What each incident looked like: the mean of its windows' features, to compare a window with."""

    def __init__(self) -> None:
        self.sums: dict[str, np.ndarray] = {}
        self.counts: dict[str, int] = {}

    def learn(self, entities: list[str], frame: Frame, vector: np.ndarray, labels: Labels) -> None:
        for row in np.flatnonzero(labels.under_way(entities, frame.start_ms, frame.end_ms)).tolist():
            for incident in labels.incidents.values():
                end_ms = incident.end_ms or 2**62
                if incident.entity == entities[row] and incident.start_ms < frame.end_ms and end_ms > frame.start_ms:
                    self._add(incident.id, vector[row].astype(float))

    def _add(self, incident: str, x: np.ndarray) -> None:
        if incident not in self.sums and len(self.sums) >= SIGNATURES_MAX:
            self.sums.pop(oldest := next(iter(self.sums)))
            self.counts.pop(oldest)
        before = self.sums.get(incident, np.zeros(0))
        total = np.zeros(max(len(x), len(before)))
        total[: len(before)] += before
        total[: len(x)] += x
        self.sums[incident], self.counts[incident] = total, self.counts.get(incident, 0) + 1

    def similar(self, x: np.ndarray, labels: Labels, before_ms: int) -> list[SimilarIncident]:
        """Return up to three past incidents by the cosine of what was off, the most similar first."""
        own = x[len(SUMMARY) :]
        size = np.linalg.norm(own)
        found = []
        for incident_id, total in self.sums.items():
            incident = labels.incidents.get(incident_id)
            if incident is None or incident.withdrawn or incident.end_ms is None or incident.end_ms > before_ms:
                continue
            other = total[len(SUMMARY) :]
            width = min(len(own), len(other))
            scale = size * np.linalg.norm(other)
            cosine = float(own[:width] @ other[:width] / scale) if scale > 0 else 0.0
            if cosine >= SIMILAR_MIN:
                found.append((cosine, incident))
        found.sort(key=lambda pair: -pair[0])
        return [
            SimilarIncident(incident=i.id, similarity=round(c, 3), resolution=i.resolution, start_ms=i.start_ms)
            for c, i in found[:3]
        ]

    def state(self) -> dict[str, Any]:
        return {"sums": self.sums, "counts": self.counts}

    def restore(self, state: dict[str, Any]) -> None:
        self.sums, self.counts = state["sums"], state["counts"]


class Explainer:
    """Makes the verdicts of one window."""

    def __init__(
        self,
        engine: Engine,
        frame: Frame,
        residuals: Residuals,
        vector: np.ndarray,
        p: np.ndarray,
        cell: Cell,
        model: str,
    ) -> None:
        self._engine, self._frame, self._residuals, self._vector = engine, frame, residuals, vector
        self._p, self._cell, self._model = p, cell, model
        self._names = list(engine.metrics)

    def verdicts(
        self, entities: list[str], period: str, p: np.ndarray, flag: np.ndarray, version: int
    ) -> list[Verdict]:
        settings, score = self._engine.settings, self._residuals.score
        risk = np.where(flag, 2.0, 0.0) + np.maximum(score, p[:, settings.middle])
        chosen = set(np.argsort(-risk)[: max(settings.explained_max, int(flag.sum()))].tolist())
        seen = (self._engine.unusual.seen[[self._engine.entities[e] for e in entities]] > 10).sum(1)
        there = np.isfinite(self._residuals.value).sum(1)
        out = []
        for row, entity in enumerate(entities):
            verdict = Verdict(
                id=verdict_id(entity, self._engine.rollup, self._frame.start_ms),
                entity=entity,
                rollup=self._engine.rollup,
                period=period,
                start=self._frame.start_ms,
                end=self._frame.end_ms,
                anomaly_score=round(float(score[row]), 6),
                p_incident=round(float(p[row, settings.middle]), 6),
                flag=int(flag[row]),
                horizons=[
                    HorizonProbability(horizon_s=h // 1000, p_incident=round(float(q), 4))
                    for h, q in zip(settings.horizons_ms, p[row], strict=True)
                ],
                model=self._model,
                confidence=round(min(1.0, float(there[row] / seen[row])), 3) if seen[row] else 0.0,
                version=version,
            )
            if row in chosen:
                self._explain(verdict, row)
            out.append(verdict)
        return out

    def _explain(self, verdict: Verdict, row: int) -> None:
        if self._cell.trained:
            verdict.explains, shares, base = "p_incident", *self._logistic_shares(row)
        else:
            verdict.explains, shares, base = "anomaly_score", *self._unusual_shares(row)
        order = np.argsort(-np.abs(shares))[:SHOWN]
        verdict.contributions = [
            Contribution(
                metric=self._names[m],
                stat="mean",
                weight=float(shares[m]),
                value=_number(self._residuals.value[row, m]),
                expected=_number(self._residuals.expected[row, m]),
            )
            for m in order.tolist()
            if shares[m] != 0
        ]
        rest = float(shares.sum() - shares[order].sum())
        for name, weight in ((REST, rest), (BASE, base)):
            verdict.contributions.append(Contribution(metric=name, stat="", weight=weight, value=None, expected=None))
        verdict.logit = float(shares.sum() + base)
        if verdict.flag:
            labels = self._engine.labels
            x = self._vector[row].astype(float)
            verdict.similar = self._engine.signatures.similar(x, labels, self._frame.start_ms)
            verdict.actions = recommended(self._engine.settings.runbook, verdict.entity, verdict.contributions)
            verdict.actions += [
                Action(
                    title=similar.resolution,
                    why=f"ended incident {similar.incident}, {similar.similarity:.0%} similar",
                    source=f"incident {similar.incident}",
                    confidence=similar.similarity,
                )
                for similar in verdict.similar
                if similar.resolution
            ]
        verdict.reason = self._words(row)

    def _unusual_shares(self, row: int) -> tuple[np.ndarray, float]:
        residuals = self._residuals
        if residuals.rarity is not None and residuals.by_rarity is not None and residuals.by_rarity[row]:
            return together(residuals.rarity[row])
        return self._engine.unusual.shares(residuals, row)

    def _logistic_shares(self, row: int) -> tuple[np.ndarray, float]:
        """Return each metric's share of a head's logit, and what is left: bias and summary.

        The head is that of the middle horizon, or "is under way" where that is likelier.
        """
        ahead = 1 + self._engine.settings.middle
        head = 0 if self._p[row, 0] >= self._p[row, ahead] else ahead
        weights = self._cell.logistic.weights[:, head]
        x = self._vector[row].astype(float)
        products = x * weights[: len(x)]
        shares = products[len(SUMMARY) :].reshape(-1, PER_METRIC).sum(1)
        return shares, float(products[: len(SUMMARY)].sum() + self._cell.logistic.bias[head])

    def _words(self, row: int) -> str:
        """Return the metrics that are furthest off, in words."""
        residuals = self._residuals
        parts = []
        for m in np.argsort(-residuals.surprise[row])[:3].tolist():
            if residuals.surprise[row, m] <= 0.5:
                break
            value, expected = residuals.value[row, m], residuals.expected[row, m]
            parts.append(f"{self._names[m]} {value:.4g}, usually {expected:.4g}")
        return "; ".join(parts) or "nothing stands out"


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
