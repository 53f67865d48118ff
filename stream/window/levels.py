"""Slices at each level of coarseness, and the windows that are put together from them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import gcd
from typing import NamedTuple

import numpy as np

from schemas.window_spec import WindowSpec
from stream.rollup.cells import Cells, combine
from stream.rollup.samples import Piece, Samples
from stream.window.counters import CounterTails
from stream.window.part import Part
from stream.window.slices import Slice

NEVER = -(2**62)


class Level(NamedTuple):
    """Slices of one length, which divides the size and hop of every definition that is put together from them."""

    step_ms: int
    specs: tuple[WindowSpec, ...]


class Due(NamedTuple):
    """A window that closes."""

    end_ms: int
    start_ms: int
    spec: WindowSpec


def levels_of(specs: Sequence[WindowSpec]) -> list[Level]:
    """Return the levels, fine to coarse; each definition is put together from the coarsest slices that fit.

    So a window of five minutes is not made of thirty slices of ten seconds but of five of a minute, each made once.

    >>> from schemas.window_spec import parse_rollup
    >>> [(l.step_ms, [s.name for s in l.specs]) for l in levels_of([parse_rollup(n) for n in ("10s", "1m", "5m/1m")])]
    [(10000, ['10s']), (60000, ['1m', '5m/1m'])]
    """
    by_size = sorted(specs, key=lambda spec: spec.size_ms)
    steps = [gcd(*(n for s in by_size[i:] for n in (s.size_ms, s.hop_ms))) for i in range(len(by_size))]
    return [
        Level(step, tuple(s for s, its in zip(by_size, steps, strict=True) if its == step))
        for step in sorted(set(steps))
    ]


class SliceLevels:
    """What open windows hold of each series, by level, slice and block of rows."""

    def __init__(self, specs: Sequence[WindowSpec], tails: CounterTails) -> None:
        self._specs, self._tails = tuple(specs), tails
        self._levels = levels_of(specs)
        self._slices: list[dict[int, Slice]] = [{} for _ in self._levels]
        # By level: slices that start before it were made of finer ones. The last is of no level.
        self._made_until_ms = [NEVER] * (len(self._levels) + 1)
        self._sealed_until_ms = NEVER  # counters' rises to samples before it have been counted
        self._closed = False  # once: until then what is before a checkpoint is only what was before it

    def __iter__(self) -> Iterator[Slice]:
        for slices in self._slices:
            yield from slices.values()

    def __bool__(self) -> bool:
        return any(self._slices)

    def floor_ms(self, watermark_ms: int, level: int | None = None) -> int:
        """Return the start of the oldest window that is still open, of a level or of all."""
        if watermark_ms == NEVER:
            return NEVER
        specs = self._specs if level is None else self._levels[level].specs
        return min((watermark_ms - s.size_ms) // s.hop_ms * s.hop_ms + s.hop_ms for s in specs)

    def restore(self, floor_ms: int) -> None:
        """Begin with slices from ``floor_ms`` on: what was before is sealed."""
        self._sealed_until_ms = floor_ms

    def place(self, part: Part, rows: np.ndarray, series: int, watermark_ms: int) -> Part | None:
        """Put samples into slices: the finest, and every coarser one that was made before they came. Return counters'
        samples that are out of turn, if any.

        series : how many are known.
        """
        rises, out_of_turn = self._rises(part, rows)
        for number, level in enumerate(self._levels):
            starts = part.times // level.step_ms * level.step_ms
            wanted = self._wanted(number, part.times, watermark_ms)
            if wanted is None:
                self._add(number, starts, rows, part, rises, series)
            elif wanted.any():
                mine = None if rises is None else rises[wanted]
                self._add(number, starts[wanted], rows[wanted], part.where(wanted), mine, series)
        return out_of_turn

    def _rises(self, part: Part, rows: np.ndarray) -> tuple[np.ndarray | None, Part | None]:
        """Return what samples that come after their slice was sealed rise by, and those that are out of turn."""
        if self._tails.counters is None or int(part.times.min()) >= self._sealed_until_ms:
            return None, None
        behind = part.times < self._sealed_until_ms
        late = part.where(behind)
        rises = np.full(len(rows), np.nan)
        rises[behind], out_of_turn = self._tails.late(rows[behind], late)
        return rises, late.where(out_of_turn) if self._closed and out_of_turn.any() else None

    def _wanted(self, number: int, times: np.ndarray, watermark_ms: int) -> np.ndarray | None:
        """Return which samples belong into a level's slices, None for all of them.

        Those that a window of the level still needs, and those that a coarser slice is yet to be made of; but what a
        coarser slice was made of already goes into it at once.
        """
        wanted = times >= self.floor_ms(watermark_ms, number)
        if number + 1 < len(self._levels):
            wanted |= (times >= self._made_until_ms[number + 1]) & (times >= self.floor_ms(watermark_ms))
        if number > 0:
            wanted &= times < self._made_until_ms[number]
        return None if wanted.all() else wanted

    def _add(
        self, number: int, starts: np.ndarray, rows: np.ndarray, part: Part, rises: np.ndarray | None, series: int
    ) -> None:
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
                one.sealed = start < self._sealed_until_ms
            risen = rises[mine] if rises is not None and one.sealed else None
            one.add(rows[mine], part.times[mine], part.values[mine], int(part.offsets[mine].min()), risen)
            if one.full(series):
                one.fold(self._tails.counters, bridge=not one.sealed)

    def close(self, before_ms: int, watermark_ms: int, opened_from_ms: int) -> Iterator[tuple[Due, int, Cells]]:
        """Yield (window, block, its cells) of each window whose end lies in (before_ms, watermark], by level and end.

        Of windows that end together the shorter come first, block by block; those that start before
        ``opened_from_ms`` are left out. Slices that no open window needs are forgotten.
        """
        self._closed, finest_ms = True, self._levels[0].step_ms
        self._sealed_until_ms = max(self._sealed_until_ms, watermark_ms // finest_ms * finest_ms)
        for number, level in enumerate(self._levels):
            slices = self._slices[number]
            for start in sorted(s for s in slices if s + level.step_ms <= watermark_ms):
                self._seal(number, slices[start])
            due = self._due(number, before_ms, watermark_ms, opened_from_ms)
            for _, together in groupby(due, key=lambda one: one.end_ms):
                yield from self._put_together(number, list(together))
            self._make_coarser(number, watermark_ms)
            for one in slices.values():
                if number:
                    one.pack(Piece)
                elif one.sealed:  # cells of the finest are soon put together again, with those of the next slice
                    one.pack(Samples)

    def _seal(self, number: int, one: Slice) -> None:
        """Fold a slice that the watermark has passed."""
        one.fold(self._tails.counters, bridge=not one.sealed)
        if number == 0 and not one.sealed:
            for block, piece in one.pieces():
                one.put(block, self._tails.bridge(block, piece))
        one.sealed = True

    def _due(self, number: int, before_ms: int, watermark_ms: int, opened_from_ms: int) -> list[Due]:
        level, due = self._levels[number], set[Due]()
        if before_ms // level.step_ms == watermark_ms // level.step_ms:  # of which every end is a multiple
            return []
        for slice_ms in self._slices[number]:
            for spec in level.specs:
                start = slice_ms // spec.hop_ms * spec.hop_ms
                while start + spec.size_ms > slice_ms:
                    if before_ms < start + spec.size_ms <= watermark_ms and start >= opened_from_ms:
                        due.add(Due(start + spec.size_ms, start, spec))
                    start -= spec.hop_ms
        return sorted(due, key=lambda one: (one.end_ms, -one.start_ms))

    def _put_together(self, number: int, together: list[Due]) -> Iterator[tuple[Due, int, Cells]]:
        """Put windows together that end at once, short to long: each is the one before and the slices before that."""
        step_ms, begin, parts = self._levels[number].step_ms, together[0].end_ms, []
        for due in together:
            found = (self._slices[number].get(at) for at in range(due.start_ms, begin, step_ms))
            parts.append((due, [one for one in found if one is not None]))
            begin = due.start_ms
        for block in sorted({block for _, slices in parts for one in slices for block in one.blocks}):
            whole: Cells | None = None
            for due, slices in parts:
                cells = [piece.cells() for one in slices if (piece := one.piece(block)) is not None]
                if whole is not None:
                    cells.append(whole)
                if cells:
                    whole = combine(due.start_ms, cells, bridge=False, in_order=True)
                    yield due, block, whole

    def _make_coarser(self, number: int, watermark_ms: int) -> None:
        """Put slices together to the next level's, where the watermark has passed those; forget what nobody needs."""
        slices, floor_ms = self._slices[number], self.floor_ms(watermark_ms, number)
        if number + 1 == len(self._levels):
            for start in [s for s in slices if s < floor_ms]:
                del slices[start]
            return
        step, coarser = self._levels[number + 1].step_ms, self._slices[number + 1]
        made_until = self._made_until_ms[number + 1] = watermark_ms // step * step
        groups: dict[int, list[Slice]] = {}
        for start in sorted(slices):
            if start < made_until and not slices[start].counted:
                groups.setdefault(start // step * step, []).append(slices[start])
        for start, parts in groups.items():
            target = coarser.setdefault(start, Slice(start))
            for block in sorted({block for part in parts for block in part.blocks}):
                pieces = [piece for part in parts if (piece := part.piece(block)) is not None]
                target.take(block, pieces, in_order=True)
            target.offset = min(target.offset, *(part.offset for part in parts))
            for part in parts:
                part.counted = True
        for start in [s for s in slices if s < floor_ms and s < made_until]:
            del slices[start]
