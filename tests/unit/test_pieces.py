"""Spans kept as samples and spans kept as cells say the same."""

from dataclasses import fields, replace
from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.buckets import estimates
from stream.rollup import samples as module
from stream.rollup import sketch
from stream.rollup.packed import packed
from stream.rollup.samples import Samples, merged, piece_of

# Times and values that collide; values far apart, so that buckets are sorted, and near, so that they are counted.
values = st.sampled_from([0.0, 1.0, 1.5, -3.0, 1e9]) | st.floats(-100, 100).filter(lambda v: v == 0 or abs(v) > 1e-6)
span = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 99_999), values), min_size=1, max_size=40)


def made(base_ms, given_samples, sparse_max):
    rows, times, numbers = zip(*given_samples, strict=True)
    counters = np.arange(5) % 2 == 1
    with patch.object(module, "SPARSE_MAX", sparse_max):
        columns = (np.array(rows, np.uint16), np.array(times, np.int32), np.array(numbers, float))
        return piece_of(base_ms, *columns, counters)


@settings(max_examples=200, deadline=None)
@given(st.lists(span, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_samples_and_cells_amount_to_the_same(spans, bridge, in_order):
    pieces = {}
    for name, sparse_max in (("samples", 10**6), ("cells", 0)):
        parts = [made(100_000 * at, one, sparse_max) for at, one in enumerate(spans)]
        assert all(isinstance(part, Samples) == (name == "samples") for part in parts)
        with patch.object(module, "SPARSE_MAX", sparse_max):
            pieces[name] = merged(0, parts, bridge=bridge, in_order=in_order).cells()
    got, want = pieces["samples"], pieces["cells"]
    for column in ("rows", "count", "min", "max", "first", "last", "first_ms", "last_ms", "entries"):
        assert getattr(got, column).tolist() == getattr(want, column).tolist(), column
    for column in ("sum", "sumsq", "increase"):
        np.testing.assert_allclose(getattr(got, column), getattr(want, column), rtol=1e-9, atol=1e-6, err_msg=column)


@settings(max_examples=200, deadline=None)
@given(span)
def test_buckets_that_are_counted_and_that_are_sorted_are_the_same(given_samples):
    found = []
    for dense_max in (0, 10**9 if all(abs(v) < 1e6 for _, _, v in given_samples) else 2):
        with patch.object(sketch, "_DENSE_MAX", dense_max):
            found.append(made(0, given_samples, 0).entries.tolist())
    assert found[0] == found[1]


BUCKETS = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(8170, 8210)), st.integers(1, 3 * sketch._COUNT_MAX), min_size=1
)


@given(st.lists(BUCKETS, min_size=1, max_size=4), st.booleans())
def test_buckets_of_any_count_add_up_however_they_are_counted(parts, dense):
    """A bucket of more than 2^24 samples has several entries, in what is given and in what comes out."""

    def entries_of(part):
        keys = sorted(part)
        buckets = np.array([(row << 16) | (key + 32768) for row, key in keys], np.int64)
        return sketch._packed(buckets, np.array([part[key] for key in keys], np.int64))

    want = {}
    for part in parts:
        for at, count in part.items():
            want[at] = want.get(at, 0) + count
    rows = np.array(sorted({row for row, _ in want}))
    values = {row: estimates(np.array([k for r, k in want if r == row], np.int16)) for row in rows.tolist()}
    low, high = (np.array([f(values[row]) for row in rows.tolist()]) for f in (np.min, np.max))
    with patch.object(sketch, "_DENSE_MAX", 1e9 if dense else 0):
        offsets, keys, counts = sketch.unpacked(sketch.merged([entries_of(p) for p in parts], rows, low, high), rows)
    got = {}
    for i, row in enumerate(rows.tolist()):
        for key, count in zip(keys[offsets[i] : offsets[i + 1]], counts[offsets[i] : offsets[i + 1]], strict=True):
            got[row, int(key)] = got.get((row, int(key)), 0) + int(count)
    assert got == want


@settings(max_examples=200, deadline=None)
@given(st.lists(span, min_size=1, max_size=3), st.sampled_from([0, 10**6]), st.booleans())
def test_what_was_packed_comes_back_to_the_byte(spans, sparse_max, counters):
    parts = [made(100_000 * at, one, sparse_max) for at, one in enumerate(spans)]
    with patch.object(module, "SPARSE_MAX", sparse_max):
        piece = merged(0, parts, bridge=False, in_order=True)
    if not counters and isinstance(piece, Samples):
        piece = replace(piece, increase=None)
    back = packed(piece).piece()
    assert type(back) is type(piece) and back.base_ms == piece.base_ms
    for field in fields(piece):
        got, want = getattr(back, field.name), getattr(piece, field.name)
        if isinstance(want, np.ndarray):
            assert got.dtype == want.dtype and got.tobytes() == want.tobytes(), field.name
        else:
            assert got == want
