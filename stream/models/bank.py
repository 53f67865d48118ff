"""The models of one rollup: for each entity group one of each kind pooled over traffic periods, and one a period.

A period's own model knows the incidents of its period, which are few: what it says, its logit before calibration, is
the mean of its own and the pooled one's, in which its own counts n / (n + SHRINK), n incidents learned in the period.
The explanation is shared out likewise: a new period says what the pooled models say, and departs.

Logits become probabilities by one curve a kind for the pooled models, and one for all periods' own together: a curve of
a period's few incidents alone ranked its windows too high or too low among those of the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.models.base import Kind, Learned, Seen
from stream.models.contest import Contest
from stream.models.history import History
from stream.models.kinds import ALWAYS, KINDS
from stream.models.logistic import Calibration
from stream.models.periods import POOLED

OWN = "own"
SHRINK = 50.0  # chosen on seeds 3, 5 and 7 of the simulated site (see docs/models.md), as is the one curve


class Cell:
    """One model of one kind.

    heads : one for "is under way", then one a horizon; ``middle`` : the head of the horizon that is shown alone.
    """

    def __init__(self, kind: str, heads: int, middle: int) -> None:
        self.kind = kind
        self.model = KINDS[kind](heads, middle)
        self.counts = np.zeros((2, heads))
        self._middle = middle

    @property
    def trained(self) -> bool:
        """Whether it learned of an incident, both from within and from before."""
        return bool(self.counts[1, [0, self._middle]].min() > 0)

    @property
    def base_risk(self) -> float:
        """The share of all windows in which an incident was under way or began within the middle horizon."""
        negative, positive = self.counts[:, [0, self._middle]]
        under_way, begins = positive / np.maximum(negative + positive, 1.0)
        return float(1 - (1 - under_way) * (1 - begins))

    def takes(self, block: Learned) -> bool:
        return block.seen.has_past or not self.model.needs_past

    def learn(self, block: Learned) -> None:
        """Learn of a block that it ``takes``."""
        weight = np.broadcast_to(block.weight, len(block.y))[:, None]
        self.counts += np.stack([((block.y == label) * weight).sum(0) for label in (0, 1)])
        self.model.learn(block)

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state(), "counts": self.counts}

    def restore(self, state: dict[str, Any]) -> None:
        self.model.restore(state["model"])
        self.counts = state["counts"].copy()


class Bank:
    """The models of one entity group; ``each`` : windows of an entity in the middle horizon, so before an incident."""

    def __init__(self, heads: int, middle: int, kinds: tuple[str, ...] = (ALWAYS,), each: float = 1.0) -> None:
        self._heads, self._middle, self.kinds, self._each = heads, middle, kinds, each
        self.candidates = tuple(f"{scope}.{kind}" for scope in (POOLED, OWN) for kind in kinds)
        self.cells = {(POOLED, kind): Cell(kind, heads, middle) for kind in kinds}
        self.calibrations = {name: Calibration(heads) for name in self.candidates}
        self.contests = {POOLED: Contest(self.candidates[: len(kinds)])}
        self._before: dict[tuple[str, str], Kind] = {}  # see ``carry``

    def period(self, period: str) -> None:
        """Make a period's models where it is new: they start from the pooled ones."""
        if period not in self.contests:
            self.contests[period] = Contest(self.candidates)
            for kind in self.kinds:
                new = self.cells[period, kind] = Cell(kind, self._heads, self._middle)
                new.restore(self.cells[POOLED, kind].state())
                if (period, kind) in self._before:
                    new.model.carry(self._before[period, kind])

    def of(self, period: str, candidate: str) -> Cell:
        scope, kind = candidate.split(".")
        return self.cells[POOLED if scope == POOLED else period, kind]

    def logits(self, period: str, seen: Seen) -> np.ndarray:
        """Return [candidates, n, heads]: of the pooled models, a kind each, then of the period's own, shrunk to them.

        NaN of kinds that need a past where there is none.
        """
        self.period(period)
        out = np.full((len(self.candidates), len(seen.x), self._heads), np.nan)
        for i, name in enumerate(self.candidates):
            model = self.of(period, name).model
            if seen.has_past or not model.needs_past:
                out[i] = model.logits(seen)
        for i, kind in enumerate(self.kinds):
            share, own = self.own_share(period, kind), len(self.kinds) + i
            out[own] = share * out[own] + (1 - share) * out[i]
        return out

    def own_share(self, period: str, kind: str) -> float:
        """Return how much a period's own model counts beside the pooled one, 0…1."""
        incidents = self.contests[period].ahead[f"{OWN}.{kind}"].positives / self._each
        return incidents / (incidents + SHRINK)

    def probabilities(self, candidate: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return [n, heads] calibrated, and [n, horizons], that an incident is under way or begins within each.

        z : [n, heads], a candidate's logits as ``logits`` gives them.
        """
        p = self.calibrations[candidate].apply(z)
        return p, 1 - (1 - p[:, :1]) * (1 - p[:, 1:])

    def shares(
        self, period: str, candidate: str, seen: Seen, head: int, surprise: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Return what ``Kind.shares`` does, of a candidate's logit as ``logits`` gives it."""
        scope, kind = candidate.split(".")
        metrics, rest = self.of(period, candidate).model.shares(seen, head, surprise)
        if scope == POOLED:
            return metrics, rest
        share = self.own_share(period, kind)
        pooled, pooled_rest = self.cells[POOLED, kind].model.shares(seen, head, surprise)
        return share * metrics + (1 - share) * pooled, share * rest + (1 - share) * pooled_rest

    def learn(self, period: str, block: Learned, z: np.ndarray) -> None:
        """z : [candidates, n, heads] as ``logits`` gave it at the windows' close."""
        self.period(period)
        y, at_ms = block.y, int(block.at_ms[-1])
        m = self._middle
        p, within = zip(*(self.probabilities(name, z[i]) for i, name in enumerate(self.candidates)), strict=True)
        either = np.where(y[:, 0] == 1, 1.0, y[:, m])
        shown, ahead = np.stack([w[:, m - 1] for w in within]), np.stack([q[:, m] for q in p])
        labels = either, y[:, m], at_ms, block.weight
        self.contests[period].add(shown, ahead, *labels)
        self.contests[POOLED].add(shown[: len(self.kinds)], ahead[: len(self.kinds)], *labels)
        for i, name in enumerate(self.candidates):
            cell = self.of(period, name)
            if cell.takes(block):
                self.calibrations[name].add(z[i], y, block.weight)
                cell.learn(block._replace(risk=shown[i]))
        rare = np.flatnonzero((y == 1).any(1))
        if len(rare) and block.seen.has_past:
            lent = block.some(rare)
            for (other, _), cell in self.cells.items():
                if other not in (POOLED, period):
                    cell.model.borrow(lent)

    def carry(self, before: Bank) -> None:
        self._before = {at: cell.model for at, cell in before.cells.items() if not cell.model.relearns}
        for at, model in self._before.items():
            if at in self.cells:
                self.cells[at].model.carry(model)

    @property
    def relearns(self) -> np.ndarray:
        """Return bool[candidates], see ``Kind``."""
        return np.array([self.cells[POOLED, name.split(".")[1]].model.relearns for name in self.candidates])

    def state(self) -> dict[str, Any]:
        cells = [[period, kind, cell.state()] for (period, kind), cell in self.cells.items()]
        out = {"cells": cells, "contests": {period: one.state() for period, one in self.contests.items()}}
        return out | {"calibrations": {name: one.state() for name, one in self.calibrations.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        for period, contest in state["contests"].items():
            self.period(period)
            self.contests[period] = Contest.of(self.contests[period].candidates, contest)
        for period, kind, cell in state["cells"]:
            if kind in self.kinds:
                self.cells[period, kind].restore(cell)
        for name, calibration in _calibrations(state).items():
            if name in self.calibrations:
                self.calibrations[name].restore(calibration)


def _calibrations(state: dict[str, Any]) -> dict[str, Any]:
    """Return them by candidate; an earlier release had one a cell, of which the pooled one is of all periods."""
    if "calibrations" in state:
        return state["calibrations"]
    pooled = {kind: cell["calibration"] for period, kind, cell in state["cells"] if period == POOLED}
    return {f"{scope}.{kind}": one for scope in (POOLED, OWN) for kind, one in pooled.items()}


class Banks:
    """A bank a group of entities, and what led to the windows that were learned last."""

    def __init__(self, heads: int, middle: int, kinds: tuple[str, ...] = (ALWAYS,), each: float = 1.0) -> None:
        self._shape = heads, middle, kinds, each
        self.of_group: dict[str, Bank] = {}
        self.history = History()

    def __getitem__(self, group: str) -> Bank:
        if group not in self.of_group:
            self.of_group[group] = Bank(*self._shape)
        return self.of_group[group]

    def state(self) -> dict[str, Any]:
        return {"groups": {g: bank.state() for g, bank in self.of_group.items()}, "history": self.history.state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.history = History.of(state["history"])
        for group, bank in state["groups"].items():
            self[group].restore(bank)

    def carry(self, before: Banks) -> None:
        """Take over what cannot be learned anew (see ``Kind``), also in periods that are made later."""
        for group, bank in before.of_group.items():
            self[group].carry(bank)

    def train(self, at_ms: int, *, all_kinds: bool = True) -> None:
        """Begin what takes long; else only that of the kinds that can be made anew (``Kind.relearns``)."""
        for bank in self.of_group.values():
            for cell in bank.cells.values():
                if all_kinds or cell.model.relearns:
                    cell.model.train(at_ms)

    def copy(self) -> Banks:
        new = Banks(*self._shape)
        new.restore(self.state())
        return new
