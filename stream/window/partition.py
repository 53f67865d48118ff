"""The open windows of one partition, and what late samples owe to the closed ones.

Samples are kept by slice, the greatest common step of all sizes and hops, until no open window needs them; a window
that closes is aggregated over its slices. A sample also corrects every window that had closed before it came: such
corrections are gathered and returned as late rollups, to be merged with the stored rows (see docs/architecture.md).
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from math import gcd
from typing import NamedTuple

import numpy as np

from schemas.batch import NO_ADVANCE, SampleBatch, columns
from schemas.rollup import Rollup
from stream.rollup.aggregate import aggregate
from stream.window.spec import WindowSpec

REQUESTS_REMEMBERED = 100_000
LATE_SAMPLES_MAX = 500_000
_NEVER = -(2**62)

VersionsOf = Callable[[str, np.ndarray, np.ndarray], np.ndarray]


class _Part(NamedTuple):
    ids: np.ndarray  # uint64[n]
    times: np.ndarray  # int64[n]
    values: np.ndarray  # float64[n]
    offsets: np.ndarray  # int64[n], the log offset each sample came with

    def where(self, mask: np.ndarray) -> _Part:
        return _Part(self.ids[mask], self.times[mask], self.values[mask], self.offsets[mask])


def _joined(parts: list[_Part]) -> _Part:
    return parts[0] if len(parts) == 1 else _Part(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class PartitionWindows:
    """State of one partition.

    specs : the windows held in memory. lateness_ms : how far the watermark stays behind the newest event time.
    is_counter : uint64[n] series ids → bool[n].
    recovered_until, versions_of : after a restart, samples at offsets up to ``recovered_until`` may be in stored rows
        already; ``versions_of(rollup, ids, starts)`` gives the stored rows' versions, -1 where there is none.
    """

    def __init__(
        self,
        specs: list[WindowSpec],
        lateness_ms: int,
        *,
        is_counter: Callable[[np.ndarray], np.ndarray],
        recovered_until: int = -1,
        versions_of: VersionsOf | None = None,
    ) -> None:
        assert specs, "BUG: no windows"
        self._specs, self._lateness_ms, self._is_counter = specs, lateness_ms, is_counter
        self._recovered_until, self._versions_of = recovered_until, versions_of
        self._step_ms = gcd(*(s.size_ms for s in specs), *(s.hop_ms for s in specs))
        self.watermark_ms = _NEVER
        self.last_offset = -1
        self.repeated_samples = 0
        self._advance_ms = _NEVER
        self._buffer: list[_Part] = []
        self._slices: dict[int, list[_Part]] = defaultdict(list)
        self._late: list[tuple[int, _Part]] = []  # (watermark when they came, samples)
        self._late_count = 0
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
        parts = [part for parts in self._slices.values() for part in parts] + [part for _, part in self._late]
        resume = min((int(part.offsets.min()) for part in parts), default=self.last_offset + 1)
        return resume, self._floor_ms(), self.watermark_ms

    def apply(self, offset: int, batch: SampleBatch) -> int:
        """Take in one record of the log; return how many samples it added. Raises ValueError on torn columns."""
        got = columns(batch)
        part = _Part(got.ids, got.times, got.values, np.full(len(got.ids), offset, np.int64))
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
            part, self._buffer = _joined(self._buffer), []
            newest = int(part.times.max())
            if int(part.times.min()) < self.watermark_ms:
                late = part.where(part.times < self.watermark_ms)
                self._late.append((self.watermark_ms, late))
                self._late_count += len(late.ids)
            part = part.where(part.times >= self._floor_ms())
            if len(part.ids):
                self._place(part)
        before = self.watermark_ms
        self.watermark_ms = max(before, newest - self._lateness_ms, self._advance_ms)
        out = self._close_between(before) if self.watermark_ms > before else []
        if self._late_count > LATE_SAMPLES_MAX:
            out += self.close_late()
        return out

    def _floor_ms(self) -> int:
        """The start of the oldest window that is still open."""
        if self.watermark_ms == _NEVER:
            return _NEVER
        return min((self.watermark_ms - s.size_ms) // s.hop_ms * s.hop_ms + s.hop_ms for s in self._specs)

    def _place(self, part: _Part) -> None:
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
            out.append(self._rollup(self._specs[index].name, start_ms, end_ms, _joined(parts), late=False))
        floor_ms = self._floor_ms()
        for slice_ms in [s for s in self._slices if s < floor_ms]:
            del self._slices[slice_ms]
        return out

    def close_late(self) -> list[Rollup]:
        """Return the corrections gathered so far, to be merged with the stored rows."""
        waiting, self._late, self._late_count = self._late, [], 0
        by_window: dict[tuple[int, int, int], list[_Part]] = defaultdict(list)
        for watermark_ms, part in waiting:
            for index, spec in enumerate(self._specs):
                newest_start = part.times // spec.hop_ms * spec.hop_ms
                for back in range(0, spec.size_ms, spec.hop_ms):
                    starts = newest_start - back
                    owed = part.where(starts + spec.size_ms <= watermark_ms)
                    starts = starts[starts + spec.size_ms <= watermark_ms]
                    owed, starts = self._not_yet_stored(spec.name, owed, starts)
                    for start in np.unique(starts).tolist():
                        by_window[start + spec.size_ms, index, start].append(owed.where(starts == start))
        return [
            self._rollup(self._specs[index].name, start_ms, end_ms, _joined(parts), late=True)
            for (end_ms, index, start_ms), parts in sorted(by_window.items(), key=lambda item: item[0])
        ]

    def _not_yet_stored(self, rollup: str, part: _Part, starts: np.ndarray) -> tuple[_Part, np.ndarray]:
        """Leave out samples that stored rows cover: only after a restart can there be any."""
        if self._versions_of is None or not len(starts) or int(part.offsets.min()) > self._recovered_until:
            return part, starts
        covered = self._versions_of(rollup, part.ids, starts) >= part.offsets
        keep = ~(covered & (part.offsets <= self._recovered_until))
        return part.where(keep), starts[keep]

    def _rollup(self, name: str, start_ms: int, end_ms: int, part: _Part, *, late: bool) -> Rollup:
        return aggregate(
            name,
            start_ms,
            end_ms,
            part.ids,
            part.times,
            part.values,
            counters=self._is_counter(part.ids),
            version=self.last_offset,
            late=late,
        )
