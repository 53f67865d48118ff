"""Series in columns, against a dictionary."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalogue import Catalogue
from schemas.id_table import IdSet, IdTable
from schemas.series import Series

texts = st.text(max_size=3)
# Few low bits, so that many ids want the same slot.
ids = st.integers(0, 2**63 - 1) | st.integers(0, 40).map(lambda n: n << 40)
series = st.builds(
    Series, ids, texts, texts, st.dictionaries(texts, texts, max_size=2), st.sampled_from(["gauge", "counter", "event"])
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(series, max_size=40), max_size=5), st.lists(ids, max_size=10))
def test_series_come_back_as_they_were_first_said_one_by_one_and_many_at_a_time(batches, others):
    catalogue, known = Catalogue(), {}
    for batch in batches:
        catalogue.add(batch)
        for one in batch:
            known.setdefault(one.series_id, one)
        assert catalogue == known and len(catalogue) == len(known) and list(catalogue) == list(known)
        assert list(catalogue.every()) == list(known.values())
        asked = [*others, *known]
        column = np.array(asked, np.uint64)
        assert catalogue.named(column) == [known.get(i) for i in asked]
        assert catalogue.has(column).tolist() == [i in known for i in asked]
        assert [i in catalogue for i in asked] == [i in known for i in asked]
        counters = [i in known and known[i].kind == "counter" for i in asked]
        assert catalogue.are("counter", column).tolist() == counters
        entities = [one.entity for one in known.values()]
        assert catalogue.entities() == {entity: entities.count(entity) for entity in entities}
        some = sorted(set(entities))[::2]
        assert catalogue.of_entities([*some, "nobody"]) == [one for one in known.values() if one.entity in some]
    with pytest.raises(KeyError):
        catalogue[2**63]
    assert "no id" not in catalogue


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(ids, max_size=60), max_size=6))
def test_a_set_of_ids_is_one(batches):
    of_ids, known = IdSet(), set()
    for batch in batches:
        asked = np.array([*batch, *known, 7], np.uint64)
        assert of_ids.has(asked).tolist() == [i in known for i in asked.tolist()]
        of_ids.add(np.array(batch, np.uint64))
        known |= set(batch)
        assert len(of_ids) == len(known)


def test_rows_are_found_one_by_one_as_many_at_a_time_while_the_table_grows():
    table, rng = IdTable(), np.random.default_rng(5)
    every = np.unique(rng.integers(0, 2**63, 50_000, dtype=np.uint64))
    for part in np.array_split(np.arange(len(every)), 20):
        table.put(every[part], part)
        known = every[: part[-1] + 1]
        assert (table.find(known) == np.arange(len(known))).all()
        assert all(table.find_one(int(every[row])) == row for row in part[::50].tolist())
        assert (table.find(every[part[-1] + 1 :]) == -1).all() and table.find_one(12) == -1


table_of_many = IdTable()
many_ids = np.unique(np.random.default_rng(6).integers(0, 2**63, 9000, dtype=np.uint64))
table_of_many.put(many_ids, np.arange(len(many_ids)))
runs = st.lists(st.tuples(st.integers(0, len(many_ids) - 1), st.sampled_from([1, 2, 127, 128, 300, 5000])), max_size=8)


@settings(max_examples=150, deadline=None)
@given(runs, st.lists(st.integers(0, 10_000), max_size=5))
def test_rows_are_found_in_whatever_order_ids_come(runs, unknown):
    rows = np.concatenate([np.zeros(0, np.int64), *(np.arange(a, min(a + n, len(many_ids))) for a, n in runs)])
    asked, wanted = many_ids[rows], rows.copy()
    for at in unknown:
        if at < len(asked):
            asked[at], wanted[at] = at, -1  # no id of ours is that small
    assert np.array_equal(table_of_many.find(asked), wanted)


def test_it_may_be_asked_while_it_is_added_to():
    every = [Series(n * 2**40 + n, f"e{n % 50}", f"m{n % 7}", {"n": str(n % 90)}, "gauge") for n in range(30_000)]
    catalogue, wrong = Catalogue(), []
    column = np.array([one.series_id for one in every], np.uint64)

    def ask():
        while len(catalogue) < len(every):
            some = catalogue.named(column[::100])
            wrong.extend(one for one, want in zip(some, every[::100], strict=True) if one not in (None, want))
            if every[5].series_id in catalogue and catalogue[every[5].series_id] != every[5]:
                wrong.append(every[5])

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    catalogue.add(every)
    for thread in asking:
        thread.join()
    assert not wrong and list(catalogue.every()) == every


def test_a_million_series_take_less_than_fifty_bytes_each():
    rng, catalogue, n = np.random.default_rng(1), Catalogue(), 200_000
    ids_of = rng.integers(0, 2**63, n, dtype=np.uint64).tolist()
    catalogue.add(Series(i, f"host-{k // 40}", f"metric_{k % 40}", {}) for k, i in enumerate(ids_of))
    table = catalogue._table
    columns = (catalogue._entity, catalogue._metric, catalogue._labelled, catalogue._kind, table._ids, table._rows)
    assert sum(column.nbytes for column in columns) < 50 * n
    assert 40 * n < catalogue.nbytes < 80 * n
