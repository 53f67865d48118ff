"""Both stores answer the same: what goes in comes back, and values from outside never become part of a statement."""

import numpy as np
import pyarrow
import pytest

from schemas.errors import SinkError
from store.base import open_store
from tests.cluster.services import clickhouse

HOSTILE = [
    "a'b",
    "a\\b",
    "a\tb",
    "a\nb",
    "a\\nb",
    "a\\'b",
    '"',
    "[x]",
    "é😀",
    "",
    "a\\\\'",
    " x ",
    "'; DROP TABLE series",
]
LATER_MS = 4_000_000_000_000


@pytest.fixture(params=["chdb", "clickhouse"], scope="module")
def store(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    if request.param == "chdb":
        store = open_store(f"embedded://{folder / 'store'}")
        store.open()
        yield store
        store.close()
    else:
        with clickhouse(folder / "server") as url:
            store = open_store(url)
            store.open()
            yield store
            store.close()


def test_strings_are_never_part_of_a_statement(store):
    for text in HOSTILE:
        assert store.select("SELECT {x:String} AS x", {"x": text})["x"] == [text]
    assert store.select("SELECT arrayJoin({x:Array(String)}) AS x", {"x": HOSTILE})["x"] == HOSTILE
    ids = [1, 2**63 - 1]
    assert store.select("SELECT arrayJoin({x:Array(UInt64)}) AS x", {"x": ids})["x"].tolist() == ids


def test_rows_come_back_as_they_went_in(store):
    kind = pyarrow.map_(pyarrow.string(), pyarrow.string())
    columns = {
        "series_id": np.arange(1, 4, dtype=np.uint64),
        "entity": HOSTILE[:3],
        "metric": HOSTILE[3:6],
        "key": HOSTILE[6:9],
        "labels": pyarrow.array([[("a'", "\n")], [], [("x", "y"), ("z", "")]], kind),
        "kind": ["gauge", "counter", "gauge"],
    }
    store.insert("series", columns)
    got = store.select("SELECT series_id, entity, metric, key, labels, kind FROM series FINAL ORDER BY series_id")
    assert got["series_id"].tolist() == [1, 2, 3]
    assert [dict(labels) for labels in got["labels"]] == [{"a'": "\n"}, {}, {"x": "y", "z": ""}]
    for name in ("entity", "metric", "key", "kind"):
        assert got[name] == columns[name]


def test_an_empty_answer_has_its_columns(store):
    got = store.select("SELECT series_id, entity FROM series WHERE series_id = 99")
    assert list(got) == ["series_id", "entity"] and len(got["series_id"]) == 0 and got["entity"] == []


def test_a_raw_sample_that_is_stored_again_is_one_and_equal_ones_are_as_many_as_they_were(store):
    times = np.array([LATER_MS, LATER_MS + 1000])
    columns = {"series_id": np.array([1, 2], np.uint64), "timestamp_ms": times, "value": np.array([1.0, np.nan])}
    for place in (0, 0, 7):
        store.insert("raw_samples", columns | {"place": np.array([place, place + 1])})
    got = store.select("SELECT value FROM samples ORDER BY series_id")["value"]
    np.testing.assert_array_equal(got, [1.0, 1.0, np.nan, np.nan])


def test_an_error_says_what_and_where(store):
    with pytest.raises(SinkError, match="cannot execute a statement"):
        store.execute("SELEC 1")
    assert store.select("SELECT 1 AS one")["one"].tolist() == [1]  # and the store goes on
