"""First and last seen of each series: right at once, or for a last time within LAG_MS, whatever happens in between."""

import numpy as np
import pytest

from schemas.errors import SinkError
from schemas.series import make_series
from store.repository import Repository
from store.seen import FEW, LAG_MS, SeenWriter
from tests.unit.test_ranges import BEGIN, CHECKPOINT, rollup
from tests.unit.test_store import store  # noqa: F401 - a fixture, both engines


class Table:
    """What the table holds once merged; some inserts fail, before or after they are done."""

    def __init__(self, rng, failures=0.0):
        self.rng, self.failures, self.rows, self.inserts, self.bounds = rng, failures, 0, 0, {}

    def insert(self, table, columns):
        assert table == "seen"
        fails = self.rng.random() < self.failures
        if fails and self.rng.random() < 0.5:
            raise SinkError("before")
        ids, firsts, lasts = (columns[name].tolist() for name in ("series_id", "first_ms", "last_ms"))
        assert len(set(ids)) == len(ids)
        self.rows, self.inserts = self.rows + len(ids), self.inserts + 1
        for one, first, last in zip(ids, firsts, lasts, strict=True):
            low, high = self.bounds.get(one, (first, last))
            self.bounds[one] = (min(low, first), max(high, last))
        if fails:
            raise SinkError("after")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [5, 2 * FEW])
def test_bounds_are_right_over_failures_restarts_and_late_history(seed, n):
    rng = np.random.default_rng(seed)
    series = [make_series(f"e{i}", "m") for i in range(n)]
    table, writers, want, at_ms = Table(rng, 0.2), [SeenWriter(), SeenWriter()], {}, BEGIN
    for _ in range(80):
        at_ms += int(rng.choice([1_000, 10_000, 45_000, 90_000]))
        begin_ms = at_ms - (rng.random() < 0.1) * int(rng.integers(0, 10**8))  # late now and then
        some = [series[i] for i in rng.choice(n, int(rng.integers(1, n + 1)))]
        made = rollup(some, begin_ms + rng.integers(0, 200_000, len(some)), rng.random(len(some)))
        which = int(rng.integers(2))  # owners take turns, and may not know of one another
        if rng.random() < 0.1:
            writers[which] = SeenWriter()
        while True:
            try:
                writers[which].write(table, [made, made])
                break
            except SinkError:
                if rng.random() < 0.3:
                    writers[which] = SeenWriter()
        for one, first, last in zip(made.ids.tolist(), made.first_ms.tolist(), made.last_ms.tolist(), strict=True):
            low, high = want.get(one, (first, last))
            want[one] = (min(low, first), max(high, last))
        assert table.bounds.keys() == want.keys()
        for one, (low, high) in want.items():
            assert table.bounds[one][0] == low
            assert high - LAG_MS < table.bounds[one][1] <= high
            assert n > FEW or table.bounds[one][1] == high  # few are written at once


@pytest.mark.parametrize("spread_ms", [0, 10_000])
def test_a_series_costs_little_more_than_a_row_a_minute_and_all_go_together(spread_ms):
    rng, writer, minutes = np.random.default_rng(1), SeenWriter(), 30
    series = [make_series(f"e{i}", "m") for i in range(10 * FEW)]
    table = Table(rng)
    for window in range(6 * minutes):
        times = BEGIN + window * 10_000 + rng.integers(0, spread_ms + 1, len(series))
        writer.write(table, [rollup(series, times, np.ones(len(series)))])
    assert table.rows <= 1.1 * len(series) * (minutes + 1)
    assert table.inserts <= 1.3 * (minutes + 1)


async def test_both_engines_keep_the_widest_bounds_and_forget_none(store):  # noqa: F811
    series = [make_series(entity, name) for entity, name in (("a", "x"), ("a", "y"), ("b", "x"))]
    ids = [s.series_id for s in series]

    async def write(shifts_ms):
        repository = Repository(store)  # each time another process that knows nothing
        made = rollup(series, BEGIN + np.array(shifts_ms), np.ones(3))
        await repository.write([made], series, [], CHECKPOINT)
        return repository

    await write([0, 5_000, 9_000])
    repository = await write([120_000, 130_000, 140_000])
    assert await repository.series_seen(ids) == {
        ids[0]: (BEGIN, BEGIN + 120_000),
        ids[1]: (BEGIN + 5_000, BEGIN + 130_000),
        ids[2]: (BEGIN + 9_000, BEGIN + 140_000),
    }
    repository = await write([-(10**10), 5_000, 9_000])  # a history streams in
    want = [("a", BEGIN - 10**10, BEGIN + 130_000), ("b", BEGIN + 9_000, BEGIN + 140_000)]
    assert sorted(await repository.seen()) == want
    await repository.thread.run(store.execute, "OPTIMIZE TABLE seen FINAL")
    await repository.thread.run(store.execute, "TRUNCATE TABLE rollups")  # they expired
    assert sorted(await repository.seen()) == want
    assert await repository.series_seen([ids[2], 7]) == {ids[2]: (BEGIN + 9_000, BEGIN + 140_000)}
    await repository.thread.run(store.execute, "TRUNCATE TABLE series")
    await repository.thread.run(store.execute, "TRUNCATE TABLE seen")


async def test_bounds_are_durable_before_the_rollups(tmp_path):
    """What a stored row covers is skipped after a crash, so that its bounds would never be written."""
    from store.chdb import ChdbStore

    class Dies(ChdbStore):
        def insert(self, table, columns):
            super().insert(table, columns)
            if table == "rollups":
                raise SinkError("died")

    one = make_series("a", "x")
    repository = Repository(Dies(str(tmp_path / "store")))
    await repository.open()
    with pytest.raises(SinkError):
        await repository.write([rollup([one], np.array([BEGIN + 1]), np.ones(1))], [one], [], CHECKPOINT)
    await repository.close()
    repository = Repository(ChdbStore(str(tmp_path / "store")))
    await repository.open()
    assert await repository.seen() == [("a", BEGIN + 1, BEGIN + 1)]
    await repository.close()
