"""Seeded streams of records, what plain Python makes of them, and a table as the store keeps it."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from unittest.mock import patch

import numpy as np

from schemas.rollup import Rollup
from schemas.window_spec import parse_rollup
from stream.rollup import samples as sparse
from stream.window import index, partition, slices
from stream.window.counters import LOOK_BACK_MS

SPECS = [parse_rollup(name) for name in ("10s", "1m", "1m/20s", "5m/1m", "6m")]
NUMBERS = ("count", "sum", "min", "max", "sumsq", "first", "last", "first_ms", "last_ms", "increase")
NUMBERS += ("p50", "p95", "p99")


@contextmanager
def small_limits() -> Iterator[None]:
    """Series are forgotten, slices folded before they close and blocks of rows full with a handful already."""
    small = [(partition, "ROWS_FORGOTTEN_FROM", 2), (slices, "FOLD_SAMPLES", 5), (slices, "FOLD_EACH", 1)]
    small += [(index, "BLOCK_ROWS", 2), (index, "ENTITIES_UNTIL", 1), (sparse, "SPARSE_MAX", 2)]
    with ExitStack() as stack:
        for module, name, value in small:
            stack.enter_context(patch.object(module, name, value))
        yield


class Table:
    """As ReplacingMergeTree(version): of the rows with one key the highest version stays."""

    def __init__(self):
        self.rows = {}
        self.checkpoint = None

    def write(self, rollups: list[Rollup]) -> None:
        for r in rollups:
            for i, series in enumerate(r.ids.tolist()):
                key = (r.rollup, series, int(r.start_ms[i]))
                if key not in self.rows or self.rows[key]["version"] <= r.version:
                    at = slice(r.sketch_offsets[i], r.sketch_offsets[i + 1])
                    row = {name: getattr(r, name)[i] for name in NUMBERS} | {"version": r.version}
                    self.rows[key] = row | {"sketch_keys": r.sketch_keys[at], "sketch_counts": r.sketch_counts[at]}

    def read(self, rollup, ids, starts):
        pairs = [p for p in zip(ids.tolist(), starts.tolist(), strict=True) if (rollup, *p) in self.rows]
        names = (*NUMBERS, "version", "sketch_keys", "sketch_counts")
        found = {"series_id": [i for i, _ in pairs], "start_ms": [s for _, s in pairs]}
        return found | {name: [self.rows[rollup, *p][name] for p in pairs] for name in names}

    def around(self, rollup, ids, starts, reach_ms):
        """Return the rows of these series from reach_ms before the first to reach_ms after the last, as the store."""
        low, high, wanted = int(starts.min()) - reach_ms, int(starts.max()) + reach_ms, set(ids.tolist())
        near = [key for key in self.rows if key[0] == rollup and key[1] in wanted and low <= key[2] <= high]
        columns = {"series_id": [key[1] for key in near], "start_ms": [key[2] for key in near]}
        return columns | {name: [self.rows[key][name] for key in near] for name in (*NUMBERS, "version")}

    def tails(self, floor_ms):
        """Return (ids, values, ms) of each counter's last sample before ``floor_ms``, as the store tells them."""
        sizes, last = {spec.name: spec.size_ms for spec in SPECS}, {}
        for (rollup, series, start), row in self.rows.items():
            within = start >= floor_ms - LOOK_BACK_MS and start + sizes[rollup] <= floor_ms
            if (
                within
                and not math.isnan(row["increase"])
                and row["last_ms"] >= last.get(series, (0, floor_ms - 2**60))[1]
            ):
                last[series] = float(row["last"]), int(row["last_ms"])
        values, ms = ([one[n] for one in last.values()] for n in (0, 1))
        return np.array(list(last), np.uint64), np.array(values), np.array(ms, np.int64)

    def save(self, checkpoint, version):
        if self.checkpoint is None or self.checkpoint[3] <= version:
            self.checkpoint = (*checkpoint, version)


def counted(at_ms: int) -> float:
    """Return what counters that never fall have at a time."""
    return float(at_ms // 700 + 10_000)


def value_of(seed: int) -> Callable[[int], float] | None:
    """Return what every second seed's series have at a time, so that what counters rise by is checked as well."""
    return counted if seed % 2 else None


def stream(rng: random.Random, value: Callable[[int], float] | None = None):
    """Records of (id, ms, value), mostly in order, some late, some far behind, some sent again.

    value : what each series is at a time, and then the first record is before all others, and none is silent for
        longer than the look-back of counters; None: anything.
    """
    clock, records, sent = rng.randrange(-100_000, 100_000), [], []
    if value is not None:
        first = [(series, clock - before, value(clock - before)) for before in (310_000, 90_000) for series in range(4)]
        records = [(rng.randrange(1, 2**60), first)]
    for _ in range(rng.randrange(5, 60)):
        clock += rng.choice([0, 500, 3000, 9000, rng.randrange(200_000)])
        samples = [] if value is None else [(series, clock, value(clock)) for series in range(4)]
        for _ in range(rng.randrange(1, 12)):
            behind = rng.choice([0, 0, 0, rng.randrange(4000), rng.randrange(30_000), rng.randrange(300_000)])
            series, at, any_value = rng.randrange(4), clock - behind, rng.choice([0.0, rng.uniform(-5, 100)])
            samples.append((series, at, any_value if value is None else value(at)))
        digest = rng.randrange(1, 2**60)
        records.append((digest, samples))
        sent.append((digest, samples))
        if rng.random() < 0.1:
            records.append(rng.choice(sent[-5:]))
    return records


def expected(records):
    seen, out = set(), defaultdict(list)
    for digest, samples in records:
        if digest in seen:
            continue
        seen.add(digest)
        for series, at, value in samples:
            for spec in SPECS:
                start = at // spec.hop_ms * spec.hop_ms
                while start + spec.size_ms > at:
                    out[spec.name, series, start].append((at, value))
                    start -= spec.hop_ms
    return out


def check(table: Table, want: dict, *, rises: bool = False) -> None:
    """Hold the table to what is expected. ``rises``: counters too, whose values were ``counted``."""
    assert set(table.rows) == set(want)
    for key, samples in want.items():
        row, values = table.rows[key], [v for _, v in samples]
        assert row["count"] == len(values), key
        assert (row["min"], row["max"]) == (min(values), max(values)), key
        assert math.isclose(row["sum"], math.fsum(values), rel_tol=1e-9, abs_tol=1e-9), key
        mean = math.fsum(values) / len(values)
        assert math.isclose(row["sumsq"], math.fsum((v - mean) ** 2 for v in values), rel_tol=1e-6, abs_tol=1e-6), key
        assert row["first_ms"] == min(t for t, _ in samples), key
        assert row["last_ms"] == max(t for t, _ in samples), key
        assert sum(row["sketch_counts"]) == len(values), key
    if rises:
        check_increase(table, want)


def check_increase(table: Table, want: dict) -> None:
    """Counters that never fall: each window holds what every sample rose from the one before, late or not."""
    times = defaultdict(set)
    for (_, series, _), samples in want.items():
        times[series] |= {at for at, _ in samples}
    rises: dict[tuple[int, int], float] = {}
    for series, every in times.items():
        for before, at in pairwise(sorted(every)):
            rises[series, at] = counted(at) - counted(before) if at - before <= LOOK_BACK_MS else 0.0
    for key, samples in want.items():
        if key[1] % 2 == 1:
            rise = sum(rises.get((key[1], at), 0.0) for at in {at for at, _ in samples})
            assert math.isclose(table.rows[key]["increase"], rise, abs_tol=1e-6), (key, table.rows[key], rise)
        else:
            assert math.isnan(table.rows[key]["increase"]), key
