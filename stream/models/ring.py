"""The newest scored windows with their features, so that a label that comes late or is corrected can be learned.

Windows wait here until their longest horizon has passed, then they are learned, once. They stay until memory runs out;
only then do they leave for good, into ``base``. When a label of a window that was learned already changes, the models
are made anew: from ``base``, over the ring, each window scored by what was known at its close and learned when its
horizon had passed, as it would have been with the right label. So a correction is exact as far back as the ring goes.
A kind whose training cannot be repeated (``Kind.relearns``) keeps what it knows and what it said at each close, and
goes on with the right labels.

Where windows would have to leave before they were learned, less is kept of each instead: a sample of its entities (see
``sampling``), half as many whenever memory runs out; the entities whose sequences are looked at, which need every
window, become fewer. So something is learned of every window, however many entities there are.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from stream.features.superimposed import channel
from stream.models.bank import Banks
from stream.models.base import Learned, Seen
from stream.models.entry import Entry
from stream.models.history import ENTITIES_MAX, History, alone
from stream.models.labels import Labels
from stream.models.sampling import Peaks, share_for

BLOCK_MS = 600_000
ALONE = 200  # a window of more entities is learned by itself
ROWS_MIN, ROWS_MAX = 16, 1 << 20  # so many entities a window keeps at least, where it is a sample, and at most
FOLLOWED_MIN = 8


class Ring:
    def __init__(self, banks: Banks, labels: Labels, bytes_max: int, wait_ms: int, hop_ms: int) -> None:
        """wait_ms : how long after its end a window is learned; hop_ms : from a window to the next."""
        self.banks, self._labels, self._bytes_max, self._wait_ms = banks, labels, bytes_max, wait_ms
        self._windows = 1 + (wait_ms + BLOCK_MS) // hop_ms  # that wait at a time
        self.base = banks.copy()
        self.history = History()  # of the windows that were scored
        self.entries: deque[Entry] = deque()
        self.waiting: dict[str, deque[Entry]] = {}
        self.bytes, self.waiting_bytes = 0, 0
        self.rows_max: int | None = None  # of a window's entities with features; None: all
        self.followed = ENTITIES_MAX  # entities, by number, whose sequences are looked at
        self._peaks = Peaks()
        self.next_number = 0
        self.left_unlearned = 0  # windows of an entity that had to leave before their horizon had passed
        self.relearned = 0  # how often labels of learned windows changed
        self.rewritten = 0  # how often entries changed that may have been stored

    def close(
        self, group: str, period: str, rows: np.ndarray, x: np.ndarray, over: np.ndarray
    ) -> tuple[Seen, np.ndarray]:
        """Return a closed window, as the models see it, and their logits.

        x : float16[n, features]; over : float16[n, metrics * channels]; the entities are followed, or none of them is.
        """
        followed = bool(rows[0] < self.followed)
        seen = self.history.push(rows, x, over) if followed else alone(x, over)
        return seen, self.banks[group].logits(period, seen)

    def add(self, entry: Entry) -> list[Entry]:
        """Keep a window; return those that had to leave unlearned to make room."""
        if not entry.followed:
            entry.peak = self._peaks.step(entry.rows, entry.score, entry.p, entry.start_ms)
            if self.rows_max is not None and self.waiting_bytes < self._bytes_max // 4:
                self.rows_max = 2 * self.rows_max if self.rows_max < ROWS_MAX else None
            self._thin(entry)
        self.entries.append(entry)
        self.waiting.setdefault(entry.lane, deque()).append(entry)
        self.bytes += entry.size
        self.waiting_bytes += entry.size
        self.next_number = entry.number + 1
        lost: list[Entry] = []
        while self.bytes > self._bytes_max:
            if not self._oldest_waits() or 4 * self.waiting_bytes < 3 * self._bytes_max or not self._keep_less():
                lost += self._leave()
        return lost

    def _oldest_waits(self) -> bool:
        lane = self.waiting.get(self.entries[0].lane)
        return lane is not None and len(lane) > 0 and lane[0] is self.entries[0]

    def _thin(self, entry: Entry) -> bool:
        if self.rows_max is None or 2 * len(entry.kept) <= 3 * self.rows_max:  # a sample is not as large to a row
            return False
        share = share_for(entry.worth, self.rows_max)
        entry.thin(share if np.isinf(entry.share) else entry.share / 2)
        return True

    def _keep_less(self) -> bool:
        """Keep less of each window that waits; return False where no less is to be had."""
        waiting = [entry for lane in self.waiting.values() for entry in lane]
        followed = [entry for entry in waiting if entry.followed]
        most = max((len(entry.kept) for entry in waiting if not entry.followed), default=0)
        last = max((int(entry.rows.max()) for entry in followed), default=0)
        fewer, less = last >= FOLLOWED_MIN, 2 * most > 3 * ROWS_MIN
        size = sum(entry.size for entry in followed)
        if fewer and (not less or 2 * size > self._bytes_max):
            rows = sum(len(entry.rows) for entry in followed)
            fit = self._bytes_max * rows // (2 * size * self._windows)  # in half the room, once all windows wait
            self.followed = max(min(fit, min(last + 1, self.followed) * 3 // 4), FOLLOWED_MIN)
            parts = {id(entry): self._parted(entry) for entry in followed}
            self.entries = _with_parts(self.entries, parts)
            self.waiting = {name: _with_parts(lane, parts) for name, lane in self.waiting.items()}
        elif less:
            self.rows_max = max(min(most, self.rows_max or most) // 2, ROWS_MIN)
            for entry in waiting:
                while not entry.followed and self._thin(entry):
                    pass
        else:
            return False
        self.rewritten += 1
        self._weigh()
        return True

    def _parted(self, entry: Entry) -> list[Entry]:
        """Return a window of followed entities as one of those that are still followed, and one of the others."""
        stays = entry.rows < self.followed
        if stays.all():
            return [entry]
        rest = entry.only(~stays)
        rest.followed = False
        rest.over = channel(rest.over, "excess").copy()
        rest.peak = self._peaks.step(rest.rows, rest.score, rest.p, rest.start_ms)
        return [entry.only(stays), rest] if stays.any() else [rest]

    def _weigh(self) -> None:
        self.bytes = sum(entry.size for entry in self.entries)
        self.waiting_bytes = sum(entry.size for lane in self.waiting.values() for entry in lane)

    def _leave(self) -> list[Entry]:
        """Let the oldest block of windows go; return those that had to go unlearned."""
        entry = self.entries[0]
        lane = self.waiting.get(entry.lane)
        lost: list[Entry] = []
        while lane and lane[0] is self.entries[0] and lane[0].number == entry.number:
            lost.append(lane.popleft())
            self.left_unlearned += len(lost[-1].kept)
            for banks in (self.base, self.banks):
                _seen(banks, lost[-1])
            self.bytes -= self.entries.popleft().size
            self.waiting_bytes -= lost[-1].size
        if lost:
            return lost
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
        return due_ms if entry.count > ALONE else -(-due_ms // BLOCK_MS) * BLOCK_MS

    def mature(self, lane: str, now_ms: int) -> list[tuple[Entry, np.ndarray]]:
        """Learn the windows of a lane whose longest horizon has passed at this event time; return them with labels."""
        return self._learn_due(self.waiting.get(lane), now_ms)

    def _learn_due(self, lane: deque[Entry] | None, now_ms: int) -> list[tuple[Entry, np.ndarray]]:
        learned: list[tuple[Entry, np.ndarray]] = []
        while lane and self._due_ms(lane[0]) <= now_ms:
            due, block = self._due_ms(lane[0]), []
            while lane and self._due_ms(lane[0]) == due:
                block.append(lane.popleft())
                self.waiting_bytes -= block[-1].size
            learned += self._learn(self.banks, block)
        if learned:
            self.banks.train(now_ms)
        return learned

    def _learn(self, banks: Banks, entries: list[Entry]) -> list[tuple[Entry, np.ndarray]]:
        """Learn windows, those of each group and period together; return them with their labels."""
        labels = [self._labels.of(entry.entities, entry.start_ms, entry.end_ms) for entry in entries]
        parts: dict[tuple[str, str, bool], list[tuple[Entry, Seen, np.ndarray]]] = {}
        for entry, y in zip(entries, labels, strict=True):
            seen = _seen(banks, entry)
            if len(entry.kept):
                parts.setdefault((entry.group, entry.period, seen.has_past), []).append((entry, seen, y[entry.kept]))
        for (group, period, _), part in parts.items():
            n = [len(entry.kept) for entry, _, _ in part]
            number = np.repeat([entry.number for entry, _, _ in part], n)
            at_ms = np.repeat([entry.end_ms for entry, _, _ in part], n)
            seen = Seen.together([seen for _, seen, _ in part])
            unknown = np.full(len(number), np.nan)
            weight = np.concatenate([entry.weight for entry, _, _ in part])
            block = Learned(seen, np.concatenate([y for _, _, y in part]), number, at_ms, unknown, weight)
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
        self.rewritten += 1
        before, self.banks = self.banks, self.base.copy()
        self.banks.carry(before)
        self.history = History.of(self.base.history.state())
        self.waiting = {}
        for entry in self.entries:
            lane = self.waiting.setdefault(entry.lane, deque())
            self._learn_due(lane, entry.end_ms)
            bank = self.banks[entry.group]
            seen = _seen(self, entry)
            if len(entry.kept):
                z = bank.logits(entry.period, seen).astype(np.float32)
                entry.z = np.where(bank.relearns[:, None, None], z, entry.z)
            lane.append(entry)
        self._weigh()

    def freeze(self) -> None:
        """Learn nothing from now on: every window waits."""
        self._wait_ms = 2**61

    def state(self) -> dict[str, Any]:
        """Return all but the entries, which are kept apart because they do not change."""
        first = self.entries[0].number if self.entries else self.next_number
        unlearned = [entry.number for lane in self.waiting.values() for entry in lane]
        state = {"banks": self.banks.state(), "base": self.base.state(), "first": first, "next": self.next_number}
        state |= {"history": self.history.state(), "peaks": self._peaks.state()}
        state |= {"rows_max": self.rows_max, "followed": self.followed, "rewritten": self.rewritten}
        # After a correction the logits of stored entries are others than when they were stored.
        return state | {"unlearned": unlearned, "lost": self.left_unlearned, "relearned": self.relearned}

    def restore(self, state: dict[str, Any], entries: list[Entry]) -> None:
        self.banks.restore(state["banks"])
        self.base.restore(state["base"])
        self.history = History.of(state["history"])
        self.next_number, self.left_unlearned = state["next"], state["lost"]
        self.relearned, self.rewritten = state["relearned"], state["rewritten"]
        self.rows_max, self.followed = state["rows_max"], state["followed"]
        self._peaks = Peaks.of(state["peaks"])
        unlearned = set(state["unlearned"])
        for entry in entries:
            if state["first"] <= entry.number < state["next"]:
                self.entries.append(entry)
                if entry.number in unlearned:
                    self.waiting.setdefault(entry.lane, deque()).append(entry)
        self._weigh()


def _with_parts(entries: deque[Entry], parts: dict[int, list[Entry]]) -> deque[Entry]:
    return deque(part for entry in entries for part in parts.get(id(entry), (entry,)))


def _seen(of: Banks | Ring, entry: Entry) -> Seen:
    """Return what the models see of an entry, with the past that led to it; call it for each, in order."""
    if entry.followed:
        return of.history.push(entry.rows, entry.x, entry.over)
    return Seen(entry.x, np.zeros((len(entry.x), 1, 0, 0), np.float16))
