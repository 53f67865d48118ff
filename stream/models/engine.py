"""One rollup of one partition: every closed window is scored, later learned. Pure: time comes with the windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np

from schemas.incident import Feedback, Incident, Pin
from schemas.verdict import Verdict
from stream.actions.runbook import Rule
from stream.features.frame import Frame
from stream.features.superimposed import DAY_MS, Superimposed, channel
from stream.features.vector import body, features
from stream.models.bank import Banks, Cell
from stream.models.base import Seen, logit, sigmoid
from stream.models.cards import cards_of, model_id
from stream.models.context import Context
from stream.models.entry import Entry
from stream.models.excused import Excused
from stream.models.explain import Explainer
from stream.models.groups import REST, Groups
from stream.models.kinds import ALWAYS, at_hand
from stream.models.labels import Labels
from stream.models.periods import POOLED, Periods
from stream.models.resemblance import Resemblance
from stream.models.ring import Ring
from stream.models.risk_budget import SHARE, RiskBudget
from stream.models.sampling import worth
from stream.models.sequence import Sequences, together
from stream.models.signatures import Signatures
from stream.models.threshold import Budget
from stream.models.unusual import Residuals, Unusual

METRICS_MAX = 4000
# A score from which on there is a flag until the budget of false alarms says better. On the unlabelled halves of the
# eight development machines it gives 0.7 false alarms a day, 0.3 to 1.5.
FIRST_GUESS = 0.7
# Models learn, so p_incident drifts, and a threshold from the hours before may come to lie below what is usual now: a
# flag says at least twice the odds of any window. Plain, no data chose it.
LIFT = float(np.log(2))
FORMAT = 8  # of a snapshot; one of another format cannot be restored


@dataclass(frozen=True)
class EngineSettings:
    """``horizons_ms`` rising; the middle one is the one that is shown alone."""

    horizons_ms: tuple[int, ...] = (300_000, 1_800_000, 7_200_000)
    alarms_per_day: float = 1.0
    quarantine_ms: int = 600_000
    label_delay_ms: int = 3_600_000  # so long a window waits after its horizon: incidents are told late
    ring_bytes_max: int = 64 << 20
    runbook: tuple[Rule, ...] = ()
    kinds: tuple[str, ...] = (ALWAYS, "knn", "lstm")  # those that can be had; the others are said to be absent
    groups: Groups = Groups()
    depends: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # entity → its causes, see ``Excused``
    explained_max: int = 200  # so many verdicts a close carry their reasons, those with the highest risk; flags always

    @property
    def middle(self) -> int:
        return len(self.horizons_ms) // 2


class Part(NamedTuple):
    """What the models made of those entities of a window that share group and period."""

    group: str
    period: str
    at: np.ndarray  # int[n], which of the window's entities
    seen: Seen
    z: np.ndarray  # float64[candidates, n, heads]
    candidate: str  # the champion, see ``contest``
    cell: Cell  # its model
    p: np.ndarray  # float64[n, heads], calibrated
    within: np.ndarray  # float64[n, horizons], that an incident is under way or begins within each
    model: str


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
        self._names: list[str] = []  # of entities, by number
        self.labels = Labels(settings.horizons_ms, max(settings.quarantine_ms, 2 * size_ms))
        self.unusual = Unusual(hop_ms)
        wait_ms = max(settings.horizons_ms) + settings.label_delay_ms
        each = max(1.0, settings.horizons_ms[settings.middle] / hop_ms)
        banks = Banks(heads, 1 + settings.middle, at_hand(settings.kinds), each)
        self.ring = Ring(banks, self.labels, settings.ring_bytes_max, wait_ms, hop_ms)
        self.budget = Budget(settings.alarms_per_day, hop_ms, FIRST_GUESS)
        self.risk_budget = RiskBudget(SHARE * settings.alarms_per_day, hop_ms, 0.5)
        self.superimposed = Superimposed(hop_ms)
        self.resemblance = Resemblance(hop_ms)
        self.excused = Excused(settings.depends)
        self.signatures = Signatures()
        self.sequences = Sequences()
        self.context = Context(hop_ms)
        self.last_scores = np.zeros(0)  # of the last window, as precise as they are
        self.counters = Counters()
        self._pins: dict[tuple[str, str], Pin] = {}
        self._last_start = np.zeros(0, np.int64)
        self._stale = False

    def incident(self, incident: Incident) -> None:
        """Take in a new or changed incident; what was learned with another label is learned anew by ``refresh``."""
        known = self.labels.incidents.get(incident.id)
        changed = self.labels.incident(incident)
        if self.labels.incidents[incident.id] != known:
            now_ms = self.ring.entries[-1].end_ms if self.ring.entries else 0
            self._leave_out(incident, now_ms)
            self.signatures.told(incident, self.ring.entries, now_ms)
        if changed:
            self.context.told(self.labels.incidents[incident.id], self.ring.entries)
        if changed and self.ring.touches_learned(incident.entity, *changed):
            self._stale = True

    def _leave_out(self, incident: Incident, now_ms: int) -> None:
        """Days that held an incident are no reference for later ones."""
        row = self.entities.get(incident.entity)
        if row is not None and not incident.withdrawn:
            end_ms = now_ms if incident.end_ms is None else incident.end_ms
            first, last = ((at - self._periods.day_ms(at)) / DAY_MS for at in (incident.start_ms, end_ms))
            self.superimposed.incident(row, round(first), round(last))

    def feedback(self, said: Feedback) -> None:
        if said.rollup == self.rollup and self.ring.touches_learned(said.entity, *self.labels.feedback(said)):
            self._stale = True

    def pin(self, pin: Pin) -> None:
        known = self._pins.get((pin.group, pin.period))
        if pin.rollup == self.rollup and (known is None or known.at_ms <= pin.at_ms):
            self._pins[pin.group, pin.period] = pin

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
        entities = [self._names[row] for row in rows.tolist()]
        x = np.full((len(rows), len(self.metrics)), np.nan)
        known = columns >= 0
        x[:, columns[known]] = frame.values[keep][:, known]
        day_ms = self._periods.day_ms(frame.start_ms)
        under_way = self.labels.under_way(entities, frame.start_ms, frame.end_ms)
        residuals = self.unusual.step(rows, x, day_ms, ~under_way)
        self._sequences(rows, x, residuals)
        self.last_scores = residuals.score
        self.context.settle(self.labels, self.ring.entries, frame.start_ms)
        metrics = body(residuals)
        context = self.context.step(rows, entities, residuals.score, metrics, self.labels, frame.start_ms)
        over = self.superimposed.step(rows, x, frame.start_ms, day_ms, under_way)
        when = frame.start_ms, day_ms, self._periods
        looks_like = self.resemblance.step(rows, self._names, x, self.superimposed, *when, under_way)
        drift = channel(over, "drift")
        vector = features(residuals, self.unusual.seen[rows], metrics, drift, context)
        for entry, y in self.ring.mature(lane, frame.end_ms):
            normal = (y == 0).all(1) & ~self.excused.of(self.labels, entry.entities, entry.start_ms, entry.end_ms)
            self.budget.learn(entry.rows, entry.score, entry.start_ms, normal & (entry.score > 0))
            self.risk_budget.learn(entry.rows, entry.p, entry.start_ms, normal & np.isfinite(entry.p))
        parts = [self._part(*part, rows, vector, over) for part in self._parts(entities, rows, frame.start_ms)]
        within = np.zeros((len(rows), len(self.settings.horizons_ms)))
        trained, base = np.zeros(len(rows), bool), np.zeros(len(rows))
        for part in parts:
            within[part.at], trained[part.at], base[part.at] = part.within, part.cell.trained, part.cell.base_risk
        risk = within[:, self.settings.middle]
        flag = self._flags(rows, residuals, risk, base, trained)
        said = np.where(trained & residuals.ready, risk, np.nan).astype(np.float32)
        lost: list[Entry] = []
        for part in parts:
            at, followed = part.at, part.seen.has_past
            looked_at = over[at] if followed else channel(over[at], "excess").copy()
            lost += self.ring.add(
                Entry(
                    self.ring.next_number,
                    lane,
                    frame.start_ms,
                    frame.end_ms,
                    part.group,
                    part.period,
                    [entities[i] for i in at.tolist()],
                    rows[at],
                    vector[at],
                    looked_at,
                    part.z.astype(np.float32),
                    flag[at],
                    said[at],
                    residuals.score[at].astype(np.float32),
                    followed,
                    len(at),
                    np.arange(len(at), dtype=np.int32),
                    worth(residuals.score[at], said[at], under_way[at]),
                    np.zeros(len(at), bool),
                )
            )
        for entry in lost:  # of no known label: what happened by now is all that there is to go by
            normal = ~self.excused.of(self.labels, entry.entities, entry.start_ms, entry.end_ms)
            self.budget.learn(entry.rows, entry.score, entry.start_ms, normal & (entry.score > 0))
        self.signatures.step(self.labels, self.ring.entries, frame.end_ms)
        self.counters.windows += len(rows)
        self.counters.flags += int(flag.sum())
        return Explainer(self, frame, residuals, vector, parts, looks_like).verdicts(entities, within, flag, version)

    def _parts(self, entities: list[str], rows: np.ndarray, start_ms: int) -> list[tuple[str, str, np.ndarray]]:
        """Return (group, period, which of the entities): a model each."""
        moment, groups = self._periods.at(start_ms), self.settings.groups
        followed = rows < self.ring.followed
        if not moment.some and not groups and followed.all():
            return [(REST, moment.rest, np.arange(len(entities)))]
        found: dict[tuple[str, str, bool], list[int]] = {}
        for i, entity in enumerate(entities):
            key = groups.of(entity), moment.of(entity), bool(followed[i])
            found.setdefault(key, []).append(i)
        return [(group, period, np.array(at, np.intp)) for (group, period, _), at in found.items()]

    def _part(
        self, group: str, period: str, at: np.ndarray, rows: np.ndarray, vector: np.ndarray, over: np.ndarray
    ) -> Part:
        seen, z = self.ring.close(group, period, rows[at], vector[at], over[at])
        bank = self.ring.banks[group]
        candidate = self.champion(group, period)
        if np.isnan(z[bank.candidates.index(candidate)]).any():  # it needs a past that these entities have not
            candidate = bank.candidates[0]
        cell = bank.of(period, candidate)
        p, within = bank.probabilities(candidate, z[bank.candidates.index(candidate)])
        scope = POOLED if candidate.startswith(POOLED) else period
        name = model_id(self.rollup, scope, cell.kind, group)
        return Part(group, period, at, seen, z, candidate, cell, p, within, name)

    def champion(self, group: str, period: str) -> str:
        """Return which candidate (see ``contest``) answers: the one pinned, else the one that ranks best."""
        bank = self.ring.banks[group]
        for key in ((group, period), (group, "*")):
            if key in self._pins and self._pins[key].candidate in bank.candidates:
                return self._pins[key].candidate
        return bank.contests[period].champion

    def pinned(self, group: str, period: str) -> bool:
        return any(self._pins[key].candidate for key in ((group, period), (group, "*")) if key in self._pins)

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
            if entity not in self.entities:
                self.entities[entity] = len(self._names)
                self._names.append(entity)
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
        self.superimposed.grow(n, len(self.metrics))
        self.context.grow(n)
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
        base: np.ndarray,
        trained: np.ndarray,
    ) -> np.ndarray:
        """Return which windows are flagged, by either budget; base : what ``p_incident`` usually is."""
        share = SHARE if trained.any() else 0.0
        self.budget.alarms_per_day = (1 - share) * self.settings.alarms_per_day
        flag = residuals.ready & self.budget.passes(rows, residuals.score)
        above = logit(risk) >= logit(base) + LIFT
        return flag | (trained & residuals.ready & above & self.risk_budget.passes(rows, risk))

    def period_of(self, at_ms: int, entity: str) -> str:
        return self._periods.name(at_ms, entity)

    def model_cards(self) -> list[dict[str, Any]]:
        """Return what ``GET /api/v1/models/{id}`` shows of each model, JSON-ready."""
        return cards_of(self)

    def state(self) -> dict[str, Any]:
        """Return everything but the ring's entries."""
        return {
            "format": FORMAT,
            "entities": list(self.entities),
            "metrics": list(self.metrics),
            "last_start": self._last_start,
            "counts": [getattr(self.counters, n) for n in ("windows", "out_of_order", "metrics_ignored", "flags")],
            "labels": self.labels.state(),
            "unusual": self.unusual.state(),
            "budget": self.budget.state(),
            "risk_budget": self.risk_budget.state(),
            "pins": msgspec.to_builtins(list(self._pins.values())),
            "superimposed": self.superimposed.state(),
            "resemblance": self.resemblance.state(),
            "signatures": self.signatures.state(),
            "sequences": self.sequences.state(),
            "context": self.context.state(),
            "ring": self.ring.state(),
        }

    def restore_models(self, state: dict[str, Any]) -> None:
        """Take over what was learned of incidents, and nothing of what was seen: neither levels nor windows."""
        self._names = list(state["entities"])
        self.entities = {entity: i for i, entity in enumerate(self._names)}
        self.metrics = {metric: i for i, metric in enumerate(state["metrics"])}
        for name in ("budget", "risk_budget"):
            for key, value in state[name].items():
                setattr(getattr(self, name), key, value)
        for pin in msgspec.convert(state["pins"], list[Pin]):
            self.pin(pin)
        self.ring.banks.restore(state["ring"]["banks"])

    def restore(self, state: dict[str, Any], entries: list[Entry]) -> None:
        self._names = list(state["entities"])
        self.entities = {entity: i for i, entity in enumerate(self._names)}
        self.metrics = {metric: i for i, metric in enumerate(state["metrics"])}
        self.counters = Counters(*state["counts"])
        self._last_start = state["last_start"]
        self.labels.restore(state["labels"])
        self.unusual.restore(state["unusual"])
        for name in ("budget", "risk_budget"):
            for key, value in state[name].items():
                setattr(getattr(self, name), key, value)
        for pin in msgspec.convert(state["pins"], list[Pin]):
            self.pin(pin)
        self.superimposed.restore(state["superimposed"])
        if "resemblance" in state:  # not in a snapshot that an earlier release wrote
            self.resemblance.restore(state["resemblance"])
        self.signatures.restore(state["signatures"])
        self.sequences.restore(state["sequences"])
        self.context.restore(state["context"])
        self.ring.restore(state["ring"], entries)
