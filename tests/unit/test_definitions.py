"""Definitions and ids beyond those that are stored: nothing is forgotten, and what is stored is not held."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.ingest.known_labels import KnownLabels
from schemas import definitions
from schemas.catalogue import Catalogue
from schemas.definitions import Definitions, KnownIds
from schemas.series import Series, ids_of

numbers = st.lists(st.integers(0, 60), max_size=12)
steps = st.lists(st.tuples(st.sampled_from(["meet", "store", "let go"]), numbers), max_size=30)


def of(some):
    return [Series(n << 40 | n, f"e{n % 3}", f"m{n}", {"n": str(n)}) for n in some]


@pytest.fixture(autouse=True, scope="module")
def small_lots():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"LOT": 5, "LOT_LEFT": 2, "LOTS_AT_ONCE": 2, "_IDS_LOOKED_AT": 4}.items():
            patch.setattr(definitions, name, value)
        yield


@settings(max_examples=300, deadline=None)
@given(steps)
def test_all_that_was_met_or_stored_is_known_whatever_is_let_go(steps):
    stored, known, every = Catalogue(), set(), of(range(61))
    defined, ids = Definitions(stored), KnownIds(stored)
    asked = ids_of(every)
    for what, some in steps:
        if what == "let go":
            defined.let_go()
            continue
        known |= set(some)
        if what == "meet":
            defined.add(of(some))
            ids.add(ids_of(of(some)))
        else:
            stored.add(of(some))
        assert defined.named(asked) == [one if n in known else None for n, one in enumerate(every)]
        assert ids.has(asked).tolist() == [n in known for n in range(61)]
        for n, one in enumerate(every):
            if n in known:
                assert defined[one.series_id] == one
            else:
                with pytest.raises(KeyError):
                    defined[one.series_id]


@settings(max_examples=100, deadline=None)
@given(numbers.filter(len), st.lists(numbers, max_size=8))
def test_once_all_are_stored_none_is_held_twice(never, lots):
    stored = Catalogue()
    defined, ids = Definitions(stored), KnownIds(stored)
    for some in [never, *lots]:
        defined.add(of(some))
        ids.add(ids_of(of(some)))
        defined.let_go()
    stored.add(of(range(61)))
    for _ in range(40):
        defined.let_go()
    assert defined.nbytes == 0
    more = ids_of(of(range(100, 230)))
    ids.add(more)
    assert np.array_equal(np.sort(ids._others.ids), more)


def test_labels_are_known_after_their_series_was_stored_and_let_go():
    stored = Catalogue()
    known, every = KnownLabels(stored), of(range(500))
    for one in every:
        known.add(one.metric.encode(), one)
    known.settle()
    before = known.nbytes
    stored.add(every)
    for _ in range(20):
        known.settle()
    assert [known.get(one.metric.encode()) for one in every] == every
    rows = known.find([one.metric.encode() for one in every])
    assert known.series.named(known.ids(rows)) == every
    assert np.array_equal(known.ids(rows), ids_of(every))
    assert known.nbytes < before / 2
