"""Slices: the spans that windows are put together from, at one level of coarseness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import gcd
from typing import NamedTuple

import numpy as np

from stream.rollup import sketch
from stream.rollup.cells import Cells, cells_of, combine
from stream.window.spec import WindowSpec

FOLD_SAMPLES = 400_000  # a slice that holds so many raw samples makes cells of them before it closes


class Level(NamedTuple):
    """Slices of one length, which divides the size and hop of every definition that is put together from them."""

    step_ms: int
    specs: tuple[WindowSpec, ...]


def levels_of(specs: Sequence[WindowSpec]) -> list[Level]:
    """Return the levels, fine to coarse; each definition is put together from the coarsest slices that fit.

    So a window of five minutes is not made of thirty slices of ten seconds but of five of a minute, each made once.

    >>> from stream.window.spec import parse_rollup
    >>> [(l.step_ms, [s.name for s in l.specs]) for l in levels_of([parse_rollup(n) for n in ("10s", "1m", "5m/1m")])]
    [(10000, ['10s']), (60000, ['1m', '5m/1m'])]
    """
    by_size = sorted(specs, key=lambda spec: spec.size_ms)
    steps = [gcd(*(n for s in by_size[i:] for n in (s.size_ms, s.hop_ms))) for i in range(len(by_size))]
    return [
        Level(step, tuple(s for s, its in zip(by_size, steps, strict=True) if its == step))
        for step in sorted(set(steps))
    ]


class Slice:
    """Samples of ``[start_ms, start_ms + step_ms)``: as they came, and cells of those that were folded."""

    __slots__ = ("_raw", "_waiting", "cells", "counted", "offset", "sealed", "start_ms")

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self.offset = 2**62  # the lowest log offset in it
        self.cells: Cells | None = None
        self.counted = False  # its cells are in a coarser slice
        self.sealed = False  # the watermark has passed it
        self._raw: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._waiting = 0

    def add(self, rows: np.ndarray, times_ms: np.ndarray, values: np.ndarray, offset: int) -> None:
        """Take samples in; ``offset`` is the lowest of theirs."""
        self._raw.append((rows, (times_ms - self.start_ms).astype(np.int32), values))
        self._waiting += len(rows)
        self.offset = min(self.offset, offset)

    @property
    def full(self) -> bool:
        return self._waiting > FOLD_SAMPLES

    def fold(self, counters: np.ndarray | None, *, bridge: bool) -> None:
        """Make cells of what waits. ``bridge``: it follows, in time, what was folded before."""
        if not self._raw:
            return
        rows, times_ms, values = (
            np.concatenate(c) if len(self._raw) > 1 else c[0] for c in zip(*self._raw, strict=True)
        )
        fresh = cells_of(self.start_ms, rows, times_ms, values, counters)
        self._raw, self._waiting = [], 0
        self.take(fresh, self.offset, bridge=bridge)

    def take(self, cells: Cells, offset: int, *, bridge: bool = False) -> None:
        """Take cells in."""
        blocks = [cells] if self.cells is None else [self.cells, cells]
        self.cells = combine(self.start_ms, blocks, bridge=bridge, ordered=False)
        self.offset = min(self.offset, offset)

    def live_rows(self) -> list[np.ndarray]:
        return [raw[0] for raw in self._raw] + ([] if self.cells is None else [self.cells.rows])

    def move(self, new_rows: np.ndarray) -> None:
        """Replace every row by ``new_rows[row]``."""
        self._raw = [(new_rows[rows], times, values) for rows, times, values in self._raw]
        if self.cells is not None:
            entries = sketch.moved(self.cells.entries, new_rows)
            self.cells = replace(self.cells, rows=new_rows[self.cells.rows], entries=entries)
