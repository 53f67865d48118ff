"""What a write puts into the store, statement by statement."""

import numpy as np
import pytest

from schemas.series import make_series
from store import repository as module
from store.repository import Repository
from tests.unit.test_ranges import BEGIN, CHECKPOINT, rollup


class Noted:
    """Notes what is inserted."""

    def __init__(self):
        self.inserts = []

    def insert(self, table, columns):
        self.inserts.append((table, columns))

    def close(self):
        pass


@pytest.mark.parametrize("sizes", [[], [3], [10], [11], [4, 4, 4, 4], [9, 1, 1, 9], [25, 2, 25], [1] * 23])
async def test_a_statement_takes_few_rollups_at_a_time_all_of_them_in_order_before_the_checkpoint(sizes, monkeypatch):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 10)
    series = [make_series(f"entity-{i}", "m") for i in range(25)]
    made = [rollup(series[:n], BEGIN + at * 10_000 + np.arange(n), np.ones(n)) for at, n in enumerate(sizes)]
    store = Noted()
    repository = Repository(store)
    await repository.write(made, series, [], CHECKPOINT)
    await repository.close()
    assert [table for table, _ in store.inserts][-1] == "checkpoints"
    written = [columns for table, columns in store.inserts if table == "rollups"]
    assert [i for columns in written for i in columns["series_id"].tolist()] == [
        i for r in made for i in r.ids.tolist()
    ]
    assert all(len(columns["series_id"]) <= max(10, *sizes) for columns in written)
    assert len(written) <= 2 * sum(sizes) // 10 + 1
    assert repository.series == {one.series_id: one for one in series}
