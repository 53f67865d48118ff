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
        names = (*NUMBERS, "version", "sketch_keys", "sketch_counts")
        found = {"series_id": [i for i, _ in pairs], "start_ms": [s for _, s in pairs]}
        return found | {name: [self.rows[rollup, *p][name] for p in pairs] for name in names}

    def save(self, checkpoint, version):
        if self.checkpoint is None or self.checkpoint[3] <= version:
            self.checkpoint = (*checkpoint, version)


def fresh(table: Table) -> tuple[PartitionWindows, int]:
    """Return a partition as its next owner opens it, and the offset to read from."""
    entities = {"entity_of": lambda ids: (ids // 2).astype(np.int64)}
    windows = PartitionWindows(SPECS, 5000, is_counter=lambda ids: ids % 2 == 1, **entities)
    if table.checkpoint is None:
        return windows, 0
    windows.restore(table.checkpoint[2], table.checkpoint[1])
    return windows, table.checkpoint[0]


def take(windows: PartitionWindows, offset: int, record) -> None:
    digest, samples = record
    ids, times, values = zip(*samples, strict=True)
    requests = [(digest, len(samples))]
    windows.apply(offset, make_batch([], np.array(ids), np.array(times), np.array(values), requests=requests))


def correct(windows: PartitionWindows, owed, table: Table) -> None:
    made = windows.corrected(owed, table.read(owed.spec.name, *owed.windows()))
    table.write([made] if made is not None else [])


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

    windows, offset = fresh(table)
    while offset < len(records):
        for _ in range(rng.randrange(1, 6)):
            if offset < len(records):
                take(windows, offset, records[offset])
                offset += 1
        before = windows.watermark_ms
        table.write(windows.drain())
        assert windows.watermark_ms >= before
        if rng.random() < 0.5:
            # Each correction is written before the next is merged, as the worker does; a crash may fall in between.
            late = windows.close_late(everything=rng.random() < 0.2)
            if crashes and late and rng.random() < 0.2:
                for one in late[: rng.randrange(len(late) + 1)]:
                    correct(windows, one, table)
                windows, offset = fresh(table)
                continue
            for one in late:
                correct(windows, one, table)
            table.save(windows.checkpoint(), windows.last_offset)
        if crashes and rng.random() < 0.15:
            windows, offset = fresh(table)
    finish(windows, offset, table)
    return table, expected(records)


def finish(windows: PartitionWindows, offset: int, table: Table) -> None:
    windows.apply(offset, make_batch([], np.array([]), np.array([]), np.array([]), advance_ms=2**61))
    table.write(windows.drain())
    for one in windows.close_late(everything=True):
        correct(windows, one, table)
    assert not windows.open


def owner(rng: random.Random, records, table: Table):
    """An owner of the partition, step by step: whoever calls may let others act between any two of them."""
    windows, offset = fresh(table)
    while offset < len(records):
        for _ in range(rng.randrange(1, 6)):
            if offset < len(records):
                take(windows, offset, records[offset])
                offset += 1
        made = windows.drain()
        yield
        table.write(made)
        if rng.random() < 0.6:
            since = windows.checkpoint()[0]
            for one in windows.close_late(everything=rng.random() < 0.2):
                yield
                stored = table.read(one.spec.name, *one.windows())
                yield
                corrected = windows.corrected(one, stored)
                table.write([corrected] if corrected is not None else [])
            yield
            resume, *rest = windows.checkpoint()
            assert resume >= since
            table.save((resume, *rest), windows.last_offset)
        yield
    finish(windows, offset, table)


def run_with_zombies(seed: int) -> tuple[Table, dict]:
    """The partition moves again and again, and owners that lost it go on for a while, each as slowly as it likes."""
    rng = random.Random(seed)
    records, table = list({digest: (digest, samples) for digest, samples in stream(rng)}.values()), Table()
    live, zombies, moves = owner(rng, records, table), [], rng.randrange(1, 6)
    while True:
        if moves and rng.random() < 0.1:
            moves -= 1
            zombies.append(live)
            live = owner(rng, records, table)
        if zombies and rng.random() < 0.4:
            woken = rng.choice(zombies)
            if next(woken, "ended") == "ended" or rng.random() < 0.1:
                zombies.remove(woken)
        elif next(live, "ended") == "ended":
            break
    for woken in zombies:  # the last to wake
        for _ in range(rng.randrange(6)):
            next(woken, None)
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


@pytest.mark.parametrize("block", range(4))
def test_owners_that_lost_the_partition_and_write_on_damage_nothing(block):
    for seed in range(block * 30, block * 30 + 30):
        check(*run_with_zombies(seed))


def test_a_jump_of_ten_years_does_not_walk_through_them():
    windows = PartitionWindows(SPECS, 5000, is_counter=lambda ids: ids > 99)
    for offset, at in enumerate((0, 10 * 365 * 86_400_000)):
        windows.apply(offset, make_batch([], np.array([1]), np.array([at]), np.array([1.0])))
    assert {r.rollup for r in windows.drain()} >= {"10s", "1m"}
