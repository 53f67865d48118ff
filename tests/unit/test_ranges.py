"""Reading ranges: what is chosen by patterns, what is refused, and that a long question holds nobody up."""

import asyncio
import threading
import time

import numpy as np
import pytest

from schemas.errors import DataError
from schemas.series import make_series
from store import ranges
from store.alerts import AlertTables
from store.incidents import IncidentTable
from store.ranges import STATS, pivoted
from store.repository import Repository
from store.risk import RiskTable
from store.thread import LONG_READERS, READERS, StoreThread
from stream.rollup.aggregate import aggregate
from tests.unit.test_store import HOSTILE, store  # noqa: F401 - a fixture, both engines

BEGIN = 1_760_000_400_000
CHECKPOINT = {"topic": "samples", "partition": 0, "resume_offset": 0, "floor_ms": 0, "watermark_ms": 0, "version": 1}


def rollup(series, times, values, *, size=60_000, counters=None):
    ids = np.array([s.series_id for s in series], np.uint64)
    starts = times // size * size
    counters = np.zeros(len(ids), bool) if counters is None else counters
    return aggregate("1m", size, starts, ids, times, values, counters=counters, version=1, late=False)


async def test_every_statistic_of_every_hostile_name_comes_back(store):  # noqa: F811
    repository = Repository(store)  # the store is open already
    series = [make_series(f"e{name}", f"m{name}", {"l": name}) for name in HOSTILE]
    rng = np.random.default_rng(2)
    each = [one for one in series for _ in range(20)]
    times, values = BEGIN + np.tile(np.arange(20) * 9_000, len(series)), rng.lognormal(0, 2, len(each))
    values[:20] = 3.0  # one does not vary
    is_counter = np.repeat(np.arange(len(series)) % 2 == 0, 20)
    made = rollup(each, times, values, counters=is_counter)
    await repository.write([made], series, [], CHECKPOINT)
    for one in series:
        assert repository.select_series([one.entity], [one.metric]) == [one]
        assert repository.select_series([one.entity], [one.key]) == [one]
    for stat in STATS:
        got = await repository.ranges.select(BEGIN - 60_000, BEGIN + 600_000, series, stat, "1m")
        for column, one in enumerate(series):
            mine = made.ids == one.series_id
            assert got.starts_ms.tolist() == made.start_ms[mine].tolist()
            want = getattr(made, stat)[mine].astype(float)
            np.testing.assert_allclose(got.values[:, column], want, rtol=1e-14, err_msg=f"{stat} of {one.entity!r}")
    await repository.thread.run(store.execute, "TRUNCATE TABLE rollups")
    await repository.thread.run(store.execute, "TRUNCATE TABLE series")


async def test_windows_of_one_sample_and_of_several_have_their_sums_and_means(store):  # noqa: F811
    repository, one, many = Repository(store), make_series("web", "one"), make_series("web", "many")
    of_many = rollup([many] * 12, BEGIN + np.arange(12) * 10_000, np.arange(12.0))
    of_one = rollup([one], np.array([BEGIN + 5_000]), np.array([0.5]))
    await repository.write([of_many, of_one], [one, many], [], CHECKPOINT)

    async def got(stat, *series):
        return (await repository.ranges.select(BEGIN, BEGIN + 120_000, list(series), stat, "1m")).values.T.tolist()

    try:
        assert await got("sum", many) == [[15.0, 51.0]] and not repository.ranges._single
        assert await got("mean", many) == [[2.5, 8.5]]
        np.testing.assert_array_equal(await got("mean", one, many), [[0.5, np.nan], [2.5, 8.5]])
        assert repository.ranges._single == {"1m"}
        np.testing.assert_array_equal(await got("sum", many, one), [[15.0, 51.0], [0.5, np.nan]])
    finally:
        await repository.thread.run(store.execute, "TRUNCATE TABLE rollups")
        await repository.thread.run(store.execute, "TRUNCATE TABLE series")


@pytest.mark.parametrize("spread", [100, 10**9])
def test_starts_are_ranked_as_numpy_does(spread):
    rng = np.random.default_rng(8)
    for n in (0, 1, 2, 300):
        starts = 60_000 * rng.integers(-spread, spread, n)
        for got, want in zip(ranges._ranked(starts), np.unique(starts, return_inverse=True), strict=True):
            np.testing.assert_array_equal(got, want)


def test_partitions_are_those_of_the_rollup():
    long, short = " AND size_s >= 3600", " AND size_s < 3600"
    wanted = {"1h": long, "1h/10m": long, "60m": long, "1mo": long, "3600s": long, "1w": long, "10s": short}
    wanted |= {"5m/1m": short, "59m": short, "": "", "odd": ""}
    assert {name: ranges._of_partitions(name) for name in wanted} == wanted


def test_bounds_move_only_where_no_window_begins():
    for rollup, hop_ms in (
        ("10s", 10_000),
        ("5m/1m", 60_000),
        ("20m", 300_000),
        ("1h/10m", 300_000),
        ("1h", 900_000),
        ("1d", 900_000),
        ("odd", 1),
    ):
        for at_ms in (BEGIN, BEGIN + 1, BEGIN + hop_ms - 1, -1, 0):
            moved = ranges._on_grid(rollup, at_ms)
            assert moved % hop_ms == 0 and 0 <= moved - at_ms < hop_ms


def test_only_the_star_means_more_than_itself():
    repository = Repository(None)
    names = ["cpu", "cpu?", "cpux", "cpu[0]", "cpu0", "CPU", "a.b", "axb", "cpu\nx"]
    repository.series.add([make_series("host", name) for name in names])

    def found(*patterns):
        return sorted(s.metric for s in repository.select_series([], list(patterns)))

    assert found("cpu?") == ["cpu?"] and found("cpu[0]") == ["cpu[0]"] and found("a.b") == ["a.b"]
    assert found("cpu*") == ["cpu", "cpu\nx", "cpu0", "cpu?", "cpu[0]", "cpux"]
    assert found("*[*") == ["cpu[0]"] and found("nothing") == [] and found("*") == sorted(names)
    assert found("cpu", "a*") == ["a.b", "axb", "cpu"]
    assert repository.select_series(["ho*"], ["cpu"]) == repository.select_series(["host", "host"], ["cpu"])


def test_a_pattern_cannot_make_it_search_for_ever():
    repository = Repository(None)
    repository.series.add([make_series("a" * 2000, "m")])
    began = time.process_time()
    assert repository.select_series(["*a" * 100 + "*b"], []) == []
    assert time.process_time() - began < 2


def test_rows_in_any_order_find_their_place():
    ids = np.array([9, 2, 2**63 - 1], np.uint64)
    rows = {
        "series_id": np.array([2, 9, 2**63 - 1, 2], np.uint64),
        "start_ms": np.array([20, 10, 20, 10]),
        "version": np.array([5, 5, 5, 5]),
        "stat": np.array([1.0, 2.0, 3.0, 4.0]),
    }
    starts, values = pivoted(rows, ids)
    assert starts.tolist() == [10, 20]
    np.testing.assert_array_equal(values, [[2, 4, np.nan], [np.nan, 1, 3]])
    empty = pivoted({name: column[:0] for name, column in rows.items()}, ids)
    assert empty[1].shape == (0, 3)


@pytest.mark.parametrize("newest", [0, 1, 2])
def test_of_rows_of_one_version_the_one_written_last_counts(newest):
    rows = {name: np.array([value] * 4) for name, value in (("series_id", 1), ("start_ms", 0), ("version", 5))}
    rows["version"][3], rows["written"] = 4, np.array([100, 100, 100, 200], np.uint32)
    rows["written"][newest] += 1
    assert pivoted(rows | {"stat": np.arange(4.0)}, np.array([1], np.uint64))[1].tolist() == [[newest]]


def test_of_rows_not_merged_yet_the_highest_version_counts():
    rng, n = np.random.default_rng(6), 3000
    ids = np.arange(5, dtype=np.uint64)
    rows = {
        "series_id": rng.integers(0, 5, n).astype(np.uint64),
        "start_ms": rng.integers(0, 40, n) * 1000,
        "version": rng.permutation(n),
    }
    rows["stat"] = rows["version"] / 2
    starts, values = pivoted(rows, ids)
    for i, start in enumerate(starts.tolist()):
        for one in range(5):
            mine = (rows["series_id"] == one) & (rows["start_ms"] == start)
            assert values[i, one] == rows["stat"][mine].max()


def test_an_answer_without_bounds_is_refused(monkeypatch):
    monkeypatch.setattr(ranges, "VALUES_MAX", 100)
    n = 50
    rows = {"series_id": np.arange(n, dtype=np.uint64), "start_ms": np.arange(n)}
    rows |= {"version": np.zeros(n, np.int64), "stat": np.zeros(n)}
    with pytest.raises(DataError, match="want a coarser rollup"):
        pivoted(rows, np.arange(n, dtype=np.uint64))  # 50 rows only, but no two share a window


async def test_long_questions_hold_up_neither_short_ones_nor_writes():
    free, asked = threading.Event(), StoreThread(None)
    try:
        long = [asyncio.create_task(asked.read(free.wait, 20, long=True)) for _ in range(READERS * 3)]
        await asyncio.sleep(0.05)
        assert await asyncio.wait_for(asked.read(lambda: "short"), 60) == "short"
        assert await asyncio.wait_for(asked.run(lambda: "written"), 60) == "written"
        assert not any(task.done() for task in long) and LONG_READERS < READERS
        free.set()
        assert all(await asyncio.gather(*long))
    finally:
        free.set()


async def test_readers_see_what_was_written_and_run_beside_writes(store):  # noqa: F811
    thread = StoreThread(store)
    stop, wrong = time.monotonic() + 2, []

    def write(i):
        store.insert("applied", {"name": [f"n{i}"], "value": ["x"], "applied_ms": [i]})

    async def reader():
        while time.monotonic() < stop:
            before = written
            n = (await thread.read(store.select, "SELECT count() AS n FROM applied WHERE name LIKE 'n%'"))["n"]
            if int(n[0]) < before:
                wrong.append((before, int(n[0])))

    written = 0
    reading = [asyncio.create_task(reader()) for _ in range(READERS + 2)]
    while time.monotonic() < stop:
        await thread.run(write, written)
        written += 1
    await asyncio.gather(*reading)
    assert not wrong and written > 0


async def test_what_the_page_asks_does_not_wait_for_what_is_being_written(store):  # noqa: F811
    thread, written = StoreThread(store), threading.Event()
    risk, incidents, alerts = RiskTable(thread), IncidentTable(thread), AlertTables(thread)
    writing = thread.submit(written.wait, 30)
    try:
        asked = [risk.lines(0, 1000, 10, None), risk.lines(0, 1000, 10, ["e"]), risk.newest(0), alerts.alerts()]
        answers = await asyncio.gather(*asked, incidents.select(["e"], limit=5), alerts.notifications())
        assert not writing.done() and answers[2:] == [[], [], [], []]
    finally:
        written.set()
