"""A period's own model counts beside the pooled one as the incidents of its period are many."""

import numpy as np
import pytest

from stream.features.vector import PER_METRIC, SUMMARY
from stream.models.bank import SHRINK, Bank
from stream.models.base import Learned, Seen
from stream.models.periods import POOLED

HEADS, MIDDLE, METRICS, EACH = 3, 1, 2, 4.0
NORMAL, SALE = "normal", "sale"
KINDS = ("logistic", "knn")


def block(number, sign, rows=8):
    """Of half of the rows an incident begins soon; what tells of it is the first metric, one way or the other."""
    rng = np.random.default_rng(number)
    y = np.zeros((rows, HEADS))
    y[::2, 1:] = 1
    past = rng.normal(0, 1, (rows, 24, METRICS, 5))
    x = rng.normal(0, 1, (rows, len(SUMMARY) + PER_METRIC * METRICS))
    x[::2, len(SUMMARY)] += 3 * sign
    seen = Seen(x.astype(np.float16), past.astype(np.float16))
    at_ms = np.full(rows, number * 600_000)
    return Learned(seen, y, np.full(rows, number), at_ms, np.full(rows, np.nan), np.ones(rows))


def learn(bank, period, of):
    bank.learn(period, of, bank.logits(period, of.seen))
    for cell in bank.cells.values():
        cell.model.train(int(of.at_ms[-1]))


def taught(sales=10):
    bank = Bank(HEADS, MIDDLE, KINDS, EACH)
    for number in range(80):
        learn(bank, NORMAL, block(number, 1))
        if number % 8 == 0 and number < 8 * sales:
            learn(bank, SALE, block(100 + number, -1))
    return bank


def test_a_new_period_says_what_the_pooled_model_says():
    bank = taught(0)
    bank.period(SALE)
    for number in range(80, 120):  # it was made before these
        learn(bank, NORMAL, block(number, 1))
    pooled, own = np.split(bank.logits(SALE, block(500, 1).seen), 2)
    np.testing.assert_array_equal(own, pooled)
    for kind, z in zip(KINDS, own, strict=True):
        said, theirs = (bank.probabilities(f"{scope}.{kind}", z)[1] for scope in ("own", POOLED))
        np.testing.assert_allclose(said, theirs, atol=0.02)  # each curve has learned of its own candidate's logits


def test_what_an_earlier_release_saved_is_taken_over():
    bank = taught()
    state = bank.state()
    calibrations = state.pop("calibrations")
    for period, kind, cell in state["cells"]:
        cell["calibration"] = calibrations[f"{POOLED}.{kind}"] if period == POOLED else {}
    new, z = Bank(HEADS, MIDDLE, KINDS, EACH), block(7, 1).y
    new.restore(state)
    for kind in KINDS:
        want = bank.probabilities(f"{POOLED}.{kind}", z)[1]
        for scope in (POOLED, "own"):
            np.testing.assert_array_equal(new.probabilities(f"{scope}.{kind}", z)[1], want)


def test_incidents_count_and_not_the_windows_before_each():
    bank = taught()
    incidents = 10 * 4 / EACH  # four rows of each block are before one, which is before EACH windows
    assert bank.own_share(SALE, "logistic") == pytest.approx(incidents / (incidents + SHRINK))
    assert bank.own_share(NORMAL, "logistic") > 0.6 > bank.own_share(SALE, "logistic")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_period_says_lies_between_its_own_model_and_the_pooled_one_and_its_reasons_sum_to_it(kind):
    bank, seen = taught(), block(500, -1).seen
    own, pooled = (bank.cells[scope, kind].model.logits(seen) for scope in (SALE, POOLED))
    share, candidate = bank.own_share(SALE, kind), bank.candidates.index(f"own.{kind}")
    said = bank.logits(SALE, seen)[candidate]
    np.testing.assert_allclose(said, share * own + (1 - share) * pooled)
    assert np.abs(own - pooled).max() > 0.1 and np.abs(said - own).max() > 0.05, "else nothing was looked at"
    one = Seen(seen.x[:1], seen.past[:1])
    for scope, expected in (("own", said[0, MIDDLE]), (POOLED, pooled[0, MIDDLE])):
        metrics, rest = bank.shares(SALE, f"{scope}.{kind}", one, MIDDLE, np.arange(METRICS, dtype=float))
        assert metrics.sum() + rest == pytest.approx(expected, abs=1e-6)
