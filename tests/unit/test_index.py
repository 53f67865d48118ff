"""Ids → rows, against a dictionary."""

from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.window import index as module
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


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), max_size=30), max_size=8), st.randoms(use_true_random=False))
def test_series_of_an_entity_share_a_block_while_they_fit_and_forgetting_keeps_them_there(batches, rng):
    with patch.object(module, "BLOCK_ROWS", 24), patch.object(module, "ENTITIES_UNTIL", 8):
        index, seen, forgot = SeriesIndex(entity_of=lambda ids: (ids // 3).astype(np.int64)), [], False
        for batch in batches:
            ids = np.array(batch, np.uint64)
            rows = index.rows_of(ids)
            assert (index.ids[rows] == ids).all() and (index.rows_of(ids) == rows).all()
            seen = sorted({*seen, *batch})
            every = index.rows_of(np.array(seen, np.uint64))
            assert len(set(every.tolist())) == len(seen) == len(index)
            blocks = {(one // 3, row // 24) for row, one in zip(every.tolist(), seen, strict=True)}
            assert forgot or len(blocks) == len({one // 3 for one in seen})  # 8 entities of 3 series fit into a block
            if rng.random() < 0.3:
                forgot = True
                kept = sorted(rng.sample(every.tolist(), rng.randint(0, len(seen))))
                before = {row: one for row, one in zip(every.tolist(), seen, strict=True) if row in kept}
                moved = index.keep(np.array(kept, np.int64))
                seen = sorted(before.values())
                assert [index.ids[moved[row]] for row in kept] == [before[row] for row in kept]
                assert all(moved[row] // 24 == row // 24 for row in kept)
