"""The newest scored windows with their features, so that a label that comes late or is corrected can be learned.

Windows wait here until their longest horizon has passed, then they are learned, once. They stay until memory runs out;
only then do they leave for good, into ``base``. When a label of a window that was learned already changes, the models
are made anew: from ``base``, over the ring, each window scored by what was known at its close and learned when its
horizon had passed, as it would have been with the right label. So a correction is exact as far back as the ring goes.
A kind whose training cannot be repeated (``Kind.relearns``) keeps what it knows and what it said at each close, and
goes on with the right labels.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.models.bank import Banks
from stream.models.base import Learned, Seen
from stream.models.history import History
from stream.models.labels import Labels

BLOCK_MS = 600_000
ALONE = 200  # a window of more entities is learned by itself


@dataclass(slots=True)
class Entry:
    """One scored window of some entities of one group and period.

    ``lane`` : "" live, else the history that it came with; ``rows`` : the entities' numbers.
    """

    number: int
    lane: str
    start_ms: int
    end_ms: int
    group: str
    period: str
    entities: list[str]
    rows: np.ndarray  # int64[n]
    x: np.ndarray  # float16[n, features]
    over: np.ndarray  # float16[n, metrics * channels], see features.superimposed
    z: np.ndarray  # float32[candidates, n, heads], logits at the close
    flag: np.ndarray  # bool[n]
    p: np.ndarray  # float32[n], p_incident as it was said, NaN before anything was learned
    score: np.ndarray  # float32[n], anomaly_score

    @property
    def size(self) -> int:
        return self.x.nbytes + self.over.nbytes + self.z.nbytes + self.rows.nbytes + 400 + 80 * len(self.entities)


class Ring:
    def __init__(self, banks: Banks, labels: Labels, bytes_max: int, wait_ms: int) -> None:
        """wait_ms : how long after its end a window is learned."""
        self.banks, self._labels, self._bytes_max, self._wait_ms = banks, labels, bytes_max, wait_ms
        self.base = banks.copy()
        self.history = History()  # of the windows that were scored
        self.entries: deque[Entry] = deque()
        self.waiting: dict[str, deque[Entry]] = {}
        self.bytes = 0
        self.next_number = 0
        self.left_unlearned = 0  # windows that had to leave before their horizon had passed
        self.relearned = 0  # how often labels of learned windows changed

    def close(
        self, group: str, period: str, rows: np.ndarray, x: np.ndarray, over: np.ndarray
    ) -> tuple[Seen, np.ndarray]:
        """Return a closed window, x and over as in ``Entry``, as the models see it, and their logits."""
        seen = self.history.push(rows, x, over)
        return seen, self.banks[group].logits(period, seen)

    def add(self, entry: Entry) -> list[Entry]:
        """Keep a window; return those that had to leave unlearned to make room."""
        self.entries.append(entry)
        self.waiting.setdefault(entry.lane, deque()).append(entry)
        self.bytes += entry.size
        self.next_number = entry.number + 1
        lost: list[Entry] = []
        while self.bytes > self._bytes_max:
            lost += self._leave()
        return lost

    def _leave(self) -> list[Entry]:
        """Let the oldest block of windows go; return those that had to go unlearned."""
        entry = self.entries[0]
        lane = self.waiting.get(entry.lane)
        if lane and lane[0] is entry:
            lane.popleft()
            self.left_unlearned += 1
            for banks in (self.base, self.banks):
                banks.history.push(entry.rows, entry.x, entry.over)
            self.bytes -= self.entries.popleft().size
            return [entry]
        waiting = lane[0].number if lane else self.next_number
        block = self._due_ms(entry)
        gone: list[Entry] = []
        while self.entries and self.entries[0].lane == entry.lane and self.entries[0].number < waiting:
            if self._due_ms(self.entries[0]) != block:
                break
            gone.append(self.entries.popleft())
            self.bytes -= gone[-1].size
        self._learn(self.base, gone)
        self.base.train(block, all_kinds=False)  # so that what is made anew of it answers from its first window
        return []

    def _due_ms(self, entry: Entry) -> int:
        """Return when a window is learned: in blocks, whose costs are shared, where it holds few entities."""
        due_ms = entry.end_ms + self._wait_ms
        return due_ms if len(entry.rows) > ALONE else -(-due_ms // BLOCK_MS) * BLOCK_MS

    def mature(self, lane: str, now_ms: int) -> list[tuple[Entry, np.ndarray]]:
        """Learn the windows of a lane whose longest horizon has passed at this event time; return them with labels."""
        return self._learn_due(self.waiting.get(lane), now_ms)

    def _learn_due(self, lane: deque[Entry] | None, now_ms: int) -> list[tuple[Entry, np.ndarray]]:
        learned: list[tuple[Entry, np.ndarray]] = []
        while lane and self._due_ms(lane[0]) <= now_ms:
            due, block = self._due_ms(lane[0]), []
            while lane and self._due_ms(lane[0]) == due:
                block.append(lane.popleft())
            learned += self._learn(self.banks, block)
        if learned:
            self.banks.train(now_ms)
        return learned

    def _learn(self, banks: Banks, entries: list[Entry]) -> list[tuple[Entry, np.ndarray]]:
        """Learn windows, those of each group and period together; return them with their labels."""
        labels = [self._labels.of(entry.entities, entry.start_ms, entry.end_ms) for entry in entries]
        parts: dict[tuple[str, str, bool], list[tuple[Entry, Seen, np.ndarray]]] = {}
        for entry, y in zip(entries, labels, strict=True):
            seen = banks.history.push(entry.rows, entry.x, entry.over)
            parts.setdefault((entry.group, entry.period, seen.has_past), []).append((entry, seen, y))
        for (group, period, _), part in parts.items():
            n = [len(entry.entities) for entry, _, _ in part]
            number = np.repeat([entry.number for entry, _, _ in part], n)
            at_ms = np.repeat([entry.end_ms for entry, _, _ in part], n)
            seen = Seen.together([seen for _, seen, _ in part])
            unknown = np.full(len(number), np.nan)
            block = Learned(seen, np.concatenate([y for _, _, y in part]), number, at_ms, unknown)
            z = np.concatenate([entry.z for entry, _, _ in part], 1).astype(float)
            banks[group].learn(period, block, z)
        return list(zip(entries, labels, strict=True))

    def touches_learned(self, entity: str, low_ms: int, high_ms: int) -> bool:
        """Whether a window of the entity that begins in [low, high] was learned and is still here."""
        unlearned = {entry.number for lane in self.waiting.values() for entry in lane}
        return any(
            low_ms <= entry.start_ms <= high_ms and entity in entry.entities and entry.number not in unlearned
            for entry in self.entries
        )

    def relearn(self) -> None:
        """Make the models anew from ``base``, with the labels known now."""
        self.relearned += 1
        before, self.banks = self.banks, self.base.copy()
        self.banks.carry(before)
        self.history = History.of(self.base.history.state())
        self.waiting = {}
        for entry in self.entries:
            lane = self.waiting.setdefault(entry.lane, deque())
            self._learn_due(lane, entry.end_ms)
            bank = self.banks[entry.group]
            z = self.close(entry.group, entry.period, entry.rows, entry.x, entry.over)[1].astype(np.float32)
            entry.z = np.where(bank.relearns[:, None, None], z, entry.z)
            lane.append(entry)

    def freeze(self) -> None:
        """Learn nothing from now on: every window waits."""
        self._wait_ms = 2**61

    def state(self) -> dict[str, Any]:
        """Return all but the entries, which are kept apart because they do not change."""
        first = self.entries[0].number if self.entries else self.next_number
        unlearned = [entry.number for lane in self.waiting.values() for entry in lane]
        state = {"banks": self.banks.state(), "base": self.base.state(), "first": first, "next": self.next_number}
        state["history"] = self.history.state()
        # After a correction the logits of stored entries are others than when they were stored.
        return state | {"unlearned": unlearned, "lost": self.left_unlearned, "relearned": self.relearned}

    def restore(self, state: dict[str, Any], entries: list[Entry]) -> None:
        self.banks.restore(state["banks"])
        self.base.restore(state["base"])
        self.history = History.of(state["history"])
        self.next_number, self.left_unlearned = state["next"], state["lost"]
        self.relearned = state["relearned"]
        unlearned = set(state["unlearned"])
        for entry in entries:
            if state["first"] <= entry.number < state["next"]:
                self.entries.append(entry)
                self.bytes += entry.size
                if entry.number in unlearned:
                    self.waiting.setdefault(entry.lane, deque()).append(entry)
