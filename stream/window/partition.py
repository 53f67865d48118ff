"""The open windows of one partition, and what late samples owe to the closed ones.

Samples are kept by slice, the greatest common step of all sizes and hops, until no open window needs them; a window
that closes is aggregated over its slices. A sample also corrects every window that had closed before it came: such
corrections wait in ``stream.window.late`` and are returned as late rollups, to be merged with the stored rows
(see docs/architecture.md).
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from math import gcd

import numpy as np

from schemas.batch import NO_ADVANCE, SampleBatch, columns
from schemas.rollup import Rollup
from stream.rollup.aggregate import aggregate
from stream.window.late import LateSamples
from stream.window.part import Part, joined
from stream.window.spec import WindowSpec

REQUESTS_REMEMBERED = 100_000
_NEVER = -(2**62)

VersionsOf = Callable[[str, np.ndarray, np.ndarray], np.ndarray]


class PartitionWindows:
    """State of one partition.

    specs : the windows held in memory. lateness_ms : how far the watermark stays behind the newest event time.
    is_counter : uint64[n] series ids → bool[n].
    recovered_until, versions_of : after a restart, samples at offsets up to ``recovered_until`` may be in stored rows
        already; ``versions_of(rollup, ids, starts)`` gives the stored rows' versions, -1 where there is none.
    entity_of : uint64[n] series ids → int64[n] small entity numbers; None: every series is its own.
    """

    def __init__(
        self,
        specs: list[WindowSpec],
        lateness_ms: int,
        *,
        is_counter: Callable[[np.ndarray], np.ndarray],
        recovered_until: int = -1,
        versions_of: VersionsOf | None = None,
        entity_of: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        assert specs, "BUG: no windows"
        self._specs, self._lateness_ms, self._is_counter = specs, lateness_ms, is_counter
        self._recovered_until, self._versions_of = recovered_until, versions_of
        self._step_ms = gcd(*(s.size_ms for s in specs), *(s.hop_ms for s in specs))
        self.watermark_ms = _NEVER
        self.last_offset = -1
        self.repeated_samples = 0
        self._advance_ms = _NEVER
        self._buffer: list[Part] = []
        self._slices: dict[int, list[Part]] = defaultdict(list)
        self._late = LateSamples(specs, lateness_ms, entity_of or (lambda ids: ids.astype(np.int64)))
        self._requests: OrderedDict[int, None] = OrderedDict()

    @property
    def open_samples(self) -> int:
        """How many samples open windows hold."""
        return sum(len(part.ids) for parts in self._slices.values() for part in parts)

    def restore(self, watermark_ms: int) -> None:
        """Go on from a checkpoint: windows that end at or before its watermark are closed."""
        self.watermark_ms = watermark_ms

    def checkpoint(self) -> tuple[int, int, int]:
        """Return (resume_offset, floor_ms, watermark_ms): every sample not yet in a returned rollup is at or after it.

        Call it after ``drain``; what was returned before must be durable before the checkpoint is.
        """
        assert not self._buffer, "BUG: checkpoint before drain"
        parts = [part for parts in self._slices.values() for part in parts]
        resume = min((int(part.offsets.min()) for part in parts), default=self.last_offset + 1)
        resume = min(resume, self._late.resume_offset(resume))
        return resume, self._floor_ms(), self.watermark_ms

    def apply(self, offset: int, batch: SampleBatch) -> int:
        """Take in one record of the log; return how many samples it added. Raises ValueError on torn columns."""
        got = columns(batch)
        part = Part(got.ids, got.times, got.values, np.full(len(got.ids), offset, np.int64))
        if any(digest for digest, _ in batch.requests):
            part = part.where(self._first_time(batch.requests, len(part.ids)))
        if len(part.ids):
            self._buffer.append(part)
        if batch.advance_ms != NO_ADVANCE:
            self._advance_ms = max(self._advance_ms, batch.advance_ms)
        self.last_offset = offset
        return len(part.ids)

    def _first_time(self, requests: list[tuple[int, int]], n: int) -> np.ndarray:
        keep, at = np.ones(n, bool), 0
        for digest, count in requests:
            if digest and digest in self._requests:
                keep[at : at + count] = False
                self.repeated_samples += count
            elif digest:
                self._requests[digest] = None
                if len(self._requests) > REQUESTS_REMEMBERED:
                    self._requests.popitem(last=False)
            at += count
        return keep

    def drain(self) -> list[Rollup]:
        """Place what was applied, advance the watermark, return the windows that closed."""
        newest = _NEVER
        if self._buffer:
            part, self._buffer = joined(self._buffer), []
            newest = int(part.times.max())
            if int(part.times.min()) < self.watermark_ms:
                late = part.where(part.times < self.watermark_ms)
                self._late.add(late, self.watermark_ms)
            part = part.where(part.times >= self._floor_ms())
            if len(part.ids):
                self._place(part)
        before = self.watermark_ms
        self.watermark_ms = max(before, newest - self._lateness_ms, self._advance_ms)
        return self._close_between(before) if self.watermark_ms > before else []

    def _floor_ms(self) -> int:
        """The start of the oldest window that is still open."""
        if self.watermark_ms == _NEVER:
            return _NEVER
        return min((self.watermark_ms - s.size_ms) // s.hop_ms * s.hop_ms + s.hop_ms for s in self._specs)

    def _place(self, part: Part) -> None:
        numbers = part.times // self._step_ms
        order = np.argsort(numbers, kind="stable")
        found, starts = np.unique(numbers[order], return_index=True)
        for number, rows in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
            self._slices[number * self._step_ms].append(part.where(rows))

    def _close_between(self, before_ms: int) -> list[Rollup]:
        """Return the windows whose end lies in (before_ms, watermark], by end; forget slices no open window needs."""
        due: set[tuple[int, int, int]] = set()
        for slice_ms in self._slices:
            for index, spec in enumerate(self._specs):
                start = slice_ms // spec.hop_ms * spec.hop_ms
                while start + spec.size_ms > slice_ms:
                    if before_ms < start + spec.size_ms <= self.watermark_ms:
                        due.add((start + spec.size_ms, index, start))
                    start -= spec.hop_ms
        out = []
        for end_ms, index, start_ms in sorted(due):
            inside = range(start_ms, end_ms, self._step_ms)
            parts = [part for slice_ms in inside for part in self._slices.get(slice_ms, ())]
            part = joined(parts)
            out.append(self._rollup(self._specs[index], np.full(len(part.ids), start_ms), part, late=False))
        floor_ms = self._floor_ms()
        for slice_ms in [s for s in self._slices if s < floor_ms]:
            del self._slices[slice_ms]
        return out

    @property
    def late_due(self) -> bool:
        """Whether so many late samples came that ``close_late`` is due at once."""
        return self._late.due

    @property
    def late_full(self) -> bool:
        """Whether so many late samples wait that ``close_late`` must not wait for their windows to be complete."""
        return self._late.full

    def close_late(self, *, everything: bool = False) -> list[Rollup]:
        """Return the corrections that are due, at most one rollup a definition, to be merged with the stored rows.

        Everything returned before must be durable by now. A history that streams in waits for its own windows to be
        complete (see LateSamples); ``everything`` does not wait.
        """
        out = []
        for spec, part, starts in self._late.release(everything=everything):
            part, starts = self._not_yet_stored(spec.name, part, starts)
            if len(part.ids):
                out.append(self._rollup(spec, starts, part, late=True))
        return out

    def _not_yet_stored(self, rollup: str, part: Part, starts: np.ndarray) -> tuple[Part, np.ndarray]:
        """Leave out samples that stored rows cover: only after a restart can there be any."""
        if self._versions_of is None or not len(starts) or int(part.offsets.min()) > self._recovered_until:
            return part, starts
        covered = self._versions_of(rollup, part.ids, starts) >= part.offsets
        keep = ~(covered & (part.offsets <= self._recovered_until))
        return part.where(keep), starts[keep]

    def _rollup(self, spec: WindowSpec, starts: np.ndarray, part: Part, *, late: bool) -> Rollup:
        return aggregate(
            spec.name,
            spec.size_ms,
            starts,
            part.ids,
            part.times,
            part.values,
            counters=self._is_counter(part.ids),
            version=self.last_offset,
            late=late,
        )
