"""What each model says of itself: how right it has been, overall and in each traffic period."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stream.models.contest import Contest
from stream.models.groups import REST
from stream.models.kinds import absent
from stream.models.periods import POOLED

if TYPE_CHECKING:
    from stream.models.engine import Engine


def model_id(rollup: str, period: str, kind: str, group: str = REST) -> str:
    """Return a model's id, such as ``1m.weekend.knn`` or, of a group, ``1m.weekend.knn@databases``."""
    return f"{rollup}.{period}.{kind}{f'@{group}' if group else ''}"


def cards_of(engine: Engine) -> list[dict[str, Any]]:
    """Return a card a model of the engine, JSON-ready."""
    told, out = begun(engine), []
    for group, bank in sorted(engine.ring.banks.of_group.items()):
        of = {period: those for (g, period), those in told.items() if g == group}
        of[POOLED] = [one for those in of.values() for one in those]
        for period, kind in sorted(bank.cells):
            contest = bank.contests[period]
            name = f"{POOLED if period == POOLED else 'own'}.{kind}"
            card = {
                "id": model_id(engine.rollup, period, kind, group),
                "rollup": engine.rollup,
                "period": period,
                "group": group,
                "kind": kind,
                "horizon_s": engine.settings.horizons_ms[engine.settings.middle] // 1000,
                "champion": _answers(engine, group, period, kind),
                "pinned": _answers(engine, group, period, kind) and engine.pinned(group, period),
                "relearned": engine.ring.relearned,
                **_told(of.get(period, ())),
                **_figures(contest, name),
            }
            if period == POOLED:
                others = {p: c for p, c in sorted(bank.contests.items()) if p != POOLED}
                card["periods"] = {p: _told(of.get(p, ())) | _figures(c, name, curves=False) for p, c in others.items()}
                card["answers_for"] = [p for p in others if engine.champion(group, p) == name]
            else:
                pooled = contest.figures[f"{POOLED}.{kind}"]
                card |= {"roc_auc_pooled": pooled.roc_auc(), "changes": contest.changes}
            out.append(card)
        out += [
            {"id": model_id(engine.rollup, POOLED, kind, group), "rollup": engine.rollup, "period": POOLED}
            | {"group": group, "kind": kind, "champion": False, "absent": absent(kind)}
            for kind in engine.settings.kinds
            if absent(kind)
        ]
    return out


def _told(incidents: Sequence[Begun]) -> dict[str, Any]:
    return {"incidents": len(incidents), "lead_time": lead_time(incidents)}


def _answers(engine: Engine, group: str, period: str, kind: str) -> bool:
    """Whether a model answers: of its period, or, pooled, of any period that has no better one of its own."""
    bank = engine.ring.banks[group]
    if period != POOLED:
        return engine.champion(group, period) == f"own.{kind}"
    others = [p for p in bank.contests if p != POOLED]
    return any(engine.champion(group, p) == f"{POOLED}.{kind}" for p in others or [POOLED])


def _figures(contest: Contest, name: str, *, curves: bool = True) -> dict[str, Any]:
    figures, ahead = contest.figures[name], contest.ahead[name]
    out: dict[str, Any] = {
        "windows": figures.windows,
        "windows_positive": figures.positives,
        "roc_auc": figures.roc_auc(),
        "roc_auc_recent": contest.recent[name].roc_auc(),
        "average_precision": figures.average_precision(),
        "brier": figures.brier(),
        "calibration_error": figures.calibration_error(),
        "ahead": {"windows": ahead.windows, "roc_auc": ahead.roc_auc()},
    }
    if curves:
        out |= {"roc_curve": figures.roc_curve(), "calibration_curve": figures.calibration_curve()}
    return out


class Begun(NamedTuple):
    """An incident. ``kept`` : whether the windows before it still are; ``lead_s`` : how long before it the first window
    closed that was flagged, of those within the middle horizon; None: none was."""

    kept: bool
    lead_s: float | None


def begun(engine: Engine) -> dict[tuple[str, str], list[Begun]]:
    """Return the incidents told of, by group and by the traffic period in which each began."""
    span_ms = engine.settings.horizons_ms[engine.settings.middle]
    oldest = min((entry.start_ms for entry in engine.ring.entries), default=0)
    flagged: dict[str, list[int]] = {}
    for entry in engine.ring.entries:
        for i in np.flatnonzero(entry.flag).tolist():
            flagged.setdefault(entry.entities[i], []).append(entry.end_ms)
    out: dict[tuple[str, str], list[Begun]] = {}
    for entity, starts in engine.labels.starts().items():
        group = engine.settings.groups.of(entity)
        for start_ms in sorted(set(starts)):
            before = [end for end in flagged.get(entity, ()) if start_ms - span_ms <= end <= start_ms]
            one = Begun(start_ms >= oldest, (start_ms - min(before)) / 1000 if before else None)
            out.setdefault((group, engine.period_of(start_ms, entity)), []).append(one)
    return out


def lead_time(incidents: Sequence[Begun]) -> dict[str, Any]:
    """Return how many of the incidents were warned of and how long before, of those of which it is known."""
    kept = [one.lead_s for one in incidents if one.kept]
    leads = [lead for lead in kept if lead is not None]
    return {"incidents": len(kept), "warned": len(leads), "median_s": float(np.median(leads)) if leads else None}
