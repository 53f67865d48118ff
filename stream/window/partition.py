"""The open windows of one partition, and what late samples owe to the closed ones.

Samples wait in slices, the greatest common step of all sizes and hops; once the watermark has passed a slice it is
folded, and windows are put together from slices, and coarser slices for the longer ones (``levels``). So a sample
costs the same however many windows it belongs to. A sample also corrects every window that had closed before it
came: such corrections wait in ``stream.window.late`` and are returned as late rollups, to be merged with the stored
rows (see docs/architecture.md).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from schemas.batch import NO_ADVANCE, SampleBatch, columns
from schemas.rollup import Rollup
from schemas.window_spec import WindowSpec
from stream.rollup.aggregate import aggregate, rollup_of
from stream.rollup.cells import Cells
from stream.window.correction import Correction
from stream.window.counters import CounterTails
from stream.window.index import SeriesIndex, block_rows
from stream.window.late import LateSamples
from stream.window.levels import NEVER, Due, SliceLevels
from stream.window.merge import merge, rollups_of, with_increase
from stream.window.part import Part, joined
from stream.window.stragglers import Stragglers

REQUESTS_REMEMBERED = 100_000
ROWS_FORGOTTEN_FROM = 20_000  # so many series are worth looking for ones that are gone


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
        self._index = SeriesIndex(entity_of)
        self._tails = CounterTails()
        self._slices = SliceLevels(specs, self._tails)
        self._draining = False
        self.watermark_ms = NEVER
        self.last_offset = -1
        self.repeated_samples = 0
        self._opened_from_ms = NEVER
        self._advance_ms = NEVER
        self._buffer: list[Part] = []
        self._waiting = 0
        self._stragglers = Stragglers(max(spec.size_ms for spec in specs))
        self._late = LateSamples(specs, lateness_ms, entity_of or (lambda ids: ids.astype(np.int64)))
        self._requests: OrderedDict[int, None] = OrderedDict()
        self._new_requests: list[tuple[int, int]] = []

    @property
    def open(self) -> bool:
        """Whether any window is open."""
        return bool(self._slices)

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
        floor_ms: int = NEVER,
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
        self._slices.restore(floor_ms)
        if tails is not None and len(tails[0]):
            ids, values, times_ms = tails
            rows = self._rows_of(np.asarray(ids, np.uint64))
            self._tails.restore(rows, np.asarray(values), np.asarray(times_ms))

    def checkpoint(self) -> tuple[int, int, int]:
        """Return (resume_offset, floor_ms, watermark_ms): every sample not yet in a returned rollup is at or after it.

        Call it after ``drain``; what was returned before must be durable before the checkpoint is.
        """
        assert not self._buffer and not self._draining, "BUG: checkpoint before drain"
        resume = min((one.offset for one in self._slices), default=self.last_offset + 1)
        resume = min(resume, self._late.resume_offset(resume))
        return resume, self._slices.floor_ms(self.watermark_ms), self.watermark_ms

    def apply(self, offset: int, batch: SampleBatch) -> tuple[Part, np.ndarray]:
        """Take in one record of the log; return the samples it added, none of a request that came before, and which of
        the record's they are (int64[n]).

        Raises ValueError on torn columns, and then nothing has changed.
        """
        got = columns(batch)
        part, numbers = Part(*got, np.full(len(got.ids), offset, np.int64)), np.arange(len(got.ids))
        if any(digest for digest, _ in batch.requests):
            first_time = self._first_time(batch.requests, len(part.ids), offset)
            part, numbers = part.where(first_time), numbers[first_time]
        if len(part.ids):
            self._buffer.append(part)
            self._waiting += len(part.ids)
        if batch.advance_ms != NO_ADVANCE:
            self._advance_ms = max(self._advance_ms, batch.advance_ms)
        self.last_offset = offset
        return part, numbers

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

    def drain(self) -> Iterator[Rollup]:
        """Place what was applied, advance the watermark, yield the windows that closed, by level and end.

        A window of many series comes in parts, one after another or between those of windows that end with it; all
        series of an entity are in one part (SeriesIndex). Go on to the end: only then ``checkpoint`` may be called.
        """
        self._draining, newest = True, NEVER
        if self._buffer:
            part, self._buffer, self._waiting = joined(self._buffer), [], 0
            newest = int(part.times.max())
            if int(part.times.min()) < self.watermark_ms:
                late = part.where(part.times < self.watermark_ms)
                self._late.add(late, self.watermark_ms)
            out_of_turn = self._slices.place(part, self._rows_of(part.ids), len(self._index), self.watermark_ms)
            if out_of_turn is not None:
                self._stragglers.add(out_of_turn, self.watermark_ms)
        before = self.watermark_ms
        self.watermark_ms = max(before, newest - self._lateness_ms, self._advance_ms)
        if self.watermark_ms > before:
            for due, block, cells in self._slices.close(before, self.watermark_ms, self._opened_from_ms):
                yield self._rollup(due, block, cells)
            self._forget_rows()
        self._draining = False

    def _rows_of(self, ids: np.ndarray) -> np.ndarray:
        rows = self._index.rows_of(ids)
        if len(new := self._index.take_new()):
            self._tails.add(new, self._is_counter(self._index.ids[new]), self._index.span)
        return rows

    def _rollup(self, due: Due, block: int, cells: Cells) -> Rollup:
        starts = np.full(len(cells.rows), due.start_ms)
        ids = self._index.ids[block_rows(block, cells.rows)]
        closed = rollup_of(due.spec.name, due.spec.size_ms, starts, cells, ids, version=self.last_offset, late=False)
        closed.increase = self._stragglers.increase(closed)
        return closed

    def _forget_rows(self) -> None:
        """Forget series that no open window holds, once they are most."""
        if len(self._index) < ROWS_FORGOTTEN_FROM or len(self._index) < 2 * self._tails.kept:
            return
        live = np.zeros(self._index.span, bool)
        for one in self._slices:
            for rows in one.live_rows():
                live[rows] = True
        rows = np.flatnonzero(live)
        self._tails.kept = max(len(rows), ROWS_FORGOTTEN_FROM // 2)
        if len(rows) * 2 > len(self._index):
            return
        moved = self._index.keep(rows)
        self._tails.keep(rows, moved, self._index.span)
        for one in self._slices:
            one.move(moved)

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

    def around(self, owed: Correction, fresh: Correction) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return bool[n], which samples of ``fresh`` are counters', and uint64 ids and int64 starts of windows around
        which stored rows may have to change, as ``Correction.risen`` tells.

        fresh : the correction without what is stored already. The windows of this may be right, and one that follows
            closed once more since: after a restart, before its late sample came again.
        """
        counters, again = self._is_counter(fresh.part.ids), self._stragglers.of(owed.part.ids)
        return (
            counters,
            np.concatenate([fresh.part.ids[counters], owed.part.ids[again]]),
            np.concatenate([fresh.starts[counters], owed.starts[again]]),
        )

    def corrected(self, owed: Correction, stored: dict[str, Any]) -> list[Rollup]:
        """Return the stored rows with the samples that they do not hold yet added, and before them stored rows that are
        another's neighbours now; none where they hold them all.

        stored : the correction's ``rows``, as in stream.window.merge, with the column ``version``.
        """
        owed = owed.beyond(stored)
        stored, others = with_increase(stored, owed.increase, owed.neighbours())
        if not len(owed.starts):
            return list(rollups_of(owed.spec, others))
        spec, part = owed.spec, owed.part
        columns_of = (owed.starts, part.ids, part.times, part.values)
        none = np.zeros(len(part.ids), bool)
        late = aggregate(spec.name, spec.size_ms, *columns_of, counters=none, version=owed.version, late=True)
        if (added := owed.added()) is not None:
            late.increase = added
        return [*rollups_of(spec, others), merge(late, stored)]
