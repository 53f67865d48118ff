"""What uses up no budget of false alarms: an incident's own hour, and what a failed cause does to those behind it."""

import numpy as np

from schemas.incident import Incident
from stream.models.excused import Excused
from stream.models.labels import Labels
from stream.models.risk_budget import RiskBudget
from stream.models.threshold import Budget
from tests.unit.models.test_engine import MINUTE, START, engine, site

NAMES = ["db-1", "shop", "web", "db[1]"]
DEPENDS = {"shop": ("db-*",), "web": ("shop",), "db[1]": ("db[1]", "queue")}


def labels(entity="db-1", start=100, end=110):
    out = Labels([30 * MINUTE], 10 * MINUTE)
    times = {"start_ms": START + start * MINUTE, "end_ms": None if end is None else START + end * MINUTE}
    out.incident(Incident(id="i", entity=entity, updated_ms=1, **times))
    return out


def excused(of, minute, known):
    start_ms = START + minute * MINUTE
    return Excused(of).of(known, NAMES, start_ms, start_ms + MINUTE).tolist()


def test_the_incident_and_the_hour_after_it_of_the_entity_and_of_those_that_call_it():
    for minute, there in ((99, False), (100, True), (109, True), (169, True), (170, False)):
        assert excused(DEPENDS, minute, labels()) == [there, there, False, False]
    assert excused(DEPENDS, 5000, labels(end=None)) == [True, True, False, False]
    assert excused({}, 105, labels()) == [True, False, False, False]


def test_names_are_literal_but_for_the_star():
    assert excused(DEPENDS, 105, labels("queue")) == [False, False, False, True]
    assert excused(DEPENDS, 105, labels("db1")) == [False, False, False, False]
    assert excused(DEPENDS, 105, labels("db[1]")) == [False, False, False, True]


def test_the_fallout_of_a_cause_raises_no_threshold_of_those_behind_it():
    """e1 is as loud in each of e0's incidents as e0 itself: with the dependency told, its thresholds do not mind."""
    frames, incidents = site(1000, entities=2)
    incidents = [one for one in incidents if one.entity == "e0"]
    for frame in frames:
        minute = (frame.start_ms - START) // MINUTE
        if any(one.start_ms <= frame.start_ms < one.end_ms for one in incidents):
            frame.stats["mean"][1] = [16, 70, 12]
        elif (minute - 237) % 170 >= 160 or (minute - 237) % 170 < 8:
            frame.stats["mean"][1] = [10, 50, 1]  # e1 has no incidents of its own here
    cuts = []
    for depends in ({}, {"e1": ("e0",)}):
        one = engine(depends=depends, kinds=("logistic",), explained_max=0)
        for incident in incidents:
            one.incident(incident)
        for frame in frames:
            one.step(frame)
        cuts.append((one.budget.cut[1], one.risk_budget.cut[1]))
    assert cuts[1][0] < cuts[0][0] and cuts[1][1] < cuts[0][1]


def cut_after(kind, days, entities=20):
    """Return the thresholds, as probabilities, after so many days at which nothing was above one in a hundred."""
    budget = kind(1.0, MINUTE * 60, 0.5)
    budget.grow(entities)
    rows, rng = np.arange(entities), np.random.default_rng(0)
    for hour in range(days * 24):
        p = np.exp(rng.uniform(np.log(0.0005), np.log(0.01), entities))
        budget.learn(rows, p, hour * 3_600_000, np.ones(entities, bool))
    return 1 / (1 + np.exp(-budget.cut))


def test_a_probability_is_trusted_by_the_days_of_all_and_a_score_by_those_of_its_entity():
    assert cut_after(Budget, 2).min() > 0.05
    low = cut_after(RiskBudget, 2)
    assert 0.005 < low.min() and low.max() < 0.02
    assert cut_after(RiskBudget, 2, entities=1).min() > 0.05
