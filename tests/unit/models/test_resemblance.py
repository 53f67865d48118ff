"""Traffic like another period's than the calendar's is noticed within hours; ordinary weeks are not."""

from datetime import UTC, datetime

import numpy as np
import pytest

from stream.features.superimposed import DAY_MS, Superimposed
from stream.models.base import pack, unpack
from stream.models.periods import Periods
from stream.models.resemblance import Resemblance

STEP = 600_000
BEGIN_MS = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp()) * 1000  # a Monday
PERIODS = Periods(
    ranges=[
        {"name": "sale", "from": "2026-03-10", "to": "2026-03-12"},  # days 8 to 10
        {"name": "sale", "from": "2026-03-26", "to": "2026-03-27"},  # days 24 and 25
    ]
)
DAYS = 28


def values(seed, entities, sales):
    """Return float64[windows, entities, 2]: load, of a day, a week and sales, and a metric that has none of it."""
    rng = np.random.default_rng(seed)
    at = np.arange(DAYS * 144)
    day = at // 144
    load = (1.2 + np.sin(2 * np.pi * (at % 144) / 144)) * np.where(day % 7 >= 5, 0.6, 1.0)
    load = load * np.where(np.isin(day, sales), rng.uniform(1.6, 2.4), 1.0)
    wander = np.exp(np.cumsum(rng.normal(0, 0.01, (len(at), entities)), 0) * 0.1 + rng.normal(0, 0.05, (len(at), 1)))
    own = np.exp(rng.normal(0, 0.1, (len(at), entities)))
    return np.stack([1000 * load[:, None] * wander, 40 * own], 2)


class Run:
    def __init__(self, entities, periods=PERIODS):
        self.names, self.periods = [f"shop-{i}" for i in range(entities)], periods
        self.over, self.one = Superimposed(STEP), Resemblance(STEP)

    def step(self, at, x, failing=False):
        rows, start_ms = np.arange(len(x)), BEGIN_MS + at * STEP
        self.over.grow(*x.shape)
        no = np.full(len(x), failing)
        day_ms = start_ms % DAY_MS
        self.over.step(rows, x, start_ms, day_ms, no)
        return self.one.step(rows, self.names, x, self.over, start_ms, day_ms, self.periods, no)


def said(x, **more):
    run = Run(x.shape[1], **more)
    return np.array([run.step(at, x[at]) for at in range(len(x))])


@pytest.mark.parametrize("entities", [1, 6])
@pytest.mark.parametrize("seed", range(3))
def test_ordinary_weeks_are_like_the_calendar(seed, entities):
    assert (said(values(seed, entities, [8, 9, 10, 24, 25])) != "").mean() < 0.001


@pytest.mark.parametrize("entities", [1, 6])
@pytest.mark.parametrize("seed", range(3))
def test_a_sale_two_days_early_is_noticed_within_three_hours_and_over_when_the_calendar_says_it_too(seed, entities):
    out = said(values(seed, entities, [8, 9, 10, 22, 23, 24, 25]))
    early = out[22 * 144 : 24 * 144]
    assert (early[18:] == "sale").all(), "also through the nights, in which all days are nearly alike"
    assert (out[: 22 * 144] != "").mean() < 0.001 and (out[24 * 144 :] != "").mean() < 0.001


def test_a_sale_that_does_not_come_looks_like_an_ordinary_day():
    out = said(values(1, 6, [8, 9, 10]))
    assert (out[24 * 144 + 18 : 26 * 144] == "normal").all()
    assert (out[26 * 144 :] != "").mean() < 0.1, "and then the calendar is right again"


def test_an_entity_alone_that_fails_as_if_it_sold_is_not_traffic():
    x = values(2, 6, [8, 9, 10, 24, 25])
    x[22 * 144 + 60 : 22 * 144 + 72, 0, 0] *= 1.5
    assert (said(x)[22 * 144 : 23 * 144, 1:] == "").all()


def test_periods_of_some_entities_are_theirs_alone():
    sale = {"name": "sale", "from": "2026-03-10", "to": "2026-03-12", "entities": ["shop-0"]}
    periods = Periods(ranges=[sale])
    out = said(values(3, 3, [8, 9, 10, 22, 23]), periods=periods)
    assert (out[22 * 144 + 18 : 24 * 144, 0] == "sale").all()
    assert not (out[:, 1:] == "sale").any()


def test_a_snapshot_anywhere_changes_nothing():
    x = values(4, 2, [8, 9, 10, 22, 23, 24, 25])
    whole, first = Run(2), Run(2)
    for at in range(23 * 144):
        ours = whole.step(at, x[at], failing=at == 20 * 144)
        if at in (2000, 22 * 144 + 31):
            run = Run(2)
            run.over.restore(unpack(pack(first.over.state())))
            run.one.restore(unpack(pack(first.one.state())))
            first = run
        assert first.step(at, x[at], failing=at == 20 * 144) == ours
    assert ours == ["sale", "sale"] and pack(first.one.state()) == pack(whole.one.state())
