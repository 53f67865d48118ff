"""Why a window was scored as it was, what was similar before, and what ended it then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from schemas.verdict import Contribution, HorizonProbability, SimilarIncident, Verdict, verdict_id
from stream.actions.advice import NO_EVIDENCE, advice
from stream.features.frame import Frame
from stream.models.base import Seen
from stream.models.sequence import together
from stream.models.unusual import Residuals

if TYPE_CHECKING:
    from stream.models.engine import Engine, Part

SHOWN = 8
SIMILAR_SHOWN = 3
REST = "(other metrics)"
BASE = "(base rate)"


class Explainer:
    """Makes the verdicts of one window."""

    def __init__(
        self,
        engine: Engine,
        frame: Frame,
        residuals: Residuals,
        vector: np.ndarray,
        parts: list[Part],
        looks_like: list[str],
    ) -> None:
        self._engine, self._frame, self._residuals, self._vector = engine, frame, residuals, vector
        self._looks_like = looks_like
        self._of = {row: (part, i) for part in parts for i, row in enumerate(part.at.tolist())}
        self._names = list(engine.metrics)

    def verdicts(self, entities: list[str], p: np.ndarray, flag: np.ndarray, version: int) -> list[Verdict]:
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
                period=self._of[row][0].period,
                start=self._frame.start_ms,
                end=self._frame.end_ms,
                anomaly_score=round(float(score[row]), 6),
                p_incident=round(float(p[row, settings.middle]), 6),
                flag=int(flag[row]),
                horizons=[
                    HorizonProbability(horizon_s=h // 1000, p_incident=round(float(q), 4))
                    for h, q in zip(settings.horizons_ms, p[row], strict=True)
                ],
                model=self._of[row][0].model,
                confidence=round(min(1.0, float(there[row] / seen[row])), 3) if seen[row] else 0.0,
                looks_like=self._looks_like[row],
                version=version,
            )
            if row in chosen:
                self._explain(verdict, row)
            out.append(verdict)
        return out

    def _explain(self, verdict: Verdict, row: int) -> None:
        if self._of[row][0].cell.trained:
            verdict.explains, shares, base = "p_incident", *self._learned_shares(row)
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
            engine, (part, i) = self._engine, self._of[row]
            similar = engine.signatures.similar(part.seen.past[i], engine.labels, self._frame.start_ms)
            verdict.similar = [
                SimilarIncident(
                    incident=one.incident.id,
                    similarity=round(one.similarity, 3),
                    resolution=one.incident.resolution,
                    start_ms=one.incident.start_ms,
                )
                for one in similar[:SIMILAR_SHOWN]
            ]
            verdict.actions = advice(
                engine.settings.runbook,
                verdict.entity,
                verdict.contributions,
                similar,
                lambda resolution: engine.signatures.record(resolution, engine.labels),
            )
            verdict.actions_note = "" if verdict.actions else NO_EVIDENCE
        verdict.reason = self._words(row)
        if verdict.looks_like:
            verdict.reason += f"; traffic looks like {verdict.looks_like}, the calendar says {verdict.period}"

    def _unusual_shares(self, row: int) -> tuple[np.ndarray, float]:
        residuals = self._residuals
        if residuals.rarity is not None and residuals.by_rarity is not None and residuals.by_rarity[row]:
            return together(residuals.rarity[row])
        return self._engine.unusual.shares(residuals, row)

    def _learned_shares(self, row: int) -> tuple[np.ndarray, float]:
        """Return each metric's share of a head's logit, and what is left.

        The head is that of the middle horizon, or "is under way" where that is likelier.
        """
        part, i = self._of[row]
        ahead = 1 + self._engine.settings.middle
        head = 0 if part.p[i, 0] >= part.p[i, ahead] else ahead
        seen = Seen(part.seen.x[i : i + 1], part.seen.past[i : i + 1])
        bank, surprise = self._engine.ring.banks[part.group], self._unusual_shares(row)[0]
        return bank.shares(part.period, part.candidate, seen, head, surprise)

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
