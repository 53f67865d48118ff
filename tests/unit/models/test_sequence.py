"""Rare sequences are told, common ones are not, and nothing looks ahead."""

import numpy as np
import pytest

from foreshock.evaluate import score_series
from stream.models.base import pack, unpack
from stream.models.hold import ALARM, WINDOWS, Hold
from stream.models.sequence import STILL_LENGTH, Sequence, Sequences, together
from stream.models.tail import NEWEST, RAREST, Tail


def test_the_tail_of_an_exponential_is_as_rare_as_it_says():
    rng = np.random.default_rng(0)
    tail = Tail()
    rarities = np.array([tail.step(float(v)) for v in rng.exponential(size=6000)])[1000:]
    for level in (2.0, 3.0, 5.0):
        assert (rarities > level).mean() == pytest.approx(np.exp(-level), rel=0.5)


def test_a_tail_forgets_the_oldest_and_goes_on_the_same_after_a_snapshot():
    values = np.random.default_rng(4).normal(size=NEWEST + 500).tolist()
    whole, first = Tail(), Tail()
    for value in values[: NEWEST + 300]:
        whole.step(value)
        first.step(value)
    second = Tail.of(unpack(pack(first.state())))
    assert [second.step(v) for v in values[NEWEST + 300 :]] == [whole.step(v) for v in values[NEWEST + 300 :]]
    of_the_newest = Tail()
    for value in values[500:]:
        of_the_newest.step(value)
    assert [whole.step(v) for v in (-1.0, 0.5, 2.0, 9.0)] == pytest.approx(
        [of_the_newest.step(v) for v in (-1.0, 0.5, 2.0, 9.0)], rel=1e-9
    )
    assert len(whole.state()["newest"]) == NEWEST


def test_a_rhythm_is_common_and_a_break_of_it_rare():
    rng = np.random.default_rng(1)
    values = np.sin(np.arange(1500) / 12) + rng.normal(0, 0.05, 1500)
    values[1200:1215] = 0.0
    sequence = Sequence()
    rarities = np.array([sequence.step(float(v)) for v in values])
    assert rarities[1200:1230].max() > 4
    assert (rarities[300:1200] > 4).mean() < 0.02


def test_a_value_beyond_all_before_is_rare_at_once_and_one_seen_before_is_not():
    values = np.random.default_rng(5).normal(size=1200)
    values[[600, 1000]] = 8.0
    sequence = Sequence()
    rarities = np.array([sequence.step(float(v)) for v in values])
    assert rarities[600] > max(4.0, 2 * rarities[1000])
    values[600] = -8.0
    sequence = Sequence()
    assert [sequence.step(float(v)) for v in values][600] > 4


def test_what_stops_is_rare_though_each_value_is_common():
    values = np.sin(np.arange(1500) / 12) + np.random.default_rng(6).normal(0, 0.3, 1500)
    values[1200:1300] = 0.3
    sequence = Sequence()
    rarities = np.array([sequence.step(float(v)) for v in values])
    assert rarities[1200 : 1200 + STILL_LENGTH + 10].max() > 4
    assert (rarities[300:1200] > 4).mean() < 0.02


@pytest.mark.parametrize("after", [1e-9, 1.0, -1e300])
def test_however_odd_the_values_a_rarity_stays_within_bounds(after: float):
    sequence = Sequence()
    rarities = [sequence.step(value) for value in [5.0] * 300 + [5.0 + after] * 3 + [5.0] * 100]
    assert all(0 <= rarity <= 2 * RAREST for rarity in rarities)
    assert max(rarities[:300]) < 1


def test_snapshot_then_restore_changes_nothing():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(5000, 1, 2)).cumsum(0)
    whole, first = Sequences(), Sequences()
    rows, usual = np.zeros(1, int), np.ones((1, 2), bool)
    for one in x[:4500]:
        whole.step(rows, one, usual)
        first.step(rows, one, usual)
    second = Sequences()
    second.restore(unpack(pack(first.state())))
    for one in x[4500:]:
        np.testing.assert_array_equal(second.step(rows, one, usual)[0], whole.step(rows, one, usual)[0])
    assert pack(second.state()) == pack(whole.state())


def test_an_entity_with_many_metrics_keeps_no_sequences():
    many = Sequences()
    rarity, scored = many.step(np.zeros(1, int), np.ones((1, 40)), np.zeros((1, 40), bool))
    assert not scored.any() and np.isnan(rarity).all() and not many.state()["keys"]


def test_shares_rise_with_rarity_and_stay_finite():
    totals = [together(np.array([r, 1.0, np.nan]))[0].sum() for r in (1.0, 5.0, 50.0, 1e6)]
    assert totals == sorted(totals) and totals[-1] < 60


def test_scores_do_not_depend_on_what_comes_later():
    rng = np.random.default_rng(3)
    values = rng.normal(size=400).cumsum().tolist()
    times = [i * 300_000 for i in range(400)]
    assert score_series(times[:300], values[:300]) == score_series(times, values)[:300]


def test_one_alarm_is_one_alarm():
    hold = Hold()
    scores = [hold.step(ALARM + 0.1) for _ in range(WINDOWS + 1)]
    assert [i for i, score in enumerate(scores) if score >= ALARM] == [0, WINDOWS]
