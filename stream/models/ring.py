"""The newest scored windows with their features, so that a label that comes late or is corrected can be learned.

Windows wait here until their longest horizon has passed, then they are learned, once. They stay until memory runs out;
only then do they leave for good, into ``base``. When a label of a window that was learned already changes, the models
are made anew: from ``base``, over the ring, each window scored by what was known at its close and learned when its
horizon had passed, as it would have been with the right label. So a correction is exact as far back as the ring goes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.models.bank import Bank
from stream.models.labels import Labels


@dataclass(slots=True)
class Entry:
    """One scored window of some entities. ``lane`` : "" live, else the history that it came with."""

    number: int
    lane: str
    start_ms: int
    end_ms: int
    period: str
    entities: list[str]
    x: np.ndarray  # float16[n, features]
    z: np.ndarray  # float32[2, n, heads], logits at the close
    flag: np.ndarray  # bool[n]

    @property
    def size(self) -> int:
        return self.x.nbytes + self.z.nbytes + 200 + 80 * len(self.entities)


class Ring:
    def __init__(self, bank: Bank, labels: Labels, bytes_max: int, wait_ms: int) -> None:
        """wait_ms : how long after its end a window is learned."""
        self.bank, self._labels, self._bytes_max, self._wait_ms = bank, labels, bytes_max, wait_ms
        self.base = bank.copy()
        self.entries: deque[Entry] = deque()
        self.waiting: dict[str, deque[Entry]] = {}
        self.bytes = 0
        self.next_number = 0
        self.left_unlearned = 0  # windows that had to leave before their horizon had passed
        self.relearned = 0  # how often labels of learned windows changed

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.waiting.setdefault(entry.lane, deque()).append(entry)
        self.bytes += entry.size
        self.next_number = entry.number + 1
        while self.bytes > self._bytes_max:
            self._leave(self.entries.popleft())

    def _leave(self, entry: Entry) -> None:
        self.bytes -= entry.size
        lane = self.waiting.get(entry.lane)
        if lane and lane[0] is entry:
            lane.popleft()
            self.left_unlearned += 1
        else:
            self._learn(self.base, entry)

    def mature(self, lane: str, now_ms: int) -> None:
        """Learn the windows of a lane whose longest horizon has passed at this event time."""
        _learn_due(self.waiting.get(lane), self.bank, now_ms, self._wait_ms, self._learn)

    def _learn(self, bank: Bank, entry: Entry) -> None:
        y = self._labels.of(entry.entities, entry.start_ms, entry.end_ms)
        bank.learn(entry.period, entry.x.astype(float), y, entry.z.astype(float))

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
        self.bank = self.base.copy()
        self.waiting = {}
        for entry in self.entries:
            lane = self.waiting.setdefault(entry.lane, deque())
            _learn_due(lane, self.bank, entry.end_ms, self._wait_ms, self._learn)
            entry.z = self.bank.logits(entry.period, entry.x.astype(float)).astype(np.float32)
            lane.append(entry)

    def state(self) -> dict[str, Any]:
        """Return all but the entries, which are kept apart because they do not change."""
        first = self.entries[0].number if self.entries else self.next_number
        unlearned = [entry.number for lane in self.waiting.values() for entry in lane]
        state = {"bank": self.bank.state(), "base": self.base.state(), "first": first, "next": self.next_number}
        # After a correction the logits of stored entries are others than when they were stored.
        return state | {"unlearned": unlearned, "lost": self.left_unlearned, "relearned": self.relearned}

    def restore(self, state: dict[str, Any], entries: list[Entry], heads: int, middle: int) -> None:
        self.bank, self.base = (Bank.of(heads, middle, state[name]) for name in ("bank", "base"))
        self.next_number, self.left_unlearned = state["next"], state["lost"]
        self.relearned = state["relearned"]
        unlearned = set(state["unlearned"])
        for entry in entries:
            if state["first"] <= entry.number < state["next"]:
                self.entries.append(entry)
                self.bytes += entry.size
                if entry.number in unlearned:
                    self.waiting.setdefault(entry.lane, deque()).append(entry)


def _learn_due(lane: deque[Entry] | None, bank: Bank, now_ms: int, wait_ms: int, learn: Any) -> None:
    while lane and lane[0].end_ms + wait_ms <= now_ms:
        learn(bank, lane.popleft())
