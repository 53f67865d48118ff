"""The open windows of one partition, and what late samples owe to the closed ones.

Samples wait in slices, the greatest common step of all sizes and hops; once the watermark has passed a slice it is
made into cells (one row a series), of which windows are put together, and coarser slices for the longer ones. So a
sample costs the same however many windows it belongs to. A sample also corrects every window that had closed before it
came: such corrections wait in ``stream.window.late`` and are returned as late rollups, to be merged with the stored
rows (see docs/architecture.md).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from schemas.batch import NO_ADVANCE, SampleBatch, columns
from schemas.rollup import Rollup
from stream.rollup.aggregate import aggregate, rollup_of
from stream.rollup.cells import combine
from stream.window.correction import Correction
from stream.window.counters import CounterTails
from stream.window.index import SeriesIndex
from stream.window.late import LateSamples
from stream.window.merge import merge
from stream.window.part import Part, joined
from stream.window.slices import Slice, levels_of
from stream.window.spec import WindowSpec

REQUESTS_REMEMBERED = 100_000
ROWS_FORGOTTEN_FROM = 20_000  # so many series are worth looking for ones that are gone
_NEVER = -(2**62)


class _Due(NamedTuple):
    end_ms: int
    start_ms: int
    spec: WindowSpec


class PartitionWindows:
    """State of one partition.

    specs : the windows held in memory. lateness_ms : how far the watermark stays behind the newest event time.
    is_counter : uint64[n] series ids → bool[n]; asked once a series.
    entity_of : uint64[n] series ids → int64[n] small entity numbers; None: every series is its own.
    """

    def __init__(
        self,
        specs: list[WindowSpec],
        lateness_ms: int,
        *,
        is_counter: Callable[[np.ndarray], np.ndarray],
        entity_of: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        assert specs, "BUG: no windows"
        self._specs, self._lateness_ms, self._is_counter = specs, lateness_ms, is_counter
        self._levels = levels_of(specs)
        self._slices: list[dict[int, Slice]] = [{} for _ in self._levels]
        # By level: slices that start before it were made of finer ones. The last is of no level.
        self._made_until_ms = [_NEVER] * (len(self._levels) + 1)
        self._index = SeriesIndex()
        self._tails = CounterTails()
        self.watermark_ms = _NEVER
        self.last_offset = -1
        self.repeated_samples = 0
        self._opened_from_ms = _NEVER
        self._advance_ms = _NEVER
        self._buffer: list[Part] = []
        self._waiting = 0
        self._late = LateSamples(specs, lateness_ms, entity_of or (lambda ids: ids.astype(np.int64)))
        self._requests: OrderedDict[int, None] = OrderedDict()
        self._new_requests: list[tuple[int, int]] = []

    @property
    def open(self) -> bool:
        """Whether any window is open."""
        return any(self._slices)

    @property
    def series(self) -> int:
        """How many series it knows of."""
        return len(self._index)

    @property
    def waiting(self) -> int:
        """How many samples were applied and not drained."""
        return self._waiting

    def new_requests(self) -> list[tuple[int, int]]:
        """Return (log offset, digest) of the requests taken in since the last call."""
        out, self._new_requests = self._new_requests, []
        return out

    def restore(
        self,
        watermark_ms: int,
        floor_ms: int = _NEVER,
        tails: tuple[np.ndarray, ...] | None = None,
        requests: Sequence[int] = (),
    ) -> None:
        """Go on from a checkpoint: windows that end at or before its watermark are closed.

        floor_ms : windows that start before it are not made: their samples are not all in the log any more.
        tails : (uint64 ids, float64 values, int64 ms) of counters' last samples before the floor.
        requests : digests of the last requests before the offset that is read from, oldest first.
        """
        self._requests = OrderedDict.fromkeys(requests)
        self.watermark_ms, self._opened_from_ms = watermark_ms, floor_ms
        if tails is not None and len(tails[0]):
            ids, values, times_ms = tails
            rows = self._rows_of(np.asarray(ids, np.uint64))
            self._tails.restore(rows, np.asarray(values), np.asarray(times_ms))

    def checkpoint(self) -> tuple[int, int, int]:
        """Return (resume_offset, floor_ms, watermark_ms): every sample not yet in a returned rollup is at or after it.

        Call it after ``drain``; what was returned before must be durable before the checkpoint is.
        """
        assert not self._buffer, "BUG: checkpoint before drain"
        offsets = (s.offset for slices in self._slices for s in slices.values())
        resume = min(offsets, default=self.last_offset + 1)
        resume = min(resume, self._late.resume_offset(resume))
        return resume, self._floor_ms(), self.watermark_ms

    def apply(self, offset: int, batch: SampleBatch) -> int:
        """Take in one record of the log; return how many samples it added. Raises ValueError on torn columns."""
        got = columns(batch)
        part = Part(got.ids, got.times, got.values, np.full(len(got.ids), offset, np.int64))
        if any(digest for digest, _ in batch.requests):
            part = part.where(self._first_time(batch.requests, len(part.ids), offset))
        if len(part.ids):
            self._buffer.append(part)
            self._waiting += len(part.ids)
        if batch.advance_ms != NO_ADVANCE:
            self._advance_ms = max(self._advance_ms, batch.advance_ms)
        self.last_offset = offset
        return len(part.ids)

    def _first_time(self, requests: list[tuple[int, int]], n: int, offset: int) -> np.ndarray:
        keep, at = np.ones(n, bool), 0
        for digest, count in requests:
            if digest and digest in self._requests:
                keep[at : at + count] = False
                self.repeated_samples += count
            elif digest:
                self._requests[digest] = None
                self._new_requests.append((offset, digest))
                if len(self._requests) > REQUESTS_REMEMBERED:
                    self._requests.popitem(last=False)
            at += count
        return keep

    def drain(self) -> list[Rollup]:
        """Place what was applied, advance the watermark, return the windows that closed, by their end."""
        newest = _NEVER
        if self._buffer:
            part, self._buffer, self._waiting = joined(self._buffer), [], 0
            newest = int(part.times.max())
            if int(part.times.min()) < self.watermark_ms:
                late = part.where(part.times < self.watermark_ms)
                self._late.add(late, self.watermark_ms)
            self._place(part)
        before = self.watermark_ms
        self.watermark_ms = max(before, newest - self._lateness_ms, self._advance_ms)
        return self._close_between(before) if self.watermark_ms > before else []

    def _floor_ms(self, level: int | None = None) -> int:
        """The start of the oldest window that is still open, of a level or of all."""
        if self.watermark_ms == _NEVER:
            return _NEVER
        specs = self._specs if level is None else self._levels[level].specs
        return min((self.watermark_ms - s.size_ms) // s.hop_ms * s.hop_ms + s.hop_ms for s in specs)

    def _rows_of(self, ids: np.ndarray) -> np.ndarray:
        known = len(self._index)
        rows = self._index.rows_of(ids)
        if len(self._index) > known:
            self._tails.add(self._is_counter(self._index.ids[known:]))
        return rows

    def _place(self, part: Part) -> None:
        """Put samples into slices: the finest, and every coarser one that was made before they came."""
        rows = self._rows_of(part.ids)
        for number, level in enumerate(self._levels):
            starts = part.times // level.step_ms * level.step_ms
            wanted = self._wanted(number, part.times)
            if wanted is None:
                self._add(number, starts, rows, part)
            elif wanted.any():
                self._add(number, starts[wanted], rows[wanted], part.where(wanted))

    def _wanted(self, number: int, times: np.ndarray) -> np.ndarray | None:
        """Return which samples belong into a level's slices, None for all of them.

        Those that a window of the level still needs, and those that a coarser slice is yet to be made of; but what a
        coarser slice was made of already goes into it at once.
        """
        wanted = times >= self._floor_ms(number)
        if number + 1 < len(self._levels):
            wanted |= (times >= self._made_until_ms[number + 1]) & (times >= self._floor_ms())
        if number > 0:
            wanted &= times < self._made_until_ms[number]
        return None if wanted.all() else wanted

    def _add(self, number: int, starts: np.ndarray, rows: np.ndarray, part: Part) -> None:
        if int(starts.min()) == int(starts.max()):
            groups: list[tuple[int, np.ndarray | slice]] = [(int(starts[0]), slice(None))]
        else:
            order = np.argsort(starts, kind="stable")
            found, at = np.unique(starts[order], return_index=True)
            groups = list(zip(found.tolist(), np.split(order, at[1:]), strict=True))
        for start, mine in groups:
            one = self._slices[number].get(start)
            if one is None:
                one = self._slices[number][start] = Slice(start)
                one.counted = start < self._made_until_ms[number + 1]
            one.add(rows[mine], part.times[mine], part.values[mine], int(part.offsets[mine].min()))
            if one.full:
                one.fold(self._tails.counters, bridge=True)

    def _close_between(self, before_ms: int) -> list[Rollup]:
        """Return the windows whose end lies in (before_ms, watermark]; forget slices no open window needs."""
        out: list[tuple[_Due, Rollup]] = []
        for number, level in enumerate(self._levels):
            slices = self._slices[number]
            for start in sorted(s for s in slices if s + level.step_ms <= self.watermark_ms):
                self._seal(number, slices[start])
            for due in self._due(number, before_ms):
                found = (slices.get(at) for at in range(due.start_ms, due.end_ms, level.step_ms))
                blocks = [one.cells for one in found if one is not None and one.cells is not None]
                cells = combine(due.start_ms, blocks, bridge=False, ordered=True)
                starts = np.full(len(cells.rows), due.start_ms)
                ids = self._index.ids[cells.rows]
                made = rollup_of(
                    due.spec.name, due.spec.size_ms, starts, cells, ids, version=self.last_offset, late=False
                )
                out.append((due, made))
            self._make_coarser(number)
        self._forget_rows()
        return [rollup for _, rollup in sorted(out, key=lambda one: (one[0].end_ms, one[0].spec.size_ms))]

    def _seal(self, number: int, one: Slice) -> None:
        """Make cells of a slice that the watermark has passed."""
        one.fold(self._tails.counters, bridge=not one.sealed)
        if number == 0 and not one.sealed and one.cells is not None:
            one.cells = self._tails.bridge(one.cells)
        one.sealed = True

    def _due(self, number: int, before_ms: int) -> list[_Due]:
        due: set[_Due] = set()
        for slice_ms in self._slices[number]:
            for spec in self._levels[number].specs:
                start = slice_ms // spec.hop_ms * spec.hop_ms
                while start + spec.size_ms > slice_ms:
                    if before_ms < start + spec.size_ms <= self.watermark_ms and start >= self._opened_from_ms:
                        due.add(_Due(start + spec.size_ms, start, spec))
                    start -= spec.hop_ms
        return sorted(due)

    def _make_coarser(self, number: int) -> None:
        """Put slices together to the next level's, where the watermark has passed those; forget what nobody needs."""
        slices, floor_ms = self._slices[number], self._floor_ms(number)
        if number + 1 == len(self._levels):
            for start in [s for s in slices if s < floor_ms]:
                del slices[start]
            return
        step, coarser = self._levels[number + 1].step_ms, self._slices[number + 1]
        made_until = self._made_until_ms[number + 1] = self.watermark_ms // step * step
        groups: dict[int, list[Slice]] = {}
        for start in sorted(slices):
            if start < made_until and not slices[start].counted:
                groups.setdefault(start // step * step, []).append(slices[start])
        for start, parts in groups.items():
            cells = combine(start, [p.cells for p in parts if p.cells is not None], bridge=False, ordered=True)
            target = coarser.setdefault(start, Slice(start))
            target.take(cells, min(p.offset for p in parts))
            for part in parts:
                part.counted = True
        for start in [s for s in slices if s < floor_ms and s < made_until]:
            del slices[start]

    def _forget_rows(self) -> None:
        """Forget series that no open window holds, once they are most."""
        if len(self._index) < ROWS_FORGOTTEN_FROM or len(self._index) < 2 * self._tails.kept:
            return
        live = [rows for slices in self._slices for one in slices.values() for rows in one.live_rows()]
        rows = np.unique(np.concatenate(live)) if live else np.zeros(0, np.int64)
        self._tails.kept = max(len(rows), ROWS_FORGOTTEN_FROM // 2)
        if len(rows) * 2 > len(self._index):
            return
        new_rows = self._index.keep(rows)
        self._tails.keep(rows)
        for slices in self._slices:
            for one in slices.values():
                one.move(new_rows)

    @property
    def late_due(self) -> bool:
        """Whether so many late samples came that ``close_late`` is due at once."""
        return self._late.due

    @property
    def late_full(self) -> bool:
        """Whether so many late samples wait that ``close_late`` must not wait for their windows to be complete."""
        return self._late.full

    def close_late(self, *, everything: bool = False) -> list[Correction]:
        """Return the corrections that are due, at most one a definition, to be made with the stored rows.

        Each is made by ``corrected``; everything returned by ``drain`` before must be durable by then. A history that
        streams in waits for its own windows to be complete (see LateSamples); ``everything`` does not wait.
        """
        released = self._late.release(everything=everything)
        return [Correction(spec, part, starts, self.last_offset) for spec, part, starts in released]

    def corrected(self, owed: Correction, stored: dict[str, Any]) -> Rollup | None:
        """Return the stored rows with the samples that they do not hold yet added; None where they hold them all.

        stored : as in stream.window.merge, with the column ``version``.
        """
        owed = owed.beyond(stored)
        if not len(owed.starts):
            return None
        spec, part, counters = owed.spec, owed.part, self._is_counter(owed.part.ids)
        columns_of = (owed.starts, part.ids, part.times, part.values)
        late = aggregate(spec.name, spec.size_ms, *columns_of, counters=counters, version=owed.version, late=True)
        return merge(late, stored)
