"""The window code alone, a record at a time, with crashes between any two steps; a seed replays exactly."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from schemas.batch import make_batch
from stream.window.counters import LOOK_BACK_MS
from stream.window.partition import PartitionWindows
from tests.simulation.oracle import SPECS, Table, expected, stream


def fresh(table: Table) -> tuple[PartitionWindows, int]:
    """Return a partition as its next owner opens it, and the offset to read from."""
    entities = {"entity_of": lambda ids: (ids // 2).astype(np.int64)}
    windows = PartitionWindows(SPECS, 5000, is_counter=lambda ids: ids % 2 == 1, **entities)
    if table.checkpoint is None:
        return windows, 0
    resume, floor_ms, watermark_ms, _ = table.checkpoint
    windows.restore(watermark_ms, floor_ms, table.tails(floor_ms))
    return windows, resume


def take(windows: PartitionWindows, offset: int, record) -> None:
    digest, samples = record
    ids, times, values = zip(*samples, strict=True)
    requests = [(digest, len(samples))]
    windows.apply(offset, make_batch([], np.array(ids), np.array(times), np.array(values), requests=requests))


def correct(windows: PartitionWindows, owed, table: Table) -> None:
    owed = risen(windows, owed, table)
    table.write(windows.corrected(owed, table.read(owed.spec.name, *owed.rows())))


def risen(windows: PartitionWindows, owed, table: Table):
    counters, ids, starts = windows.around(owed, owed)
    if not len(ids):
        return owed
    around = table.around(owed.spec.name, ids, starts, owed.spec.size_ms + LOOK_BACK_MS)
    return owed.risen(counters, around)


def run(seed: int, *, crashes: bool, value: Callable[[int], float] | None = None) -> tuple[Table, dict]:
    rng = random.Random(seed)
    records, table = stream(rng, value), Table()
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
        made = list(windows.drain())
        yield
        table.write(made)
        if rng.random() < 0.6:
            since = windows.checkpoint()[0]
            for one in windows.close_late(everything=rng.random() < 0.2):
                yield
                owed = risen(windows, one, table)
                yield
                stored = table.read(one.spec.name, *owed.rows())
                yield
                table.write(windows.corrected(owed, stored))
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
