"""What incidents and feedback say of a window: the labels that models learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from schemas.incident import Feedback, Incident

_OPEN = 2**62


class Labels:
    """Every incident known, by entity.

    Heads: the first says whether an incident is under way in the window; then one a horizon, whether one begins in
    ``(end, end + horizon]``, NaN (not learned) while one is under way. All are NaN in the quarantine after an incident,
    while the entity is still recovering, and before the longest horizon to the first incident or feedback that is known
    of any entity: as long as nobody tells, silence does not mean that all was well.
    """

    def __init__(self, horizons_ms: Sequence[int], quarantine_ms: int) -> None:
        self.horizons_ms, self.quarantine_ms = tuple(horizons_ms), quarantine_ms
        self.incidents: dict[str, Incident] = {}
        self._by_entity: dict[str, dict[str, Incident]] = {}
        self._said: dict[tuple[str, int], float] = {}
        self._first_ms: int | None = None  # made when asked for

    def incident(self, incident: Incident) -> tuple[int, int] | None:
        """Take in a new or changed incident; return the interval whose labels changed, None if nothing did."""
        before = self.incidents.get(incident.id)
        if before is not None and before.updated_ms > incident.updated_ms:
            return None
        self.incidents[incident.id] = incident
        self._first_ms = None
        if before is not None:
            self._by_entity.get(before.entity, {}).pop(incident.id, None)
        if not incident.withdrawn:
            self._by_entity.setdefault(incident.entity, {})[incident.id] = incident
        spans = [self._span(one) for one in (before, incident) if one is not None and not one.withdrawn]
        if not spans or (before is not None and _key(before) == _key(incident)):
            return None
        return min(low for low, _ in spans), max(high for _, high in spans)

    def _span(self, incident: Incident) -> tuple[int, int]:
        end_ms = _OPEN if incident.end_ms is None else incident.end_ms + self.quarantine_ms
        return incident.start_ms - max(self.horizons_ms), end_ms

    def feedback(self, said: Feedback) -> tuple[int, int]:
        """A flag that was right, or a silence that was wrong, is a failed window; the others are normal ones."""
        self._said[said.entity, said.start_ms] = float(said.correct == bool(said.flag))
        self._first_ms = None
        return said.start_ms, said.end_ms

    def under_way(self, entities: Sequence[str], start_ms: int, end_ms: int) -> np.ndarray:
        """Return bool[n]: whether an incident that is known now touches the window."""
        return np.array(
            [
                any(i.start_ms < end_ms and _end(i) > start_ms for i in self._by_entity.get(entity, {}).values())
                for entity in entities
            ],
            bool,
        )

    def failed(self, start_ms: int, end_ms: int) -> set[str]:
        """Return the entities of which an incident that is known now touches [start, end)."""
        return {
            entity
            for entity, those in self._by_entity.items()
            if any(i.start_ms < end_ms and _end(i) > start_ms for i in those.values())
        }

    def since_end(self, entities: Sequence[str], at_ms: int) -> np.ndarray:
        """Return float64[n], ms: how long before ``at_ms`` an incident ended last, inf if none had."""
        out = np.full(len(entities), np.inf)
        for row, entity in enumerate(entities):
            for incident in self._by_entity.get(entity, {}).values():
                if _end(incident) <= at_ms:
                    out[row] = min(out[row], at_ms - _end(incident))
        return out

    def of(self, entities: Sequence[str], start_ms: int, end_ms: int) -> np.ndarray:
        """Return the labels float64[n, 1 + horizons]."""
        y = np.full((len(entities), 1 + len(self.horizons_ms)), 0.0 if end_ms >= self._told_from_ms() else np.nan)
        for row, entity in enumerate(entities):
            for incident in self._by_entity.get(entity, {}).values():
                end = _end(incident)
                if end <= start_ms < end + self.quarantine_ms:
                    y[row] = np.where(y[row] == 1, 1.0, np.nan)
                if end > start_ms and incident.start_ms < end_ms:
                    y[row, 0] = 1.0
                elif incident.start_ms >= end_ms:
                    for head, horizon_ms in enumerate(self.horizons_ms, 1):
                        if incident.start_ms <= end_ms + horizon_ms:
                            y[row, head] = 1.0
            if self._said and (said := self._said.get((entity, start_ms))) is not None:
                y[row, 0] = said
            if y[row, 0] == 1:
                y[row, 1:] = np.nan
        return y

    def _told_from_ms(self) -> int:
        if self._first_ms is None:
            starts = [i.start_ms for those in self._by_entity.values() for i in those.values()]
            starts += [start_ms for _, start_ms in self._said]
            self._first_ms = min(starts, default=_OPEN) - max(self.horizons_ms)
        return self._first_ms

    def starts(self) -> dict[str, list[int]]:
        """Return when the incidents of each entity began, rising."""
        return {e: sorted(i.start_ms for i in those.values()) for e, those in self._by_entity.items() if those}

    def state(self) -> dict[str, Any]:
        said = [[entity, start_ms, y] for (entity, start_ms), y in self._said.items()]
        return {"incidents": msgspec.to_builtins(list(self.incidents.values())), "said": said}

    def restore(self, state: dict[str, Any]) -> None:
        for one in msgspec.convert(state["incidents"], list[Incident]):
            self.incident(one)
        self._said = {(entity, start_ms): y for entity, start_ms, y in state["said"]}
        self._first_ms = None


def _end(incident: Incident) -> int:
    return _OPEN if incident.end_ms is None else max(incident.end_ms, incident.start_ms + 1)


def _key(incident: Incident) -> tuple:
    return incident.entity, incident.start_ms, incident.end_ms, incident.withdrawn
