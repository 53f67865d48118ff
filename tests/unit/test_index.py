"""Ids → rows, against a dictionary."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.window.index import SeriesIndex

# Few low bits, so that many ids want the same slot.
ids = st.integers(0, 2**63 - 1) | st.integers(0, 40).map(lambda n: n << 40)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(ids, max_size=60), max_size=8), st.randoms(use_true_random=False))
def test_rows_are_those_of_a_dictionary_and_forgetting_keeps_the_rest(batches, rng):
    index, known = SeriesIndex(), {}
    for batch in batches:
        for one in batch:
            known.setdefault(one, len(known))
        rows = index.rows_of(np.array(batch, np.uint64))
        assert rows.tolist() == [known[one] for one in batch]
        assert index.ids.tolist() == list(known)
        if rng.random() < 0.3:
            kept = sorted(rng.sample(range(len(known)), rng.randint(0, len(known))))
            moved = index.keep(np.array(kept, np.int64))
            by_row = list(known)
            assert [moved[row] for row in kept] == list(range(len(kept))) and (moved >= 0).sum() == len(kept)
            known = {by_row[row]: number for number, row in enumerate(kept)}


def test_it_grows():
    index, rng = SeriesIndex(), np.random.default_rng(3)
    every = np.unique(rng.integers(0, 2**63, 200_000, dtype=np.uint64))
    for part in np.array_split(rng.permutation(every), 30):
        index.rows_of(part)
    assert len(index) == len(every) and len(np.unique(index.rows_of(every))) == len(every)
