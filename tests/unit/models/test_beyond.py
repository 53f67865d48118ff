"""How rare a distance is, against counting by hand."""

import numpy as np
import pytest

from stream.models.base import pack, unpack
from stream.models.beyond import LOWEST, MEMORIES_MS, Beyond

MINUTE = 60_000
ROW, YES = np.zeros(1, int), np.ones((1, 1), bool)


def rarities(distances, window_ms=MINUTE, beyond=None):
    beyond = beyond or Beyond(window_ms)
    beyond.grow(1, 1)
    return np.array([beyond.step(ROW, np.array([[d]]), YES, YES)[0, 0] for d in distances])


def test_the_rarity_is_that_of_the_share_of_past_windows_as_far_off():
    rng = np.random.default_rng(0)
    distances = np.abs(rng.standard_cauchy(2000))
    got = rarities(distances, window_ms=1)  # milliseconds: within two seconds nothing is forgotten
    for i in range(500, 2000, 50):
        share = ((distances[:i] >= distances[i]).sum() + 0.5) / (i + 1)
        assert got[i] == pytest.approx(-np.log(share), abs=0.35)


def test_what_never_was_is_rarest_and_bounded():
    distances = [0.1] * 300 + [5.0] + [0.1] * 300 + [1e9, np.float64(1e12)]
    got = rarities(distances, window_ms=1)
    assert got[300] == pytest.approx(np.log(2 * 301), abs=0.01)
    assert got[601] == pytest.approx(np.log(2 * 602), abs=0.01)
    assert got[602] < got[601] <= np.log(2 * 602) + 1e-6
    assert np.isfinite(got).all()


def test_what_happens_every_day_is_less_rare_than_what_happened_once():
    day = 86_400_000 // MINUTE // 10
    quiet = np.full(6 * day, 0.1)
    often, once = quiet.copy(), quiet.copy()
    often[day::day] = 8.0
    once[day] = 8.0
    last = [rarities([*values, 8.0], window_ms=10 * MINUTE)[-1] for values in (often, once, quiet)]
    assert last[0] + 0.5 < last[1] < last[2]


def test_a_long_life_keeps_its_precision_and_a_snapshot_changes_nothing():
    rng = np.random.default_rng(1)
    beyond = Beyond(MEMORIES_MS[0])  # so few windows in a half-life that the weights are scaled down again and again
    distances = rng.exponential(2, 30_000)
    rarities(distances, beyond=beyond)
    assert beyond.counts.max() < 1e10 and np.isfinite(beyond.counts).all()
    same = Beyond(MEMORIES_MS[0])
    same.restore(unpack(pack(beyond.state())))
    more = rng.exponential(2, 3000)
    np.testing.assert_array_equal(rarities(more, beyond=beyond), rarities(more, beyond=same))
    recent = distances[-3000:]
    rare = rarities([np.quantile(recent, 0.98)], beyond=same)[0]
    assert rare == pytest.approx(-np.log(0.02), abs=0.5)


def test_missing_and_frozen_windows_are_not_counted():
    beyond, no = Beyond(MINUTE), np.zeros((1, 1), bool)
    beyond.grow(1, 1)
    rarities([LOWEST] * 50, beyond=beyond)
    before = pack(beyond.counts)
    assert beyond.step(ROW, np.array([[9.0]]), no, no)[0, 0] == 0.0
    assert beyond.step(ROW, np.array([[9.0]]), YES, no)[0, 0] > 4
    assert pack(beyond.counts) == before
