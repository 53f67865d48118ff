"""Seeded streams of records, what plain Python makes of them, and a table as the store keeps it."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from schemas.rollup import Rollup
from schemas.window_spec import parse_rollup
from stream.rollup import samples as sparse
from stream.window import index, partition, slices

SPECS = [parse_rollup(name) for name in ("10s", "1m", "1m/20s", "5m/1m", "6m")]
NUMBERS = ("count", "sum", "min", "max", "sumsq", "first", "last", "first_ms", "last_ms", "increase")


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

    def save(self, checkpoint, version):
        if self.checkpoint is None or self.checkpoint[3] <= version:
            self.checkpoint = (*checkpoint, version)


def stream(rng: random.Random):
    """Records of (id, ms, value), mostly in order, some late, some far behind, some sent again."""
    clock, records, sent = rng.randrange(-100_000, 100_000), [], []
    for _ in range(rng.randrange(5, 60)):
        clock += rng.choice([0, 500, 3000, 9000, rng.randrange(200_000)])
        samples = []
        for _ in range(rng.randrange(1, 12)):
            behind = rng.choice([0, 0, 0, rng.randrange(4000), rng.randrange(30_000), rng.randrange(300_000)])
            samples.append((rng.randrange(4), clock - behind, rng.choice([0.0, rng.uniform(-5, 100)])))
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


def check(table: Table, want: dict) -> None:
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
