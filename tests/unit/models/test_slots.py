"""What is large a series is held for series alone, whichever metrics entities have, and says the same."""

import numpy as np
import pytest

from stream.models.base import pack, unpack
from stream.models.history import METRICS_MAX, History
from stream.models.slots import Slots
from stream.models.unusual import Unusual

MINUTE = 60_000
ENTITIES, OWN, NAMES = 12, 5, 60


def series(seed=1, windows=300):
    """Return values [windows, entities, names]: each entity has OWN of the names, some missing now and then."""
    rng = np.random.default_rng(seed)
    x = np.full((windows, ENTITIES, NAMES), np.nan)
    columns = [np.sort(rng.choice(NAMES, OWN, replace=False)) for _ in range(ENTITIES)]
    for entity, own in enumerate(columns):
        x[:, entity, own] = np.where(rng.random((windows, OWN)) < 0.03, np.nan, rng.normal(50, 2, (windows, OWN)))
    x[250:260, ::3] *= 1.3
    return x, columns


def test_an_entity_among_others_with_other_metrics_is_scored_as_if_it_were_alone():
    x, columns = series()
    rows = np.arange(ENTITIES)
    together, alone = Unusual(MINUTE), [Unusual(MINUTE) for _ in columns]
    together.grow(ENTITIES, NAMES)
    for one in alone:
        one.grow(1, OWN)
    most = 0.0
    for i, values in enumerate(x):
        learn = np.ones(ENTITIES, bool)
        learn[i % 7 :: 7] = False
        day_ms = 13 * 3_600_000 * i % 86_400_000
        got = together.step(rows, values, day_ms, learn)
        for entity, own in enumerate(columns):
            single = alone[entity].step(np.zeros(1, int), values[entity, own][None], day_ms, learn[entity][None])
            assert got.score[entity] == pytest.approx(single.score[0], abs=1e-12)
            np.testing.assert_array_equal(got.long[entity, own], single.long[0])
            np.testing.assert_array_equal(got.expected[entity, own], single.expected[0])
        most = max(most, got.score.max())
    assert most > 0.9


def test_memory_goes_by_series_and_a_snapshot_changes_nothing():
    x, _ = series(windows=80)
    one = Unusual(MINUTE)
    one.grow(ENTITIES, NAMES)
    rows, learn = np.arange(ENTITIES), np.ones(ENTITIES, bool)
    for i, values in enumerate(x[:40]):
        one.step(rows, values, i * MINUTE, learn)
    held = one.season.nbytes + one.season_days.nbytes + one.beyond.counts.nbytes
    assert held <= 1.1 * (ENTITIES * OWN + 1) * (2 * 48 * 4 + 2 * 24 * 4)
    same = Unusual(MINUTE)
    same.restore(unpack(pack(one.state())))
    for i, values in enumerate(x[40:]):
        a, b = (each.step(rows, values, i * MINUTE, learn) for each in (one, same))
        np.testing.assert_array_equal(a.score, b.score)
    assert pack(one.state()) == pack(same.state())


def test_numbers_stay_and_nobodys_place_is_never_given_away():
    slots, rng, known = Slots(), np.random.default_rng(2), {}
    for size in (3, 5, 8):
        slots.grow(size, size)
        for _ in range(20):
            rows = np.sort(rng.choice(size, 3, replace=False))
            there = rng.random((3, size)) < 0.2
            got = slots.take(rows, there)
            assert (got[there] > 0).all() and slots.count <= slots.room
            for i, m in np.argwhere(got > 0).tolist():
                assert known.setdefault((int(rows[i]), m), int(got[i, m])) == got[i, m]
    assert sorted(known.values()) == list(range(1, slots.count))


def test_sequences_are_of_a_bounded_number_of_metrics():
    history, n = History(), METRICS_MAX + 40
    from stream.features.superimposed import CHANNELS
    from stream.features.vector import PER_METRIC, SUMMARY

    x = np.ones((2, len(SUMMARY) + PER_METRIC * n), np.float16)
    seen = history.push(np.arange(2), x, np.ones((2, n * len(CHANNELS)), np.float16))
    assert seen.past.shape[2] == METRICS_MAX and seen.x.shape == x.shape
