"""Samples that came after windows they belong to had closed, until those windows are corrected.

A straggler corrects its windows at the next release. A whole history that streams in (a replay, a host that was cut
off) is late as well, against the partition's watermark; so that its windows are corrected once and whole and not
piece by piece, each entity has a watermark of its own here: newest late event time - lateness. A window is released
when that passes its end, or when nothing late of the entity has come for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from schemas.window_spec import WindowSpec
from stream.window.part import Part, joined

DUE_SAMPLES = 50_000  # so many new ones make a release due at once
LATE_SAMPLES_MAX = 500_000
QUIET_RELEASES = 2
_NEVER = -(2**62)
_ALL = 2**62


class LateSamples:
    """Bounded by LATE_SAMPLES_MAX: when ``due``, the caller releases; when ``full`` still, everything."""

    def __init__(
        self, specs: list[WindowSpec], lateness_ms: int, entity_of: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self._specs, self._lateness_ms, self._entity_of = specs, lateness_ms, entity_of
        self._new: list[tuple[int, Part]] = []
        self._waiting: Part | None = None
        self._closed = np.zeros(0, np.int64)  # windows that end at or before it are owed a correction
        self._done = np.zeros(0, np.int64)  # …of which those that end at or before it have had it
        self._newest: dict[int, int] = {}
        self._quiet: dict[int, int] = {}
        self._count = self._fresh = 0

    @property
    def due(self) -> bool:
        return self._fresh > DUE_SAMPLES

    @property
    def full(self) -> bool:
        return self._count > LATE_SAMPLES_MAX

    def add(self, part: Part, watermark_ms: int) -> None:
        """Take samples in; windows that end at or before the watermark had closed without them."""
        self._new.append((watermark_ms, part))
        self._count += len(part.ids)
        self._fresh += len(part.ids)

    def resume_offset(self, otherwise: int) -> int:
        """Return the lowest log offset of a waiting sample."""
        parts = [part for _, part in self._new] + ([] if self._waiting is None else [self._waiting])
        return min((int(part.offsets.min()) for part in parts if len(part.ids)), default=otherwise)

    def release(self, *, everything: bool = False) -> Iterator[tuple[WindowSpec, Part, np.ndarray]]:
        """Yield (definition, samples, int64 window starts) of the corrections that are due, a pair a window."""
        if not self._count:
            return
        fresh = joined([part for _, part in self._new]) if self._new else None
        if fresh is not None:
            closed = np.concatenate([np.full(len(part.ids), watermark) for watermark, part in self._new])
            part = fresh if self._waiting is None else joined([self._waiting, fresh])
            self._closed = np.concatenate([self._closed, closed])
            self._done = np.concatenate([self._done, np.full(len(fresh.ids), _NEVER)])
        else:
            assert self._waiting is not None, "BUG: counted but not kept"
            part = self._waiting
        self._new, self._fresh = [], 0
        entities = self._entity_of(part.ids)
        upto = self._upto(entities, part.times, 0 if fresh is None else len(fresh.ids), everything)
        owed_until = np.minimum(self._closed, upto)
        last_end = np.full(len(part.ids), _NEVER)
        for spec in self._specs:
            newest_start = part.times // spec.hop_ms * spec.hop_ms
            np.maximum(last_end, newest_start + spec.size_ms, out=last_end)
            for back in range(0, spec.size_ms, spec.hop_ms):
                ends = newest_start - back + spec.size_ms
                due = (ends <= owed_until) & (ends > self._done)
                if back == 0:
                    rows, starts = [np.flatnonzero(due)], [newest_start[due]]
                elif due.any():
                    rows.append(np.flatnonzero(due))
                    starts.append(newest_start[due] - back)
            at = np.concatenate(rows)
            if len(at):
                yield spec, part.where(at), np.concatenate(starts)
        keep = np.minimum(last_end, self._closed) > upto
        self._waiting = part.where(keep) if keep.any() else None
        self._closed, self._done = self._closed[keep], upto[keep]
        self._count = int(keep.sum())

    def _upto(self, entities: np.ndarray, times: np.ndarray, fresh: int, everything: bool) -> np.ndarray:
        """Return int64[n]: each sample's windows that end at or before it are complete."""
        if everything:
            self._newest.clear()
            self._quiet.clear()
            return np.full(len(entities), _ALL)
        active = set()
        if fresh:
            unique, at = np.unique(entities[-fresh:], return_inverse=True)
            newest = np.full(len(unique), _NEVER)
            np.maximum.at(newest, at, times[-fresh:])
            for entity, newest_ms in zip(unique.tolist(), newest.tolist(), strict=True):
                self._newest[entity] = max(self._newest.get(entity, _NEVER), newest_ms)
                active.add(entity)
        unique, at = np.unique(entities, return_inverse=True)
        upto = np.empty(len(unique), np.int64)
        for i, entity in enumerate(unique.tolist()):
            self._quiet[entity] = 0 if entity in active else self._quiet.get(entity, 0) + 1
            upto[i] = self._newest[entity] - self._lateness_ms
            if self._quiet[entity] >= QUIET_RELEASES:
                upto[i] = _ALL
                self._newest.pop(entity), self._quiet.pop(entity)
        return upto[at]
