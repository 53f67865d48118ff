"""Today against the same time a day, a week and a month ago."""

import numpy as np

from stream.features.superimposed import BINS, CHANNELS, DAY_MS, Superimposed
from stream.models.base import pack, unpack

STEP = 600_000
DAY, EXCESS = CHANNELS.index("day"), CHANNELS.index("excess")


def rhythm(at_ms, rng):
    return 100 * (1.5 + np.sin(2 * np.pi * (at_ms % DAY_MS) / DAY_MS)) * np.exp(rng.normal(0, 0.02))


def run(days, change=lambda at_ms, value: value, failing=lambda at_ms: False, seed=1):
    rng, one = np.random.default_rng(seed), Superimposed(STEP)
    one.grow(1, 1)
    out = []
    for at in range(0, days * DAY_MS, STEP):
        x = np.array([[change(at, rhythm(at, rng))]])
        out.append(one.step(np.zeros(1, int), x, at, at % DAY_MS, np.array([failing(at)]))[0].astype(float))
    return one, np.array(out)


def test_a_rhythm_is_no_change_and_a_departure_from_it_is():
    _, usual = run(6)
    _, risen = run(6, lambda at, v: v * 1.5 if at >= 5.5 * DAY_MS else v)
    last = slice(-20, None)
    assert np.abs(usual[last]).mean() < 1.2
    assert risen[int(5.5 * 144) : int(5.5 * 144) + 6, EXCESS].min() > 1.2
    assert risen[last, DAY].min() > 1.5


def test_a_day_that_held_an_incident_is_no_reference():
    def broken(at, value):
        return value * 4 if 4 * DAY_MS <= at < 5 * DAY_MS else value

    _, blind = run(6, broken)
    _, told = run(6, broken, lambda at: 4 * DAY_MS <= at < 5 * DAY_MS)
    assert np.abs(blind[5 * 144 + 10 :, DAY]).mean() > 1.5
    assert np.abs(told[5 * 144 + 10 :, DAY]).mean() < 1.0


def test_an_incident_told_afterwards_takes_the_day_away_too():
    one, _ = run(4)
    assert np.isfinite(one._references(np.zeros(1, int), 4 * DAY_MS, 3_600_000, 1)[0]).all()
    one.incident(0, 1, 3)
    assert np.isnan(one._references(np.zeros(1, int), 4 * DAY_MS, 3_600_000, 1)[0]).all()


def test_a_snapshot_changes_nothing_and_memory_is_bounded():
    one, _ = run(3)
    again = Superimposed(STEP)
    again.restore(unpack(pack(one.state())))
    assert pack(again.state()) == pack(one.state())
    wide = Superimposed(STEP)
    wide.grow(5000, 400)
    assert wide.means.nbytes <= 96 << 20 and wide.means.shape[1] == BINS
    x = np.ones((2, 400))
    assert wide.step(np.array([0, 4999]), x, 0, 0, np.zeros(2, bool)).shape == (2, 400 * len(CHANNELS))
