"""A data folder of an earlier version says the same as before, wherever its change was interrupted."""

import contextlib

import numpy as np
import pyarrow
import pytest

import store.migrate
from schemas.errors import SinkError
from schemas.series import make_series
from store.chdb import ChdbStore
from store.repository import Repository
from store.rows import NUMBERS
from stream.rollup.aggregate import aggregate

BEGIN = 1_760_000_400_000 // 3_600_000 * 3_600_000
SERIES = [make_series("web-1", name) for name in ("cpu", "still", "requests_total")]
ALL = list(store.migrate.statements())
SINCE = [name for name, _ in ALL if name >= "0006"]


def old_rows(rollup):
    """Return a rollup's columns as the tables of 0001 to 0004 had them."""
    offsets = pyarrow.array(rollup.sketch_offsets.astype(np.int32))
    columns = {name: getattr(rollup, name) for name in ("start_ms", "end_ms", *NUMBERS)}
    columns |= {"rollup": [rollup.rollup] * len(rollup), "series_id": rollup.ids}
    columns["version"] = np.full(len(rollup), rollup.version)
    for name in ("sketch_keys", "sketch_counts"):
        columns[name] = pyarrow.ListArray.from_arrays(offsets, pyarrow.array(getattr(rollup, name)))
    return columns


def history():
    """Return rollups of windows with one sample, with several, with several that are equal; zero and below too."""
    rng, n = np.random.default_rng(3), 900
    times = np.sort(rng.integers(0, 40 * 60_000, n)) + BEGIN
    values = np.concatenate([rng.normal(0, 50, n), np.full(n, 0.0), np.cumsum(rng.random(n))])
    ids = np.repeat(np.array([s.series_id for s in SERIES], np.uint64), n)
    times, counters = np.tile(times, 3), np.repeat([False, False, True], n)
    made = []
    for name, size in (("1m", 60_000), ("1h", 3_600_000), ("10s", 1000)):
        starts = times // size * size
        made.append(
            aggregate(name, size, starts, ids, times, values, counters=counters, version=7, late=False),
        )
    return made


def old_store(folder, monkeypatch, rollups):
    monkeypatch.setattr(store.migrate, "statements", lambda: iter([s for s in ALL if s[0] < "0005"]))
    old = ChdbStore(str(folder))
    old.open()
    for rollup in rollups:
        old.insert("rollups", old_rows(rollup))
    raw = {"series_id": rollups[0].ids, "timestamp_ms": rollups[0].start_ms, "value": rollups[0].sum}
    old.execute("ALTER TABLE samples REMOVE TTL")
    old.insert("samples", raw)
    old.insert("applied", {"name": ["retention"], "value": ["samples=None"], "applied_ms": [1]})
    old.execute("DROP TABLE migrations")  # the versions that made such folders had none
    old.close()
    monkeypatch.undo()


async def check(folder, rollups):
    repository = Repository(ChdbStore(str(folder)))
    await repository.open()
    try:
        await repository.apply_retention({"samples": None}, 2_000_000_000_000)
        select = repository.store.select
        for rollup in rollups:
            got = await repository.rollup_rows(rollup.rollup, rollup.ids, rollup.start_ms)
            order = np.lexsort((got["series_id"], got["start_ms"]))
            assert len(order) == len(rollup)
            np.testing.assert_array_equal(got["series_id"][order], rollup.ids)
            for name in NUMBERS:
                # Where all samples are equal their deviation is 0, not what rounding makes of it.
                tolerance = {"rtol": 1e-14 if name[0] == "p" else 0, "atol": 1e-12 if name == "sumsq" else 0}
                np.testing.assert_allclose(got[name][order], getattr(rollup, name), **tolerance, err_msg=name)
            keys = [k for row in order for k in got["sketch_keys"][row]]
            counts = [c for row in order for c in got["sketch_counts"][row]]
            assert keys == rollup.sketch_keys.tolist() and counts == rollup.sketch_counts.tolist()
            sql = "SELECT DISTINCT end_ms - start_ms AS d FROM rollups WHERE rollup = {r:String}"
            ends = await repository.thread.run(select, sql, {"r": rollup.rollup})
            assert ends["d"].tolist() == [rollup.end_ms[0] - rollup.start_ms[0]]
        every = await repository.series_seen([s.series_id for s in SERIES])
        for one in SERIES:
            mine = [(r.first_ms[r.ids == one.series_id], r.last_ms[r.ids == one.series_id]) for r in rollups]
            assert every[one.series_id] == (min(f.min() for f, _ in mine), max(h.max() for _, h in mine))
        n = await repository.thread.run(select, "SELECT count() AS n, sum(value) AS v FROM samples")
        assert (int(n["n"][0]), float(n["v"][0])) == (len(rollups[0]), pytest.approx(rollups[0].sum.sum()))
    finally:
        await repository.close()


@pytest.mark.parametrize("noted", [True, False])
async def test_a_folder_of_the_version_before_says_the_same(tmp_path, monkeypatch, noted):
    """Cut off after every statement, before (``noted`` False) and after it was noted; each opening goes on."""
    rollups = history()
    old_store(tmp_path / "store", monkeypatch, rollups)
    for name in SINCE:

        class Cut(ChdbStore):
            def insert(self, table, columns):
                if table == "migrations" and columns["name"] == [name]:  # noqa: B023 - used within this turn
                    if noted:
                        super().insert(table, columns)
                    raise InterruptedError
                super().insert(table, columns)

        cut = Cut(str(tmp_path / "store"))
        with pytest.raises(InterruptedError):
            cut.open()
        cut.close()
        if not noted:  # one more interruption would only be the same one again
            break_at = ChdbStore(str(tmp_path / "store"))
            monkeypatch.setattr(
                store.migrate,
                "statements",
                lambda: iter([s for s in ALL if s[0] <= name]),  # noqa: B023
            )
            break_at.open()
            break_at.close()
            monkeypatch.undo()
    await check(tmp_path / "store", rollups)


async def test_raw_samples_are_carried_over_as_they_are_though_two_processes_begin_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(store.migrate, "statements", lambda: iter([s for s in ALL if s[0] < "0011"]))
    one = ChdbStore(str(tmp_path / "store"))
    one.open()
    rng, n = np.random.default_rng(4), 500
    times, values = BEGIN + rng.integers(0, 40, n) * 1000, rng.integers(0, 3, n).astype(float)
    raw = {"series_id": rng.integers(0, 3, n).astype(np.uint64), "timestamp_ms": times, "value": values}
    one.insert("samples", raw)
    monkeypatch.undo()
    store.migrate.migrate(one)
    later = {"series_id": np.array([1], np.uint64), "timestamp_ms": np.array([BEGIN]), "value": np.array([9.0])}
    one.insert("raw_samples", later | {"place": np.array([0])})
    for name, statement in ALL:  # as another does that looked at what was done before the first began
        if name >= "0011":
            with contextlib.suppress(SinkError):  # as migrate does where another has noted it
                one.execute(statement)
    sql = "SELECT series_id, timestamp_ms, value FROM samples ORDER BY ALL"
    got = np.array(list(one.select(sql).values()), float)
    want = np.array([np.append(raw[k], later[k]) for k in raw], float)
    np.testing.assert_array_equal(got, want[:, np.lexsort(want[::-1])])
    one.close()


async def test_a_migration_runs_once(tmp_path):
    first = ChdbStore(str(tmp_path / "store"))
    first.open()
    first.execute("DROP TABLE silences")
    first.close()
    again = ChdbStore(str(tmp_path / "store"))
    again.open()
    with pytest.raises(Exception, match="silences"):
        again.select("SELECT count() AS n FROM silences")
    again.close()
