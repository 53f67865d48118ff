"""Every statistic against plain Python."""

import math
import statistics

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.rollup.aggregate import aggregate

finite = st.floats(-1e12, 1e12).filter(lambda v: v == 0 or abs(v) > 1e-9)
samples = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9999), finite), min_size=1, max_size=80)


@settings(max_examples=300, deadline=None)
@given(samples)
def test_every_statistic_equals_plain_python(given_samples):
    ids, times, values = (np.array(column) for column in zip(*given_samples, strict=True))
    rollup = aggregate(
        "10s",
        10_000,
        np.zeros(len(ids), np.int64),
        ids.astype(np.uint64),
        times.astype(np.int64),
        values.astype(np.float64),
        counters=ids % 2 == 1,
        version=7,
        late=False,
    )
    assert rollup.ids.tolist() == sorted(set(ids.tolist()))
    for row, series in enumerate(rollup.ids.tolist()):
        mine = sorted(((t, v) for s, t, v in given_samples if s == series), key=lambda tv: tv[0])
        numbers = [v for _, v in mine]
        assert rollup.count[row] == len(numbers)
        assert (rollup.min[row], rollup.max[row]) == (min(numbers), max(numbers))
        scale = max(map(abs, numbers))
        assert math.isclose(rollup.sum[row], math.fsum(numbers), rel_tol=1e-12, abs_tol=1e-12 * scale)
        assert math.isclose(rollup.stddev[row], statistics.pstdev(numbers), rel_tol=1e-6, abs_tol=1e-7 * scale)
        assert (rollup.first_ms[row], rollup.first[row]) == mine[0]
        assert (rollup.last_ms[row], rollup.last[row]) == mine[-1]
        ranked = sorted(numbers)
        for q, got in ((0.5, rollup.p50[row]), (0.95, rollup.p95[row]), (0.99, rollup.p99[row])):
            exact = ranked[max(1, math.ceil(q * len(ranked))) - 1]
            assert abs(got - exact) <= 0.0100001 * abs(exact)
        if series % 2:
            rises = [b - a if b >= a else b for a, b in zip(numbers, numbers[1:], strict=False)]
            assert math.isclose(rollup.increase[row], sum(rises), rel_tol=1e-9, abs_tol=1e-12 * scale)
        else:
            assert math.isnan(rollup.increase[row])
