"""The model that has ranked best answers; the change is said with both figures; a pin holds whatever they are."""

import numpy as np
import pytest

from schemas.incident import Pin
from stream.models.base import pack, unpack
from stream.models.contest import Contest, words
from stream.models.engine import Engine, EngineSettings
from stream.models.groups import Groups
from stream.models.periods import Periods

NAMES = ("pooled.logistic", "own.knn")


def contest(windows, seed=0):
    rng = np.random.default_rng(seed)
    one = Contest(NAMES)
    for at in range(windows):
        y = (rng.random(20) < 0.1).astype(float)
        good, bad = np.clip(0.3 * y + 0.5 * rng.random(20), 0, 1), rng.random(20)
        within = np.stack([bad, good])
        one.add(within, within, y, y, at * 60_000)
    return one


def test_the_better_one_answers_and_the_change_is_said_with_both_figures():
    assert contest(5).champion == "pooled.logistic"
    one = contest(60)
    assert one.champion == "own.knn"
    (change,) = one.changes
    assert (change["from"], change["to"]) == NAMES and change["roc_auc_to"] > change["roc_auc_from"] + 0.005
    assert "own.knn (ROC AUC 0." in words(change) and "instead of pooled.logistic (0." in words(change)


def test_a_contest_comes_back_as_it_was():
    one = contest(60)
    again = Contest.of(NAMES, unpack(pack(one.state())))
    assert pack(again.state()) == pack(one.state())
    less = Contest.of(NAMES[:1], unpack(pack(one.state())))
    assert less.champion == "pooled.logistic", "a kind that is gone cannot answer"


def test_a_pin_holds_until_it_is_taken_back():
    engine = Engine("1m", 60_000, 60_000, EngineSettings(kinds=("knn",)), Periods())
    engine.ring.banks[""].period("normal")
    assert engine.champion("", "normal") == "pooled.logistic"
    engine.pin(Pin(rollup="1m", group="", period="normal", candidate="own.knn", at_ms=2))
    engine.pin(Pin(rollup="10s", group="", period="normal", candidate="own.logistic", at_ms=3))
    engine.pin(Pin(rollup="1m", group="", period="normal", candidate="own.logistic", at_ms=1))
    assert engine.champion("", "normal") == "own.knn" and engine.pinned("", "normal")
    engine.pin(Pin(rollup="1m", group="", period="normal", candidate="", at_ms=4))
    assert engine.champion("", "normal") == "pooled.logistic" and not engine.pinned("", "normal")


def test_groups_by_pattern():
    groups = Groups({"db": ["db-*", "pg[1]"], "web": ["*"]})
    assert [groups.of(e) for e in ("db-1", "pg[1]", "pg1", "x")] == ["db", "db", "web", "web"]
    assert Groups().of("x") == "" and not Groups()
    for bad in ({"a b": ["x"]}, {"a": "x"}, {"a": []}):
        with pytest.raises(ValueError, match="group"):
            Groups(bad)
