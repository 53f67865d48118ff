"""Longer rollups merged inside a real store, against one calculation over all samples."""

import asyncio
import threading
from datetime import UTC, datetime, time, timedelta
from time import monotonic
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from schemas.errors import SinkError
from schemas.series import make_series
from store.chdb import ChdbStore
from store.complete import complete_since
from store.longer import LongerTable
from store.raw import RawSamples
from store.repository import Repository
from stream.jobs.longer import LongerRollups, touched_by
from stream.rollup.aggregate import aggregate
from stream.window.calendar import long_windows

HOUR = 3_600_000
SERIES = [make_series("web-1", name) for name in ("cpu", "negative", "requests_total")]
WINDOWS = long_windows(["5m", "1h", "1h/10m", "1d", "1w", "1mo"], "Europe/Berlin")
# A midnight in Berlin not long ago: ClickHouse forgets what was touched by its own clock.
BEGIN = (
    int(datetime.combine(datetime.now(UTC).date() - timedelta(40), time(), ZoneInfo("Europe/Berlin")).timestamp())
    * 1000
)


class Unread:
    """The job only appends; what it appended is looked at in the end-to-end tests."""

    async def append(self, *_):
        return 0


def job_of(windows, repository, clock):
    given = {"log": Unread(), "repository": repository, "partitions": 1, "lateness_ms": 5000}
    return LongerRollups(windows, now_ms=lambda: clock[0], **given)


@pytest.fixture
async def repository(tmp_path):
    repository = Repository(ChdbStore(str(tmp_path / "store")))
    await repository.open()
    yield repository
    await repository.close()


def samples(rng, n, days):
    ids = rng.choice([s.series_id for s in SERIES], n).astype(np.uint64)
    times = BEGIN + np.sort(rng.integers(0, days * 24 * HOUR, n))
    values = np.where(ids == SERIES[1].series_id, -1, 1) * np.exp(rng.normal(3, 2, n))
    return ids, times, values


def rollup(name, starts, ends, ids, times, values, version):
    made = aggregate(
        name, 1, starts, ids, times, values, counters=np.zeros(len(ids), bool), version=version, late=False
    )
    made.end_ms = ends
    return made


async def write(repository, ids, times, values, *, version, now_ms):
    made = rollup("5m", times // 300_000 * 300_000, None, ids, times, values, version)
    made.end_ms = made.start_ms + 300_000
    touched = sorted(touched_by(WINDOWS, "5m", made.start_ms))
    table = LongerTable(repository)
    checkpoint = {"topic": "samples", "partition": 0, "resume_offset": 0, "floor_ms": 0, "watermark_ms": 0}
    await repository.write([made], SERIES, [], checkpoint | {"version": version})
    await table.touch(touched, partition=0, now_ms=now_ms)


async def settle(job, clock):
    for _ in range(4):  # each length waits until its source has settled
        clock[0] += 10_000
        await job.run()


async def compare(repository, ids, times, values):
    for window in WINDOWS:
        edges = {edge for at in np.unique(times).tolist() for edge in window.holding(at)}
        for start, end in edges:
            inside = (times >= start) & (times < end)
            want = rollup(
                window.spec.name, np.full(inside.sum(), start), None, *(a[inside] for a in (ids, times, values)), 0
            )
            got = await repository.rollup_rows(window.spec.name, want.ids, want.start_ms)
            order = np.argsort(got["series_id"])
            assert got["series_id"][order].tolist() == want.ids.tolist()
            for name in ("count", "min", "max", "first", "last", "first_ms", "last_ms"):
                assert np.asarray(got[name])[order].tolist() == getattr(want, name).tolist(), (window.spec.name, name)
            for name in ("sum", "sumsq", "p50", "p95", "p99"):  # sketch buckets are equal, so are the quantiles
                np.testing.assert_allclose(np.asarray(got[name])[order], getattr(want, name), rtol=1e-9)


async def test_every_length_equals_one_calculation_and_late_rows_are_taken_up(repository):
    rng, clock = np.random.default_rng(4), [BEGIN + 400 * 24 * HOUR]
    job = job_of(WINDOWS, repository, clock)
    first = samples(rng, 3000, 4)
    await write(repository, *first, version=1, now_ms=clock[0])
    await settle(job, clock)
    await compare(repository, *first)
    merged = job.merged
    await settle(job, clock)
    assert job.merged == merged, "nothing was touched, so nothing is merged again"
    # One window of one day is corrected: it holds all of its samples and a later one.
    ids, times, values = first
    day = (times >= BEGIN + 24 * HOUR) & (times < BEGIN + 24 * HOUR + 300_000)
    extra = (np.append(ids[day], ids[0]), np.append(times[day], BEGIN + 24 * HOUR + 7), np.append(values[day], 1e6))
    await write(repository, *extra, version=2, now_ms=clock[0])
    await settle(job, clock)
    every = tuple(np.append(a, b[-1]) for a, b in zip(first, extra, strict=True))
    await compare(repository, *every)
    assert job.merged - merged < 20, "only what was touched is merged again"


async def test_a_window_is_not_merged_before_it_ends(repository):
    clock = [BEGIN + HOUR]
    job = job_of(WINDOWS, repository, clock)
    one = (np.array([SERIES[0].series_id], np.uint64), np.array([BEGIN + 61_000]), np.array([2.0]))
    await write(repository, *one, version=1, now_ms=clock[0] - 10_000)
    await job.run()
    assert len((await repository.rollup_rows("1h", one[0], np.array([BEGIN])))["count"]) == 0
    clock[0] += 5000
    await job.run()
    assert (await repository.rollup_rows("1h", one[0], np.array([BEGIN])))["count"].tolist() == [1]
    assert len((await repository.rollup_rows("1d", one[0], np.array([BEGIN])))["count"]) == 0


async def test_a_rollup_added_to_the_configuration_is_made_of_what_is_stored(repository):
    rng, clock = np.random.default_rng(5), [BEGIN + 400 * 24 * HOUR]
    ids, times, values = samples(rng, 500, 2)
    made = rollup("5m", times // 300_000 * 300_000, None, ids, times, values, 1)
    made.end_ms = made.start_ms + 300_000
    checkpoint = {
        "topic": "samples",
        "partition": 0,
        "resume_offset": 0,
        "floor_ms": 0,
        "watermark_ms": 0,
        "version": 1,
    }
    await repository.write([made], SERIES, [], checkpoint)
    job = job_of(WINDOWS, repository, clock)
    await settle(job, clock)
    await compare(repository, ids, times, values)


async def test_what_was_stored_before_is_merged_though_newer_windows_were_touched_first(repository):
    """A worker writes, and touches, as soon as it starts; the store may fail while what was before is touched."""
    rng, clock = np.random.default_rng(7), [BEGIN + 400 * 24 * HOUR]

    ids, times, values = samples(rng, 600, 4)
    before = times < BEGIN + 2 * 24 * HOUR
    made = rollup("5m", times[before] // 300_000 * 300_000, None, ids[before], times[before], values[before], 1)
    made.end_ms = made.start_ms + 300_000
    checkpoint = {"topic": "samples", "partition": 0, "resume_offset": 0, "floor_ms": 0, "watermark_ms": 0}
    await repository.write([made], SERIES, [], checkpoint | {"version": 1})
    await settle(job_of(long_windows(["5m", "1h"], "Europe/Berlin"), repository, clock), clock)
    await write(repository, ids[~before], times[~before], values[~before], version=2, now_ms=clock[0])
    now = job_of(WINDOWS, repository, clock)
    insert = repository.store.insert

    def fail(table, columns, **more):
        if table == "touched" and "1w" in columns["rollup"]:
            raise SinkError("cannot insert")
        insert(table, columns, **more)

    repository.store.insert = fail
    with pytest.raises(SinkError):
        await now.run()
    del repository.store.insert
    await settle(now, clock)
    await compare(repository, ids, times, values)


@pytest.mark.parametrize("gone", [False, True], ids=["added", "added and sources gone"])
async def test_a_source_added_later_takes_nothing_from_windows_that_began_before(repository, gone):
    """Half a day is in 5m; then 10m is configured too, and a late sample comes to the first hours."""
    rng, clock = np.random.default_rng(6), [BEGIN + 400 * 24 * HOUR]

    def job(rollups):
        windows = long_windows(rollups, "Europe/Berlin")
        return windows, job_of(windows, repository, clock)

    async def store(name, every, version, windows):
        size_ms = 300_000 if name == "5m" else 600_000
        made = rollup(name, every[1] // size_ms * size_ms, None, *every, version)
        made.end_ms = made.start_ms + size_ms
        checkpoint = {"topic": "samples", "partition": 0, "resume_offset": 0, "floor_ms": 0, "watermark_ms": 0}
        await repository.write([made], SERIES, [], checkpoint | {"version": version})
        touched = sorted(touched_by(windows, name, made.start_ms))
        await LongerTable(repository).touch(touched, partition=0, now_ms=clock[0])

    first = samples(rng, 800, 1)
    windows, before = job(["5m", "1h", "1d"])
    await before.run()  # a folder that is new
    await store("5m", first, 1, windows)
    await settle(before, clock)
    windows, after = job(["5m", "10m", "1h", "1d"])
    assert windows[0].source.name == "10m"
    if gone:
        await repository.thread.run(
            repository.store.execute, "ALTER TABLE rollups DELETE WHERE rollup = '5m' SETTINGS mutations_sync = 2"
        )
    late = (first[0][:1], np.array([BEGIN + 7]), np.array([1.5]))
    slot = first[1] < BEGIN + 300_000
    if not gone:
        await store("5m", tuple(np.append(a[slot], b) for a, b in zip(first, late, strict=True)), 2, [])
    await store("10m", late, 2, windows)  # it knows of nothing else
    await settle(after, clock)
    every = first if gone else tuple(np.append(a, b) for a, b in zip(first, late, strict=True))
    for name, hours in (("1h", 1), ("1d", 24)):
        for series in SERIES:
            inside = (every[0] == series.series_id) & (every[1] < BEGIN + hours * HOUR)
            got = await repository.rollup_rows(name, np.array([series.series_id], np.uint64), np.array([BEGIN]))
            assert got["count"].tolist() == [inside.sum()], (name, series.metric)
    assert set(await repository.thread.run(complete_since, repository.store, ["5m", "10m"], 0)) == {"5m", "10m"}


async def test_what_was_left_out_of_the_configuration_is_new_when_it_comes_back(repository):
    run, store = repository.thread.run, repository.store
    assert await run(complete_since, store, ["5m", "1m"], 1) == {"5m": 0, "1m": 0}
    one = (np.array([SERIES[0].series_id], np.uint64), np.array([BEGIN + 61_000]), np.array([2.0]))
    await write(repository, *one, version=1, now_ms=1)
    assert await run(complete_since, store, ["5m"], 2) == {"5m": 0}
    back = await run(complete_since, store, ["5m", "1m"], 3)
    assert back["5m"] == 0 and BEGIN < back["1m"] < BEGIN + 3 * 24 * HOUR
    assert await run(complete_since, store, ["5m", "1m"], 4) == back


async def test_retention_follows_the_configuration_and_spares_what_was_written_just_now(repository):
    now, old = 2_000_000_000_000, (np.array([1], np.uint64), np.array([BEGIN]), np.array([2.0]))
    made = rollup("5m", old[1] // 300_000 * 300_000, None, *old, 1)
    made.end_ms = made.start_ms + 300_000
    raw = [RawSamples(*old, np.array([0]))]
    checkpoint = {
        "topic": "samples",
        "partition": 0,
        "resume_offset": 0,
        "floor_ms": 0,
        "watermark_ms": 0,
        "version": 1,
    }
    await repository.apply_retention({"5m": 86_400, "samples": 1}, now)
    await repository.write([made], SERIES, raw, checkpoint)

    def rows(table):
        repository.store.execute(f"OPTIMIZE TABLE {table} FINAL")
        return int(repository.store.select(f"SELECT count() AS n FROM {table}")["n"][0])  # noqa: S608

    run = repository.thread.run
    assert (await run(rows, "rollups"), await run(rows, "raw_samples")) == (1, 0)
    await repository.apply_retention({"5m": None, "samples": None}, now + 1)
    await repository.write([], [], [RawSamples(old[0], old[1] + 1, old[2], np.array([1]))], checkpoint)
    assert (await run(rows, "rollups"), await run(rows, "raw_samples")) == (1, 1)
    await run(
        repository.store.execute,
        "ALTER TABLE rollups UPDATE written = toDateTime(1) WHERE 1 SETTINGS mutations_sync = 2",
    )
    await repository.apply_retention({"5m": 86_400, "samples": None}, now + 2)
    assert await run(rows, "rollups") == 0


async def test_a_changed_retention_does_not_wait_until_what_is_there_has_followed(repository):
    run, store, now = repository.thread.run, repository.store, 2_000_000_000_000
    one = (np.array([SERIES[0].series_id], np.uint64), np.array([BEGIN + 61_000]), np.array([2.0]))
    await write(repository, *one, version=1, now_ms=1)
    await run(store.execute, "ALTER TABLE rollups UPDATE written = toDateTime(1) WHERE 1 SETTINGS mutations_sync = 2")
    await run(store.execute, "SYSTEM STOP MERGES rollups")
    watchdog = threading.Timer(20, store.execute, ["SYSTEM START MERGES rollups"])  # who waits is late, not stuck
    watchdog.start()
    try:
        began = monotonic()
        await repository.apply_retention({"5m": 86_400, "samples": None}, now)
        assert monotonic() - began < 15
    finally:
        watchdog.cancel()
    await run(store.execute, "SYSTEM START MERGES rollups")
    for _ in range(100):
        if not len((await run(store.select, "SELECT 1 AS one FROM rollups WHERE rollup = '5m' LIMIT 1"))["one"]):
            return
        await asyncio.sleep(0.2)
    raise AssertionError("what is over was not thrown away")
