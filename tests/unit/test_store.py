"""Both stores answer the same: values from outside come back as they went in."""

import numpy as np
import pytest

from store.chdb import ChdbStore

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
    "'; DROP TABLE series; --",
]


@pytest.fixture
def store(tmp_path):
    store = ChdbStore(str(tmp_path))
    store.open()
    yield store
    store.close()


def test_strings_are_never_part_of_a_statement(store):
    for text in HOSTILE:
        assert store.select("SELECT {x:String} AS x", {"x": text})["x"] == [text]
    assert store.select("SELECT arrayJoin({x:Array(String)}) AS x", {"x": HOSTILE})["x"] == HOSTILE


def test_an_insert_with_the_same_token_counts_once(store):
    columns = {
        "series_id": np.array([1, 2], np.uint64),
        "timestamp_ms": np.array([4_000_000_000_000, 4_000_000_001_000]),
        "value": np.array([1.0, 2.0]),
    }
    for _ in range(2):
        store.insert("samples", columns, token="a'b")
    assert len(store.select("SELECT * FROM samples")["value"]) == 2
