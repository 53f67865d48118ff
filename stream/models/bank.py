"""The logistic models of one rollup: one pooled over all traffic periods, one for each period."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.models.base import sigmoid
from stream.models.figures import Figures
from stream.models.logistic import Calibration, Logistic
from stream.models.periods import POOLED

# Plain values: no data chose them.
RATE = 0.02
L2 = 1e-4
POSITIVE_WEIGHT_MAX = 20.0
# Before any incident was told: the odder a window (see features.vector.SUMMARY), the likelier it belongs to one.
PRIOR = (0.5, 1.0, 0.0, 3.0)
PRIOR_BIAS = -5.0
# A period's own model answers once it has seen this much and has been no worse than the pooled one on the same windows.
OWN_WINDOWS_MIN = 500
OWN_POSITIVES_MIN = 20


class Cell:
    """One model with how right it has been.

    heads : one for "is under way", then one a horizon; ``middle`` : the head of the horizon that is shown alone.
    ``figures`` : of that horizon's ``p_incident``; ``ahead`` : only of windows in which no incident was under way, so
    whether one was seen coming; ``pooled`` : the pooled model's, on the same windows.
    """

    def __init__(self, heads: int, middle: int) -> None:
        self.logistic = Logistic(0, heads, RATE, RATE, L2)
        self.logistic.begin(np.array(PRIOR), PRIOR_BIAS)
        self.calibration = Calibration(heads)
        self.figures, self.ahead, self.pooled = Figures(), Figures(), Figures()
        self.counts = np.zeros((2, heads))
        self._middle = middle

    def logits(self, x: np.ndarray) -> np.ndarray:
        self.logistic.grow(max(x.shape[1], len(self.logistic.weights)))
        return self.logistic.logits(_wide(x, len(self.logistic.weights)))

    @property
    def trained(self) -> bool:
        """Whether it learned of an incident, both from within and from before."""
        return bool(self.counts[1, [0, self._middle]].min() > 0)

    def probabilities(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return [n, heads] calibrated, and [n, horizons], that an incident is under way or begins within each."""
        p = self.calibration.apply(z)
        return p, 1 - (1 - p[:, :1]) * (1 - p[:, 1:])

    def learn(self, x: np.ndarray, y: np.ndarray, z: np.ndarray, z_pooled: np.ndarray) -> None:
        """x : [n, features] and z : [n, heads], the logits made at the window's close; y : its labels, NaN unknown."""
        m = self._middle
        p, within = self.probabilities(z)
        either = np.where(y[:, 0] == 1, 1.0, y[:, m])
        self.figures.add(within[:, m - 1], either)
        self.ahead.add(p[:, m], y[:, m])
        q = sigmoid(z_pooled)
        self.pooled.add(1 - (1 - q[:, 0]) * (1 - q[:, m]), either)
        self.calibration.add(z, y)
        self.counts += np.stack([(y == 0).sum(0), (y == 1).sum(0)])
        rare = np.clip(self.counts[0] / np.maximum(self.counts[1], 1), 1, POSITIVE_WEIGHT_MAX)
        self.logistic.grow(max(x.shape[1], len(self.logistic.weights)))
        self.logistic.learn(_wide(x, len(self.logistic.weights)), y, np.where(y == 1, rare, 1.0))

    @property
    def answers(self) -> bool:
        if self.figures.windows < OWN_WINDOWS_MIN or self.figures.positives < OWN_POSITIVES_MIN:
            return False
        own, pooled = self.figures.roc_auc(), self.pooled.roc_auc()
        return own is not None and pooled is not None and own >= pooled

    def state(self) -> dict[str, Any]:
        figures = {name: getattr(self, name).state() for name in ("figures", "ahead", "pooled")}
        own = {"logistic": self.logistic.state(), "calibration": self.calibration.state(), "counts": self.counts}
        return own | figures

    def restore(self, state: dict[str, Any]) -> None:
        for name, part in state.items():
            if name == "counts":
                self.counts = part.copy()
                continue
            for field, value in part.items():
                setattr(getattr(self, name), field, value.copy() if isinstance(value, np.ndarray) else value)


class Bank:
    def __init__(self, heads: int, middle: int) -> None:
        self._heads, self._middle = heads, middle
        self.cells: dict[str, Cell] = {POOLED: Cell(heads, middle)}
        self._champion: dict[str, tuple[int, str]] = {}

    def cell(self, period: str) -> Cell:
        """Return a period's model; a new period starts from the pooled one."""
        if period not in self.cells:
            self.cells[period] = new = Cell(self._heads, self._middle)
            pooled = self.cells[POOLED].state()
            new.restore({name: pooled[name] for name in ("logistic", "calibration", "counts")})
        return self.cells[period]

    def logits(self, period: str, x: np.ndarray) -> np.ndarray:
        """Return [2, n, heads]: of the pooled model, and of the period's own."""
        return np.stack([self.cells[POOLED].logits(x), self.cell(period).logits(x)])

    def champion(self, period: str) -> str:
        """Return which of the two answers for a period; looked at again each hundred windows learned."""
        cell = self.cell(period)
        at = cell.figures.windows // 100
        known = self._champion.get(period)
        if known is None or known[0] != at:
            known = self._champion[period] = (at, period if cell.answers else POOLED)
        return known[1]

    def learn(self, period: str, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
        """z : [2, n, heads] as ``logits`` gave it at the window's close."""
        self.cells[POOLED].learn(x, y, z[0], z[0])
        self.cell(period).learn(x, y, z[1], z[0])

    def state(self) -> dict[str, Any]:
        return {period: cell.state() for period, cell in self.cells.items()}

    @classmethod
    def of(cls, heads: int, middle: int, state: dict[str, Any]) -> Bank:
        bank = cls(heads, middle)
        for period, cell in state.items():
            bank.cells[period] = Cell(heads, middle)
            bank.cells[period].restore(cell)
        return bank

    def copy(self) -> Bank:
        return Bank.of(self._heads, self._middle, self.state())


def _wide(x: np.ndarray, features: int) -> np.ndarray:
    """Features that came up later were 0 before."""
    if x.shape[1] == features:
        return x
    return np.concatenate([x, np.zeros((len(x), features - x.shape[1]))], 1)
