"""Entities with metrics of their own: what is worked out for their series alone is what is worked out for all cells."""

import numpy as np
import pytest

from stream.features import narrow
from stream.features.superimposed import DAY_MS, Superimposed
from stream.models.unusual import Unusual

N, M, OWN, STEP_MS = 12, 60, 5, 3_600_000 // 4


def windows(seed, count):
    """Yield rows and values of windows: each entity has five metrics of sixty, some come up late, some stay away."""
    rng = np.random.default_rng(seed)
    own = np.stack([rng.permutation(M)[:OWN] for _ in range(N)])
    for number in range(count):
        rows = np.sort(rng.permutation(N)[: rng.integers(1, N + 1)])
        x = np.full((len(rows), M), np.nan)
        for i, row in enumerate(rows.tolist()):
            there = own[row][: OWN if number > 70 else OWN - 1]
            there = there[rng.random(len(there)) < 0.9]
            x[i, there] = there + rng.lognormal(0, 1, len(there)) * (100 if rng.random() < 0.02 else 1)
        yield number, rows, x, rng.random(len(rows)) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_series_alone_give_what_all_cells_give(monkeypatch, seed):
    said = []
    for share in (0.5, 0.0):  # of the second, nothing is ever narrow
        monkeypatch.setattr(narrow, "_SHARE", share)
        unusual, over, out = Unusual(STEP_MS), Superimposed(STEP_MS), []
        unusual.grow(N, M)
        over.grow(N, M)
        for number, rows, x, failing in windows(seed, 300):
            start_ms = 20_000 * DAY_MS + number * STEP_MS
            day_ms = start_ms % DAY_MS
            got = unusual.step(rows, x, day_ms, ~failing)
            out.append([getattr(got, name) for name in ("expected", "short", "long", "surprise", "score", "shares")])
            out[-1] += [got.base, over.step(rows, x, start_ms, day_ms, failing).astype(float)]
        said.append((out, unusual.state(), over.state()))
    for mine, wanted in zip(said[0][0], said[1][0], strict=True):
        for one, other in zip(mine, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert any(np.abs(one[7]).max() > 1 for one in said[0][0]) and any(one[4].max() > 0.5 for one in said[0][0])
    compare(said[0][1], said[1][1])
    compare(said[0][2], said[1][2])


def compare(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, dict):
            compare(value, other[name])
        else:
            np.testing.assert_allclose(np.asarray(value, float), np.asarray(other[name], float), rtol=1e-9, atol=1e-12)
