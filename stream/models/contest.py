"""Which model answers for a traffic period: the one that has ranked its windows best, each scored at its close."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.models.figures import Figures

# A challenger answers once this much was learned in the period, and it is better by MARGIN.
WINDOWS_MIN = 500
POSITIVES_MIN = 20
MARGIN = 0.005
SPAN_MS = 4 * 86_400_000  # what lies so much longer back counts e times less
CHANGES_MAX = 50


class Contest:
    """Candidates are named ``scope.kind``: ``pooled.logistic``, ``own.knn``; the first holds until another is better.

    ``figures`` : of ``p_incident`` over all windows of the period; ``ahead`` : only of windows in which no incident was
    under way, so whether one was seen coming; ``recent`` : of ``p_incident``, forgetting.
    """

    def __init__(self, candidates: tuple[str, ...]) -> None:
        self.candidates = candidates
        self.champion = candidates[0]
        self.figures = {name: Figures() for name in candidates}
        self.ahead = {name: Figures() for name in candidates}
        self.recent = {name: Figures() for name in candidates}
        self.changes: list[dict[str, Any]] = []
        self._checked, self._faded_ms = 0, 0

    def add(
        self,
        within: np.ndarray,
        ahead: np.ndarray,
        either: np.ndarray,
        y: np.ndarray,
        at_ms: int,
        amount: np.ndarray | float = 1.0,
    ) -> None:
        """``within`` : float64[candidates, n], ``p_incident`` as said at close; ``ahead`` : that one begins.

        ``either``, ``y`` : float64[n], the labels of both, NaN unknown; ``amount`` : [n], how many windows each stands
        for.
        """
        if at_ms - self._faded_ms >= SPAN_MS / 50:
            for figures in self.recent.values():
                figures.fade(float(np.exp(-min(at_ms - self._faded_ms, 100 * SPAN_MS) / SPAN_MS)))
            self._faded_ms = at_ms
        for i, name in enumerate(self.candidates):
            self.figures[name].add(within[i], either, amount)
            self.recent[name].add(within[i], either, amount)
            self.ahead[name].add(ahead[i], y, amount)
        seen = self.figures[self.champion].windows // 100
        if seen != self._checked:
            self._checked = seen
            self._choose(at_ms)

    def _choose(self, at_ms: int) -> None:
        first = self.recent[self.champion]
        if first.windows < WINDOWS_MIN or first.positives < POSITIVES_MIN:
            return
        figures = {name: self.recent[name].roc_auc() or 0.0 for name in self.candidates}
        best = max(self.candidates, key=lambda name: figures[name])
        if figures[best] > figures[self.champion] + MARGIN:
            change = {"at": at_ms, "from": self.champion, "to": best}
            change |= {"roc_auc_from": round(figures[self.champion], 4), "roc_auc_to": round(figures[best], 4)}
            self.changes = [*self.changes, change][-CHANGES_MAX:]
            self.champion = best

    def state(self) -> dict[str, Any]:
        out: dict[str, Any] = {"champion": self.champion, "changes": self.changes}
        out |= {"checked": self._checked, "faded": self._faded_ms, "candidates": list(self.candidates)}
        for name in ("figures", "ahead", "recent"):
            out[name] = {one: figures.state() for one, figures in getattr(self, name).items()}
        return out

    @classmethod
    def of(cls, candidates: tuple[str, ...], state: dict[str, Any]) -> Contest:
        """Return it as it was; a candidate that is new begins with nothing."""
        contest = cls(candidates)
        if state["champion"] in candidates:
            contest.champion = state["champion"]
        contest.changes = list(state["changes"])
        contest._checked, contest._faded_ms = state["checked"], state["faded"]
        for name in ("figures", "ahead", "recent"):
            for one, saved in state[name].items():
                if one in candidates:
                    getattr(contest, name)[one].restore(saved)
        return contest


def words(change: dict[str, Any]) -> str:
    before, after = change["roc_auc_from"], change["roc_auc_to"]
    return f"{change['to']} (ROC AUC {after:.4f}) answers instead of {change['from']} ({before:.4f})"
