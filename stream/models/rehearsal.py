"""A stored model over windows that it does not learn from: what it would have said, and when it would have flagged.

The same snapshot and the same windows give the same verdicts. Two ways, by where the windows lie:

* After the snapshot's last window it goes on as it stands there, so its verdicts are those that were given live, until
  the models learned again or another incident was told.
* Before that, what is usual is made anew from a warm-up of the windows before (nothing that came later is known of it),
  and the snapshot gives the models, their calibration and both thresholds. An incident counts as told when it
  has ended. Verdicts that were given then came from the models of that time: they are others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from schemas.errors import DataError
from schemas.incident import Incident, Pin
from schemas.verdict import Verdict
from stream.features.frame import Frame
from stream.models.engine import Engine, EngineSettings
from stream.models.entry import Entry
from stream.models.periods import POOLED, Moment, Periods

GAP_MAX = 20_000  # windows; where more lie between snapshot and interval, it begins with a warm-up as well
_LAST = 2**62


class Asked(NamedTuple):
    """``period``: every window is taken for one of it, "" leaves it to the calendar; ``kind``: "" the champion answers.

    ``scope`` : "own" or "pooled", whose model of that kind answers; ``group`` : None for all.
    """

    rollup: str
    period: str = ""
    kind: str = ""
    scope: str = "own"
    group: str | None = None

    @classmethod
    def of_model(cls, model: str) -> Asked:
        """Read a model's id, such as ``1m.weekend.knn@databases``; raises DataError."""
        name, _, group = model.partition("@")
        rollup, _, rest = name.partition(".")
        period, _, kind = rest.rpartition(".")
        if not (rollup and period and kind):
            raise DataError(f"cannot use model={model[:60]!r}: want an id that GET /api/v1/models gives")
        own = period != POOLED
        return cls(rollup, period if own else "", kind, "own" if own else POOLED, group)


class _Always:
    """The calendar of a site, with one period for every moment."""

    def __init__(self, periods: Periods, period: str) -> None:
        self._period, self.day_ms, self.whole_days = period, periods.day_ms, True

    def at(self, _: int) -> Moment:
        return Moment((), self._period)


class Rehearsal:
    """``step`` takes the windows in order of time."""

    def __init__(
        self,
        state: dict[str, Any],
        entries: list[Entry],
        asked: Asked,
        shape: tuple[int, int],
        settings: EngineSettings,
        periods: Periods,
        *,
        from_ms: int,
        incidents: Sequence[Incident] = (),
    ) -> None:
        """state, entries : of a snapshot; shape : (size, hop) of the rollup's windows, ms; from_ms : of the interval.

        incidents : all that are known; each is told when it has ended.
        """
        self._asked, self._groups = asked, settings.groups
        known = _Always(periods, asked.period) if asked.period else periods
        self.engine = Engine(asked.rollup, *shape, settings, known)  # type: ignore[arg-type]
        last_ms = int(np.max(state["last_start"], initial=-_LAST))
        self.goes_on = 0 < from_ms - last_ms <= GAP_MAX * shape[1]
        self.first_ms = last_ms + 1 if self.goes_on else None  # of the windows to be stepped; None: of a warm-up
        self._untold: list[Incident] = []
        if self.goes_on:
            self.engine.restore(state, entries)
        else:
            self.engine.restore_models(state)
            ended = [one for one in incidents if one.end_ms is not None and not one.withdrawn]
            self._untold = sorted(ended, key=lambda one: (one.end_ms or 0, one.id), reverse=True)
        self.engine.ring.freeze()
        if asked.kind:
            for period in (*periods.names(), "*"):
                answers = {"group": asked.group or "", "period": period, "candidate": f"{asked.scope}.{asked.kind}"}
                self.engine.pin(Pin(rollup=asked.rollup, at_ms=_LAST, **answers))

    def step(self, frame: Frame) -> list[Verdict]:
        """Return the verdicts of a window, by entity; those of other groups than the one asked for are left out."""
        while self._untold and (self._untold[-1].end_ms or 0) <= frame.start_ms:
            self.engine.incident(self._untold.pop())
        said = self.engine.step(frame)
        if self._asked.group is not None:
            said = [verdict for verdict in said if self._groups.of(verdict.entity) == self._asked.group]
        return sorted(said, key=lambda verdict: verdict.entity)
