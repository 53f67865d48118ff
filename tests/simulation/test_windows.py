"""Random streams with late and repeated records and crashes against plain Python; a seed replays exactly."""

from __future__ import annotations

import math
import random
from collections import defaultdict

import numpy as np
import pytest

from schemas.batch import make_batch
from schemas.rollup import Rollup
from stream.window import partition, slices
from stream.window.merge import merge
from stream.window.partition import PartitionWindows
from stream.window.spec import parse_rollup

SPECS = [parse_rollup(name) for name in ("10s", "1m", "1m/20s", "5m/1m", "6m")]
NUMBERS = ("count", "sum", "min", "max", "sumsq", "first", "last", "first_ms", "last_ms", "increase")


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
        names = (*NUMBERS, "sketch_keys", "sketch_counts")
        found = {"series_id": [i for i, _ in pairs], "start_ms": [s for _, s in pairs]}
        return found | {name: [self.rows[rollup, *p][name] for p in pairs] for name in names}

    def versions(self, rollup, ids, starts):
        pairs = zip(ids.tolist(), starts.tolist(), strict=True)
        return np.array([self.rows.get((rollup, i, s), {"version": -1})["version"] for i, s in pairs])


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


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    """Series are forgotten, and slices folded before they close, with a handful of samples already."""
    monkeypatch.setattr(partition, "ROWS_FORGOTTEN_FROM", 2)
    monkeypatch.setattr(slices, "FOLD_SAMPLES", 5)


def run(seed: int, *, crashes: bool) -> tuple[Table, dict]:
    rng = random.Random(seed)
    records, table = stream(rng), Table()
    # Repeats are told by the requests seen since the resume offset, so they are left out where the state is lost.
    if crashes:
        records = list({digest: (digest, samples) for digest, samples in records}.values())

    def fresh(until):
        windows = PartitionWindows(
            SPECS,
            5000,
            is_counter=lambda ids: ids % 2 == 1,
            recovered_until=until,
            versions_of=table.versions if until >= 0 else None,
            entity_of=lambda ids: (ids // 2).astype(np.int64),
        )
        if table.checkpoint:
            windows.restore(table.checkpoint[2], table.checkpoint[1])
        return windows

    def store(rollups):
        table.write([merge(r, table.read(r.rollup, r.ids, r.start_ms)) if r.late else r for r in rollups])

    windows, offset, highest = fresh(-1), 0, -1
    while offset < len(records):
        for _ in range(rng.randrange(1, 6)):
            if offset < len(records):
                digest, samples = records[offset]
                ids, times, values = zip(*samples, strict=True)
                requests = [(digest, len(samples))]
                batch = make_batch([], np.array(ids), np.array(times), np.array(values), requests=requests)
                windows.apply(offset, batch)
                highest = max(highest, offset)
                offset += 1
        before = windows.watermark_ms
        store(windows.drain())
        assert windows.watermark_ms >= before
        if rng.random() < 0.5:
            # Each correction is written before the next is merged, as the worker does; a crash may fall in between.
            late = windows.close_late(everything=rng.random() < 0.2)
            if crashes and late and rng.random() < 0.2:
                for one in late[: rng.randrange(len(late) + 1)]:
                    store([one])
                windows = fresh(highest)
                offset = table.checkpoint[0] if table.checkpoint else 0
                continue
            for one in late:
                store([one])
            table.checkpoint = windows.checkpoint()
        if crashes and rng.random() < 0.15:
            windows = fresh(highest)
            offset = table.checkpoint[0] if table.checkpoint else 0
    windows.apply(offset, make_batch([], np.array([]), np.array([]), np.array([]), advance_ms=2**61))
    store(windows.drain())
    for one in windows.close_late(everything=True):
        store([one])
    assert not windows.open
    return table, expected(records)


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


@pytest.mark.parametrize("block", range(4))
def test_every_sample_is_counted_once_in_every_window(block):
    for seed in range(block * 50, block * 50 + 50):
        check(*run(seed, crashes=False))


@pytest.mark.parametrize("block", range(4))
def test_crashes_at_any_point_leave_the_same_table(block):
    for seed in range(block * 50, block * 50 + 50):
        check(*run(seed, crashes=True))


def test_a_jump_of_ten_years_does_not_walk_through_them():
    windows = PartitionWindows(SPECS, 5000, is_counter=lambda ids: ids > 99)
    for offset, at in enumerate((0, 10 * 365 * 86_400_000)):
        windows.apply(offset, make_batch([], np.array([1]), np.array([at]), np.array([1.0])))
    assert {r.rollup for r in windows.drain()} >= {"10s", "1m"}
